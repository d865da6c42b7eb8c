//! A store of counts that fails: nobody waits for it, limits hold without it, and it is told afterwards.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::{figure, serve, until};
use crate::gateway::Gateway;
use crate::netns::{self, Machine};
use crate::node::Node;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::servers::postgres_server::postgres_program;
use crate::upstreams::load::Load;

struct Store {
    machine: Machine,
    process: Option<Process>,
    /// Runs it there anew.
    begin: Box<dyn Fn(&Machine) -> Process>,
}

type Outage = (&'static str, fn(&mut Store), fn(&mut Store));

fn begin(store: &mut Store) {
    store.process = Some((store.begin)(&store.machine));
}

const KILLED: Outage = ("killed", |store| drop(store.process.take()), begin);
const STOPPED: Outage = (
    "stopped",
    |store| store.process.as_ref().unwrap().signal("STOP"),
    |store| store.process.as_ref().unwrap().signal("CONT"),
);
const CUT_OFF: Outage = ("cut off", |store| store.machine.cut_off(), |store| store.machine.heal());
const MUTE: Outage = ("mute", |store| store.machine.mute(), |store| store.machine.heal());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_befalls_redis_nobody_waits_and_limits_hold() {
    if netns::inside("outage::stores::whatever_befalls_redis_nobody_waits_and_limits_hold") {
        let begin = |machine: &Machine| {
            let address = machine.address().to_string();
            let mut command = machine.command("redis-server");
            command.args(["--bind", &address, "--protected-mode", "no", "--save", ""]);
            machine.start(&mut command, 6379)
        };
        let machine = Machine::new(9);
        let url = format!("redis://{}", machine.address());
        suffers(
            Store { machine, process: None, begin: Box::new(begin) },
            &url,
            &[KILLED, STOPPED, CUT_OFF, MUTE],
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_befalls_postgres_nobody_waits_and_limits_hold() {
    if netns::inside("outage::stores::whatever_befalls_postgres_nobody_waits_and_limits_hold") {
        let folder = Scratch::new();
        let data = folder.path().join("data");
        let mut made = as_somebody(Command::new("unshare"));
        made.arg(postgres_program("initdb")).args(["--no-sync", "--auth=trust", "--username=postgres", "-D"]);
        let made = made.arg(&data).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        std::fs::write(data.join("pg_hba.conf"), "host all all all trust\n").unwrap();
        let machine = Machine::new(9);
        let url = format!("postgres://postgres@{}/postgres?sslmode=disable", machine.address());
        let store =
            Store { machine, process: None, begin: Box::new(move |machine| postgres(machine, &data)) };
        suffers(store, &url, &[KILLED, CUT_OFF, MUTE]).await;
    }
}

fn postgres(machine: &Machine, data: &PathBuf) -> Process {
    // What a killed server leaves is in the way of the next.
    let _ = std::fs::remove_file(data.join("postmaster.pid"));
    let mut command = as_somebody(machine.command("unshare"));
    command.arg(postgres_program("postgres")).arg("-D").arg(data);
    command.args([
        "-c",
        &format!("listen_addresses={}", machine.address()),
        "-c",
        "unix_socket_directories=",
    ]);
    machine.start(command.args(["-c", "fsync=off"]), 5432)
}

/// PostgreSQL refuses to be root, and looks up who it is: in one more namespace it is `daemon`, whom every system knows.
fn as_somebody(mut unshare: Command) -> Command {
    unshare.args(["--user", "--map-user=1", "--map-group=1", "--"]).current_dir("/");
    unshare
}

async fn suffers(mut store: Store, url: &str, outages: &[Outage]) {
    begin(&mut store);
    let folder = Scratch::new();
    let ledger = folder.path().join("ledger");
    let app = Node::start_with("place.js", &[("NAME", "app"), ("LEDGER", ledger.to_str().unwrap())]);
    let file = format!(
        "keys = ['{KEY}']\nstore.url = '{url}'\n[shield]\n\
         rate_limit = {{ rate = '100000/s', limits.all = {{ rate = '10000000/h', by = 'everyone', shared = true }} }}\n\
         [[site]]\nhosts = ['localhost']\nupstream = 'http://{}'\n[[site.rule]]\npath = '/login'\n\
         shield.brute_force = {{ username = 'form:user', failure = {{ status = [200] }}, trust_browsers = 'off' }}\n",
        app.address()
    );
    let gateway = serve(&folder, &file);
    for (name, befall, heal) in outages {
        let load = Load::of(VISITORS, &gateway.client());
        guesses(&gateway, name, 5).await;
        befall(&mut store);
        // The five before and these are ten: who tries once more is refused, by a store that is not there.
        guesses(&gateway, name, 5).await;
        assert_eq!(guess(&gateway, name).await, 429, "while it is {name}");
        until(&format!("{name}: it is left in peace"), &gateway, || store_is(&gateway, url, "0"));
        let in_peace = Instant::now();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let healed = Instant::now();
        heal(&mut store);
        until(&format!("{name}: it answers again"), &gateway, || store_is(&gateway, url, "1"));
        until(&format!("{name}: it was told"), &gateway, || figure(&gateway, "panoply_store_owed") == "0");
        let asked = load.end().await;
        let ledger: Vec<_> = std::fs::read_to_string(&ledger).unwrap().lines().map(str::to_owned).collect();
        asked.check(&ledger, &[]);
        let slow = |asking: &&crate::upstreams::load::Asking| asking.took > SLOW;
        let waited = asked.0.iter().filter(slow).count();
        // A busy machine lets a few wait; whoever asks a store that is away waits, each time.
        let few = asked.count() / 20;
        assert!(waited <= 2 * VISITORS + few, "{name}: {waited} of {} requests waited", asked.count());
        let spared: Vec<_> =
            asked.0.iter().filter(|asking| asking.begun > in_peace && asking.begun < healed).collect();
        let waited: Vec<_> = spared.iter().copied().filter(slow).map(|asking| asking.took).collect();
        assert!(
            waited.len() <= spared.len() / 4,
            "of {} while nobody asked a store that is {name}: {waited:?}",
            spared.len()
        );
        // A machine that comes anew knows what the store knows, and nothing else.
        let newcomer = serve(&folder, &file);
        assert_eq!(guess(&newcomer, name).await, 429, "{name}: the store was told");
        std::fs::write(folder.path().join("ledger"), "").unwrap();
    }
}

async fn guesses(gateway: &Gateway, user: &str, times: u32) {
    for time in 1..=times {
        assert_eq!(guess(gateway, user).await, 200, "{user}, guess {time}");
    }
}

async fn guess(gateway: &Gateway, user: &str) -> u16 {
    let body = Full::<Bytes>::from(format!("user={}&password=x", user.replace(' ', "+")));
    let request = Request::post("/login").header("content-type", "application/x-www-form-urlencoded");
    gateway.client().ask(request.body(body).unwrap()).await.status.as_u16()
}

fn store_is(gateway: &Gateway, url: &str, up: &str) -> bool {
    let kind = url.split(':').next().unwrap();
    figure(gateway, &format!("panoply_store_up{{kind=\"{kind}\",of=\"counts\"}}")) == up
}

const VISITORS: usize = 4;
/// Longer than a request takes, shorter than a store has time to answer.
const SLOW: Duration = Duration::from_millis(700);
const KEY: &str = "the key of a test, which protects nobody at all";
