//! Bans outlive the process in the state folder, and are told to the other machines through the store.
//!
//! In the store each ban is a count of its own, under its network and its reason, which ends with it. A number beside
//! them changes with each of them, so that a machine that looks every other second reads one number.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use panoply::counters::{Counters, Limiter};
use panoply::store::{Health, Standing, StoreError};
use panoply::{Ban, Network, SettingError, World};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};

use crate::counting::Counting;
use crate::{GatewayError, state};

/// Keeps the bans of a world.
#[derive(Debug)]
pub(crate) struct Keeper {
    world: Arc<World>,
    /// `None`: nothing tells where.
    file: Option<PathBuf>,
    shared: Option<Arc<dyn Counters>>,
    health: Health,
    known: Mutex<Known>,
    /// One file is written after the other, also where nobody waits for the first any more.
    writing: Arc<std::sync::Mutex<()>>,
}

/// The right to ban and to lift: nobody else has it, and no other process takes over meanwhile.
#[derive(Debug)]
pub(crate) struct Hold<'k> {
    keeper: &'k Keeper,
    known: MutexGuard<'k, Known>,
}

/// What of the bans here the store does not know yet.
#[derive(Debug, Default)]
struct Known {
    unshared: HashSet<Network>,
    lifted: HashSet<Network>,
    /// The store's number when its bans were read last.
    number: Option<i64>,
    /// Another process has read the file: what is written there now, it would never see.
    is_let_go: bool,
}

impl Keeper {
    /// Takes the bans that a former run has left in `folder`.
    ///
    /// # Errors
    /// When its file is there and cannot be read, or is damaged: whoever is banned must not come in by that.
    pub(crate) fn open(
        world: Arc<World>,
        folder: Option<&Path>,
        counting: &Counting,
    ) -> Result<Self, GatewayError> {
        let file = folder.map(|folder| folder.join(FILE));
        let (found, lifted) = file.as_deref().map(read).transpose()?.unwrap_or_default();
        let unshared = found.iter().filter(|(_, is_shared)| !is_shared).map(|(ban, _)| ban.network).collect();
        world.bans().replace(found.into_iter().map(|(ban, _)| ban));
        Ok(Self {
            world,
            file,
            shared: counting.shared.clone(),
            health: Health::new("bans", "what other machines ban and lift is not seen"),
            known: Mutex::new(Known { unshared, lifted, ..Known::default() }),
            writing: Arc::default(),
        })
    }

    /// How the store does by which machines agree on bans; `None`: there is none.
    pub(crate) fn standing(&self) -> Option<Standing> {
        self.shared.as_ref().map(|_| self.health.standing())
    }

