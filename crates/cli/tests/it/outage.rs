//! Machines that fail under load, each in a network of its own: one of a site's two places, and the store of counts.

mod stores;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::gateway::{Gateway, PATIENCE};
use crate::netns::{self, Machine};
use crate::node;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::upstreams::load::Load;

/// A place of an app, on a machine of its own.
struct Place {
    machine: Machine,
    process: Option<Process>,
    name: &'static str,
    ledger: PathBuf,
}

impl Place {
    fn start(number: u8, name: &'static str, folder: &Path) -> Self {
        let ledger = folder.join(format!("ledger.{name}"));
        fs::write(&ledger, "").unwrap();
        let mut place = Self { machine: Machine::new(number), process: None, name, ledger };
        place.begin();
        place
    }

    fn begin(&mut self) {
        let mut command = self.machine.command("node");
        command
            .arg("place.js")
            .current_dir(node::folder())
            .env("LEDGER", &self.ledger)
            .env("NAME", self.name);
        command.env("HOST", self.machine.address().to_string()).env("PORT", PORT.to_string());
        self.process = Some(self.machine.start(&mut command, PORT));
    }

    fn signal(&self, name: &str) {
        self.process.as_ref().unwrap().signal(name);
    }

    fn url(&self) -> String {
        format!("http://{}:{PORT}", self.machine.address())
    }

    /// What came to it: `GET /path name`, a line a request.
    fn came(&self) -> Vec<String> {
        fs::read_to_string(&self.ledger).unwrap().lines().map(str::to_owned).collect()
    }

    /// Waits until so many more came.
    fn hears(&self, more: usize, gateway: &Gateway) {
        let before = self.came().len();
        until(&format!("{} hears {more} more", self.name), gateway, || self.came().len() >= before + more);
    }
}

/// What befalls a place, and whether requests are lost that may have been done: then it is left out meanwhile.
type Outage = (&'static str, fn(&mut Place), fn(&mut Place), bool);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_outage_of_a_place_loses_a_read_does_a_write_twice_or_is_felt_at_another_site() {
    if !netns::inside(
        "outage::no_outage_of_a_place_loses_a_read_does_a_write_twice_or_is_felt_at_another_site",
    ) {
        return;
    }
    let folder = Scratch::new();
    let mut sick = Place::start(1, "sick", folder.path());
    let sound = Place::start(2, "sound", folder.path());
    let other = Place::start(3, "other", folder.path());
    let gateway = serve(
        &folder,
        &format!(
            "shield.rate_limit = 'off'\n[[site]]\nhosts = ['localhost']\nupstream = ['{}', '{}']\nupstreams.answer = '4s'\n\
             upstreams.connect = '500ms'\n[[site]]\nhosts = ['other.example']\nupstream = '{}'\n",
            sick.url(),
            sound.url(),
            other.url()
        ),
    );
    let heal: fn(&mut Place) = |place| place.machine.heal();
    let outages: [Outage; 6] = [
        ("nothing", |_| (), |_| (), false),
        ("killed", |place| drop(place.process.take()), Place::begin, true),
        ("stopped", |place| place.signal("STOP"), |place| place.signal("CONT"), true),
        ("cut off", |place| place.machine.cut_off(), heal, true),
        ("mute", |place| place.machine.mute(), heal, true),
        ("slow", |place| place.machine.slow(), heal, false),
    ];
    let mut usual = Duration::ZERO;
    for (name, befall, heal, loses) in outages {
        let load = Load::begin(&gateway.client());
        let beside = Load::of(2, &gateway.client().of("other.example"));
        sick.hears(50, &gateway);
        befall(&mut sick);
        if loses {
            until(&format!("{name}: it is left out"), &gateway, || up(&gateway, &sick) == "0");
        }
        sound.hears(150, &gateway);
        other.hears(100, &gateway);
        heal(&mut sick);
        until(&format!("{name}: it is asked again"), &gateway, || up(&gateway, &sick) == "1");
        sick.hears(20, &gateway);
        let (asked, beside) = (load.end().await, beside.end().await);
        asked.check(&[sick.came(), sound.came()].concat(), if loses { &[502, 504] } else { &[] });
        beside.check(&other.came(), &[]);
        let (median, slowest) = beside.times();
        usual = if name == "nothing" { median } else { usual };
        // Whoever waited for the sick place would have waited half a second for its connection, and four for its answer;
        // what other tests do at the same time is felt, too.
        assert!(median < 3 * usual + Duration::from_millis(200), "beside {name}: {median:?}, was {usual:?}");
        assert!(slowest < Duration::from_secs(4), "beside {name} a request took {slowest:?}");
        for place in [&sick, &sound, &other] {
            fs::write(&place.ledger, "").unwrap();
        }
    }
}

fn serve(folder: &Scratch, file: &str) -> Gateway {
    let path = folder.path().join("panoply.toml");
    fs::write(&path, format!("admin = '127.0.0.1:0'\n{file}")).unwrap();
    Gateway::start(&["serve", "--https", "127.0.0.1:0", "--config", path.to_str().unwrap()], &[])
}

fn up(gateway: &Gateway, place: &Place) -> String {
    let labels = format!("{{site=\"localhost\",upstream=\"{}\"}}", place.url());
    figure(gateway, &format!("panoply_upstream_up{labels}"))
}

/// One figure of `/metrics`.
fn figure(gateway: &Gateway, name: &str) -> String {
    let page = crate::admin::ask(gateway.admin(), "GET /metrics", "connection: close\r\n", "");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}:\n{page}")).to_owned()
}

fn until(what: &str, gateway: &Gateway, done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}\n{}", gateway.log());
        thread::sleep(Duration::from_millis(20));
    }
}

const PORT: u16 = 3000;
