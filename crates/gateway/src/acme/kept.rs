use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use panoply::shared::{LONGEST_VALUE, Shared};
use rustix::fs::{FlockOperation, flock};

use crate::state;

/// Where account, orders and certificates outlive a run: in a folder, or where other machines see them too, and then
/// what is served is in the folder as well, for a start at which the store is away.
#[derive(Clone, Debug)]
pub struct Kept {
    folder: Option<PathBuf>,
    shared: Option<Arc<Shared>>,
    /// In front of a name in the store.
    prefix: String,
    holder: String,
}

/// The right to order, for this process alone.
pub(super) enum Claim {
    /// Given up when the file is closed, also by a process that is killed.
    File(#[expect(dead_code, reason = "it is held, not read")] File),
    /// Given up when its time ends, at the latest.
    Shared,
}

impl Kept {
    /// In `folder`, which is this user's alone, or in `shared`. `holder` tells this process from all others.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(folder: Option<&Path>, shared: Option<Arc<Shared>>, holder: String) -> io::Result<Self> {
        let folder = folder.map(|folder| folder.join("acme"));
        if let Some(folder) = &folder {
            state::make(folder)?;
        }
        Ok(Self { folder, shared, prefix: "acme".to_owned(), holder })
    }

    /// The same for one authority, apart from all others.
    pub(super) fn of(&self, authority: &str) -> io::Result<Self> {
        let folder = self.folder.as_ref().map(|folder| folder.join(authority));
        if let Some(folder) = &folder {
            state::make(folder)?;
        }
        Ok(Self { folder, prefix: format!("acme:{authority}"), ..self.clone() })
    }

    /// Whether other machines see it.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    pub(super) fn shared(&self) -> Option<&Arc<Shared>> {
        self.shared.as_ref()
    }

    pub(super) async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, String> {
        match &self.shared {
            Some(shared) => shared.read(&self.key(file)).await.map_err(|error| causes(&error)),
            None => self.copy(file),
        }
    }

    /// What is in this machine's folder.
    pub(super) fn copy(&self, file: &str) -> Result<Option<Vec<u8>>, String> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let path = folder.join(file);
        let unreadable = |error: io::Error| format!("cannot read `{}`: {error}", path.display());
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(unreadable)?,
        };
        let mut bytes = Vec::new();
        file.take(LONGEST_VALUE as u64).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(Some(bytes))
    }

    pub(super) async fn write(&self, file: &str, value: &[u8]) -> Result<(), String> {
        if value.len() > LONGEST_VALUE {
            return Err(format!("`{file}` has {} bytes, at most {LONGEST_VALUE} were expected", value.len()));
        }
        match &self.shared {
            Some(shared) => shared.write(&self.key(file), value, YEARS).await.map_err(|error| causes(&error)),
            None => self.write_copy(file, value),
        }
    }

    /// Writes to this machine's folder alone; without one it is nothing.
    pub(super) fn write_copy(&self, file: &str, value: &[u8]) -> Result<(), String> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let (path, fresh) = (folder.join(file), folder.join(format!("{file}.{}.new", std::process::id())));
        state::write(&path, &fresh, value).map_err(|error| {
            let _ = fs::remove_file(&fresh);
            format!("cannot write `{}`: {error}", path.display())
        })
    }

    pub(super) async fn remove(&self, file: &str) -> Result<(), String> {
        match &self.shared {
            Some(shared) => shared.remove(&self.key(file)).await.map_err(|error| causes(&error)),
            None => self.remove_copy(file),
        }
    }

    /// Takes it out of this machine's folder alone; it is no error where it is not there.
    pub(super) fn remove_copy(&self, file: &str) -> Result<(), String> {
        let Some(folder) = &self.folder else { return Ok(()) };
        state::remove(&folder.join(file)).map_err(|error| error.to_string())
    }

    /// The right to order, unless another process has it. To claim again is to have it for longer.
    pub(super) async fn claim(&self) -> Result<Option<Claim>, String> {
        if let Some(shared) = &self.shared {
            let claimed = shared.claim(&self.key("orders"), &self.holder, CLAIM).await;
            return claimed.map(|mine| mine.then_some(Claim::Shared)).map_err(|error| causes(&error));
        }
        let Some(folder) = &self.folder else { return Ok(Some(Claim::Shared)) };
        let path = folder.join("lock");
        let unlocked = |error: io::Error| format!("cannot lock `{}`: {error}", path.display());
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(unlocked)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Claim::File(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(unlocked(error.into())),
        }
    }

    /// Has the right for as long again, unless somebody else has it meanwhile.
    pub(super) async fn claim_again(&self) -> Result<bool, String> {
        match &self.shared {
            Some(_) => self.claim().await.map(|claim| claim.is_some()),
            None => Ok(true),
        }
    }

    pub(super) async fn release(&self, claim: Claim) {
        if let (Claim::Shared, Some(shared)) = (claim, &self.shared) {
            // It ends by itself.
            let _ = shared.release(&self.key("orders"), &self.holder).await;
        }
    }

    /// What a value is called in the store.
    pub(super) fn key(&self, file: &str) -> String {
        format!("{}:{file}", self.prefix)
    }
}

fn causes(error: &panoply::store::StoreError) -> String {
    format!("the store does not answer: {error}")
}

/// Longer than an order takes with its DNS records set and taken away again; so long a machine that died is waited for.
const CLAIM: Duration = Duration::from_secs(900);

/// Longer than any certificate, and each is written again before.
const YEARS: Duration = Duration::from_secs(2 * 365 * 24 * 3_600);