    /// Waits until nobody else bans or lifts. `None`: another process keeps the bans now.
    pub(crate) async fn hold(&self) -> Option<Hold<'_>> {
        let known = self.known.lock().await;
        (!known.is_let_go).then_some(Hold { keeper: self, known })
    }

    /// Leaves the bans to another process, once what is under way is written.
    pub(crate) async fn let_go(&self) {
        let mut known = self.known.lock().await;
        known.is_let_go = true;
        if !self.world.bans().all().is_empty() || self.file.as_ref().is_some_and(|file| file.exists()) {
            self.save(&known).await;
        }
    }

    /// The other process did not come.
    pub(crate) async fn take_back(&self) {
        self.known.lock().await.is_let_go = false;
    }

    /// Every other second: forgets what is over, and asks the store what others have banned and lifted.
    pub(crate) async fn keep(&self) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let mut known = self.known.lock().await;
            if let Some(store) = &self.shared {
                let agreed = self.agree(&**store, &mut known).await;
                self.health.heard(&agreed, store, self.world.unix_time());
                if let Ok(true) = agreed {
                    self.save(&known).await;
                }
            }
            let now = self.world.unix_time();
            let bans = self.world.bans().all();
            if bans.iter().any(|ban| ban.is_over(now)) {
                self.world.bans().replace(bans.into_iter().filter(|ban| !ban.is_over(now)));
                self.save(&known).await;
            }
        }
    }

    async fn changed(&self, known: &mut Known) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(store) = &self.shared {
            let agreed = tokio::time::timeout(PATIENCE, self.agree(&**store, known)).await;
            let agreed = agreed.unwrap_or(Err(StoreError::Slow(PATIENCE)));
            self.health.heard(&agreed, store, self.world.unix_time());
            if agreed.is_err() {
                notes.push("the store does not answer: other machines learn of it when it does".to_owned());
            }
        } else {
            known.lifted.clear(); // a store that comes later has never heard of them
        }
        notes.extend(self.save(known).await);
        notes
    }

    /// Tells the store what is new here, then reads what is new there, and says whether anything was.
    async fn agree(&self, store: &dyn Counters, known: &mut Known) -> Result<bool, StoreError> {
        let mut found = number().get(store, NUMBER).await?.map(|standing| standing.consumed());
        if found.is_none() {
            // A store that is new, or that was emptied: what is banned here stays so, everywhere.
            known.unshared = self.world.bans().all().iter().map(|ban| ban.network).collect();
            if known.unshared.is_empty() {
                return Ok(false);
            }
            // Hardly a number that some machine has seen before, and small enough for PostgreSQL until 2088.
            let new = self.world.unix_time().as_secs().saturating_sub(YEAR_2020);
            let new = i64::from(u32::try_from(new).unwrap_or(0) & LARGEST);
            number().set(store, NUMBER, new, Duration::ZERO).await?;
            found = Some(new);
        }
        if !known.unshared.is_empty() || !known.lifted.is_empty() {
            self.tell(store, known).await?;
            let new = number().penalty(store, NUMBER, 1).await?.consumed();
            // Where it is not the next, somebody else told something too.
            let is_next = found.is_some_and(|found| found + 1 == new) && known.number == found;
            known.number = is_next.then_some(new);
            found = Some(new);
        }
        if known.number == found {
            return Ok(false);
        }
        let now = self.world.unix_time();
        let listed = bans().over(store).await?;
        let listed = listed.iter().filter_map(|(name, standing)| {
            let (network, because) = name.split_once(' ').unwrap_or((name, ""));
            Some(Ban::new(network.parse().ok()?, standing.left().map(|left| now + left), because))
        });
        self.world.bans().replace(listed);
        known.number = found;
        Ok(true)
    }

    async fn tell(&self, store: &dyn Counters, known: &mut Known) -> Result<(), StoreError> {
        for (name, _) in bans().over(store).await? {
            let network = name.split(' ').next().and_then(|network| network.parse().ok());
            if network
                .is_some_and(|network| known.lifted.contains(&network) || known.unshared.contains(&network))
            {
                bans().delete(store, &name).await?;
            }
        }
        let now = self.world.unix_time();
        for ban in self.world.bans().all() {
            let left = ban.until.map(|until| until.saturating_sub(now));
            // No time is for ever, and what is over is not told.
            if known.unshared.contains(&ban.network) && left != Some(Duration::ZERO) {
                let name = format!("{} {}", ban.network, ban.because);
                bans().block(store, &name, left.unwrap_or_default()).await?;
            }
        }
        known.unshared.clear();
        known.lifted.clear();
        Ok(())
    }

    /// Off this thread, which accepts connections: a disk may take its time.
    async fn save(&self, known: &Known) -> Option<String> {
        let path = self.file.clone()?;
        let bans = self.world.bans().all();
        let lines = bans.iter().map(|ban| Line::of(ban, !known.unshared.contains(&ban.network))).collect();
        let lifted = known.lifted.iter().map(Network::to_string).collect();
        let kept = Kept { version: VERSION, bans: lines, lifted };
        let writing = Arc::clone(&self.writing);
        let alone = move || {
            let _alone = writing.lock().unwrap_or_else(PoisonError::into_inner);
            write(&path, &kept)
        };
        let written = tokio::task::spawn_blocking(alone).await;
        let error = match written {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(error, "bans cannot be kept: they end with this process");
        Some(format!("it ends with this process: the state folder cannot be written ({error})"))
    }
}

impl Hold<'_> {
    /// Keeps a network out, here at once. What an operator should know comes back.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) async fn add(&mut self, ban: Ban) -> Result<Vec<String>, SettingError> {
        let network = ban.network;
        self.keeper.world.bans().add(ban)?;
        self.known.lifted.remove(&network);
        self.known.unshared.insert(network);
        Ok(self.keeper.changed(&mut self.known).await)
    }

    /// Lets a network in again, here at once.
    pub(crate) async fn lift(&mut self, network: Network) -> Vec<String> {
        self.keeper.world.bans().lift(network);
        self.known.unshared.remove(&network);
        self.known.lifted.insert(network);
        self.keeper.changed(&mut self.known).await
    }
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    bans: Vec<Line>,
    /// What the store is still to be told of.
    lifted: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    network: String,
    /// In seconds since the beginning of 1970 UTC.
    until: Option<u64>,
    because: String,
    /// Whether the store knows it.
    shared: bool,
}

