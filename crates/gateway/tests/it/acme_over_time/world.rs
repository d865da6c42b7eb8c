//! A gateway's orders, the authority that it asks, and the time that both live in.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use panoply_gateway::acme::{Acme, Challenge, Kept, Name, Pace, Settings};

use super::door::Door;
use crate::ca::{Ca, Clock, Place};

pub(super) struct World {
    /// The gateway's clock, and the authority's too unless a test parts them.
    pub(super) clock: Clock,
    pub(super) ca: Ca,
    pub(super) acme: Acme,
    pub(super) settings: Settings,
    names: Vec<Name>,
    folder: PathBuf,
    door: Door,
}

/// What a stretch of time was like.
#[derive(Debug, Default)]
pub(super) struct Lived {
    /// How often something was to be done.
    pub(super) rounds: u64,
    /// Since when a name that had a certificate had none that is valid.
    pub(super) dark: Vec<(Name, SystemTime)>,
}

impl World {
    pub(super) async fn new(names: &[&str]) -> Self {
        Self::with(names, |_| {}).await
    }

    pub(super) async fn with(names: &[&str], set: impl FnOnce(&mut Settings)) -> Self {
        let clock = Clock::new();
        Self::apart(names, clock.clone(), clock, set).await
    }

    /// Where the gateway has another clock than the authority.
    pub(super) async fn apart(
        names: &[&str],
        clock: Clock,
        authority: Clock,
        set: impl FnOnce(&mut Settings),
    ) -> Self {
        let ca = Ca::start(authority).await;
        let mut settings = Settings {
            contact: "ops@shop.example".into(),
            directory: ca.directory(),
            staging: None,
            ca: Some(ca.root().as_bytes().to_vec()),
            profile: None,
            challenges: vec![Challenge::TlsAlpn01, Challenge::Http01],
            external_account: None,
            on_demand: Vec::new(),
            on_demand_weekly: 40,
            dns: None,
            pace: PACE,
        };
        set(&mut settings);
        let names: Vec<Name> = names.iter().map(|name| Name::parse(name)).collect();
        let address = match names.first() {
            Some(Name::Address(address)) => *address,
            _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let door = Door::open(address).await;
        ca.rules(|rules| rules.ports = door.ports);
        let folder = scratch();
        let acme = open(&settings, &names, &folder, 0);
        door.put(Some(acme.answers()));
        Self { clock, ca, acme, settings, names, folder, door }
    }

    /// The gateway ends as if it was killed, and another begins with what is in the folder.
    pub(super) fn restart(&mut self) {
        // The new one opens while the old one has no lock any more: it is held within an `act` alone.
        self.acme = open(&self.settings, &self.names, &self.folder, 1);
        self.door.put(Some(self.acme.answers()));
    }

    /// Puts a file where the gateway keeps what it knows of the authority.
    pub(super) fn keep(&self, file: &str, text: &str) {
        fs::write(self.kept().join(file), text).unwrap();
    }

    /// Whether something is kept of a name.
    pub(super) fn is_kept(&self, name: &str) -> bool {
        let mut files = fs::read_dir(self.kept()).unwrap();
        files.any(|file| file.unwrap().file_name().to_string_lossy().starts_with(name))
    }

    fn kept(&self) -> PathBuf {
        fs::read_dir(self.folder.join("acme")).unwrap().next().unwrap().unwrap().path()
    }

    /// Another gateway with the same folder.
    pub(super) fn another(&self) -> Acme {
        open(&self.settings, &self.names, &self.folder, 2)
    }

    /// What the other authority, the one for rehearsals, looks at.
    pub(super) fn ports(&self) -> (u16, u16) {
        self.door.ports
    }

    /// Does what is due, as long as something is due by the end of this time.
    pub(super) async fn live(&mut self, span: Duration) -> Lived {
        let end = self.clock.now() + span;
        let most = 300 + 60 * span.as_secs() / 86_400;
        let mut lived = Lived::default();
        loop {
            let now = self.clock.now();
            let next = self.acme.act(now).await;
            lived.rounds += 1;
            assert!(next > now && lived.rounds <= most, "a loop that does not rest: {lived:?} in {span:?}");
            let until = next.min(end);
            for name in &self.names {
                if let Some(held) = self.acme.held(name).filter(|held| held.not_after() < until) {
                    lived.dark.push((name.clone(), held.not_after()));
                }
            }
            self.clock.set(until);
            if until == end {
                return lived;
            }
        }
    }

    /// A visitor asks for a name, and waits for what is done about it; no longer than a real one would.
    pub(super) async fn visit(&mut self, name: &str) {
        let (demand, now) = (self.acme.demand(), self.clock.now());
        let Some(name) = demand.allows(name) else { return };
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let waits = tokio::time::timeout(Duration::from_secs(20), demand.order(&name, seconds));
        let (waited, _) = tokio::join!(waits, self.acme.act(now));
        waited.expect("whoever asks is told in the end");
        if self.acme.held(&name).is_some_and(|held| now < held.not_after()) {
            demand.served(&name.to_string(), seconds);
        }
    }

    /// Whether each name has a certificate that is valid now, and that the authority has issued.
    pub(super) fn is_covered(&self) -> bool {
        let (now, seen) = (self.clock.now(), self.ca.seen());
        self.names.iter().all(|name| {
            self.acme.held(name).is_some_and(|held| {
                let valid = held.not_before() <= now && now < held.not_after();
                valid && seen.certificates.iter().any(|issued| held.chain().first() == Some(&issued.der))
            })
        })
    }

    pub(super) fn orders(&self) -> usize {
        self.asked(|place| *place == Place::NewOrder)
    }

    pub(super) fn asked(&self, which: impl Fn(&Place) -> bool) -> usize {
        self.ca.seen().requests.iter().filter(|asked| which(&asked.place)).count()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn open(settings: &Settings, names: &[Name], folder: &Path, seed: u64) -> Acme {
    let kept = Kept::open(Some(folder), None, format!("holder {seed}")).unwrap();
    Acme::open(settings.clone(), names.to_vec(), &kept, &panoply::Clock::manual(), seed, Box::new(|_, _| {}))
        .unwrap()
}

fn scratch() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("acme-{}-{number}", std::process::id()))
}

/// The machine's time, not the test's: the authority is on the same machine and answers at once, or never.
const PACE: Pace = Pace {
    request: Duration::from_secs(3),
    first_poll: Duration::from_millis(5),
    longest_poll: Duration::from_millis(50),
    order: Duration::from_secs(10),
};
