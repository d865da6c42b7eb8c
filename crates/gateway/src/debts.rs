//! What clients owe by rate limits goes on in the next process: who has used up an hour's requests waits the hour.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use panoply::World;

use crate::state;

/// The debts of a world, and the file by which they outlive the process.
#[derive(Clone, Debug)]
pub(crate) struct Debts {
    world: Arc<World>,
    /// `None`: nothing tells where.
    file: Option<PathBuf>,
}

impl Debts {
    /// Takes what a former run has left in `folder`. It is for a world that has counted nothing yet.
    pub(crate) fn open(world: Arc<World>, folder: Option<&Path>) -> Self {
        let file = folder.map(|folder| folder.join(FILE));
        if let Some(file) = &file
            && let Err(error) = world.restore_debts(file)
        {
            // To refuse to serve would be worse: the limits begin anew, and the file is written anew.
            tracing::warn!(%error, hint = error.hint(), "what clients owe by rate limits is lost");
        }
        Self { world, file }
    }

    /// Writes what is owed now: a few milliseconds, and not for a thread that serves.
    pub(crate) fn save(&self) {
        let Some(file) = &self.file else { return };
        if let Some(folder) = file.parent()
            && let Err(error) = state::make(folder).and_then(|()| self.world.save_debts(file))
        {
            tracing::warn!(file = %file.display(), %error, "what clients owe by rate limits cannot be kept");
        }
    }
}

const FILE: &str = "debts";