impl Line {
    fn of(ban: &Ban, shared: bool) -> Self {
        let until = ban.until.map(|until| until.as_secs() + u64::from(until.subsec_nanos() > 0));
        Self { network: ban.network.to_string(), until, because: ban.because.clone(), shared }
    }
}

/// The bans, each with whether the store knows it, and what was lifted since it was told.
type Found = (Vec<(Ban, bool)>, HashSet<Network>);

fn read(path: &Path) -> Result<Found, GatewayError> {
    let unreadable = |source| GatewayError::File { verb: "read", path: path.to_owned(), source };
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
        text => text.map_err(unreadable)?,
    };
    let damaged = |what: String| GatewayError::Setting {
        message: format!("the file of bans `{}` is damaged: {what}", path.display()),
        hint: "mend it, or move it away: then nobody is banned".to_owned(),
    };
    let kept: Kept = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if kept.version != VERSION {
        return Err(damaged(format!("version {} is not {VERSION}", kept.version)));
    }
    let network =
        |text: &str| text.parse::<Network>().map_err(|error: SettingError| damaged(error.to_string()));
    let ban = |line: &Line| {
        let until = line.until.map(Duration::from_secs);
        Ok((Ban::new(network(&line.network)?, until, &line.because), line.shared))
    };
    let bans = kept.bans.iter().map(ban).collect::<Result<_, GatewayError>>()?;
    let lifted = kept.lifted.iter().map(|text| network(text)).collect::<Result<_, _>>()?;
    Ok((bans, lifted))
}

fn write(path: &Path, kept: &Kept) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        state::make(folder)?;
    }
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    state::write(path, &fresh, &serde_json::to_vec_pretty(kept)?)
}

fn bans() -> Limiter {
    Limiter::new("panoply:ban", 0, Duration::ZERO)
}

fn number() -> Limiter {
    // PostgreSQL takes no line that its column could not cross.
    Limiter::new("panoply:bans", LARGEST - 1, Duration::ZERO)
}

/// In PostgreSQL.
const LARGEST: u32 = i32::MAX as u32;
/// In seconds since the beginning of 1970 UTC.
const YEAR_2020: u64 = 1_577_836_800;
const NUMBER: &str = "number";
const FILE: &str = "bans.json";
const VERSION: u32 = 1;
const EVERY: Duration = Duration::from_secs(2);
/// For an operator who waits.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use panoply::Clock;

    use super::*;
    use crate::config::Config;

    fn keeper(folder: &Path) -> Arc<Keeper> {
        let config = Config { state: Some(folder.to_owned()), ..Config::default() };
        let counting = Counting::open(&config, &Clock::system()).unwrap();
        Arc::new(Keeper::open(Arc::default(), Some(folder), &counting).unwrap())
    }

    #[tokio::test]
    async fn who_is_banned_while_another_process_takes_over_is_banned_there() {
        let folder = tempfile::tempdir().unwrap();
        let before = keeper(folder.path());
        let mut held = before.hold().await.unwrap();
        let letting_go = tokio::spawn({
            let before = Arc::clone(&before);
            async move { before.let_go().await }
        });
        tokio::task::yield_now().await;
        assert!(!letting_go.is_finished(), "an operator is heard to the end");
        held.add(Ban::new("192.0.2.0/24".parse().unwrap(), None, "spam")).await.unwrap();
        drop(held);
        letting_go.await.unwrap();
        assert_eq!(keeper(folder.path()).world.bans().all().len(), 1);
        assert!(before.hold().await.is_none(), "the other would never learn of it");
        before.take_back().await;
        assert!(before.hold().await.is_some());
    }

    #[tokio::test]
    async fn what_was_not_written_when_it_was_broken_off_is_written_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let before = keeper(folder.path());
        before.world.bans().add(Ban::new("192.0.2.0/24".parse().unwrap(), None, "spam")).unwrap();
        before.let_go().await;
        assert_eq!(keeper(folder.path()).world.bans().all().len(), 1);
    }
}
