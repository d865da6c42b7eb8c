//! A new process goes on in the place of this one, and no visitor notices.
//!
//! The new one asks, at a Unix socket in the state folder: a gateway that may start no program can be replaced all the
//! same. The one at work lets go of what only one may have and sends its listeners over; those who come meanwhile wait
//! in their queues. Not before the new one says that it serves, the old one lets its requests end; if the new one ends
//! before, the old one goes on.
//!
//! ```text
//! new                              at work
//!  │  connects                        │  Hello
//!  │  LetGo, once its file is right   │  accepts no more, writes what it has counted
//!  │  opens everything                │  Yours, and the listeners (SCM_RIGHTS)
//!  │  accepts: Serving                │  Done, lets requests end
//!  │  Tell                            │  what these count, line by line, and ends
//! ```
//! **Stops** other users: the socket is its owner's alone, and the kernel says who is at the other end. **Leaves**
//! programs of the same user, who could as well end the gateway. **Defaults** every `panoply serve` offers its place.

mod bequest;
mod line;
mod offer;
mod predecessor;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use bequest::Bequest;
pub(crate) use bequest::LAST_COUNTS;
pub use offer::{Offer, Successor};
pub use predecessor::Predecessor;

/// Where a gateway with this state folder is asked.
fn place(folder: &Path) -> PathBuf {
    folder.join("takeover.sock")
}

/// Whether a process of `uid` may ask, or be asked: one of the same user, or of root.
fn is_trusted(uid: u32) -> bool {
    uid == rustix::process::geteuid().as_raw() || uid == 0
}

/// Of what is said. Another version says so in its first line.
const VERSION: u32 = 1;
/// For one line that needs no work.
const PROMPT: Duration = Duration::from_secs(5);
/// For a whole start. Visitors wait as long.
const START: Duration = Duration::from_secs(30);
