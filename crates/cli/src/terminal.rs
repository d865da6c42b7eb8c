//! The terminal that a process was started from, and whether SIGHUP says that it is gone.
//!
//! The kernel sends that signal to who still belongs to a terminal that hangs up, a shell passes it on, and people send
//! it to have files read again; the signal itself does not say which it is. So the terminal is looked at. Who came
//! through its end unharmed was started to outlive it (`disown` and its like): for him there is no terminal any more,
//! and SIGHUP is what it is to any server.

use std::convert::Infallible;
use std::fs::{self, File};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// The controlling terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    looks: Interval,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    There,
    /// It was away at one look. The signal may still be under way.
    Missed,
    /// There is none whose end would be this process's.
    Outlived,
}

impl Terminal {
    /// To be called before SIGHUP is heard. Who started this with `nohup`, which ignores the signal, has said that the
    /// terminal may go.
    pub(crate) fn find() -> Self {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let state = if is_there() && !is_ignored(1) { State::There } else { State::Outlived };
        Self { looks, state }
    }

    /// Sees it go; it may be dropped at any time, and called again.
    pub(crate) async fn watch(&mut self) -> Infallible {
        while self.state != State::Outlived {
            self.looks.tick().await;
            self.state = self.state.after(is_there());
            if self.state == State::Outlived {
                tracing::info!(
                    "the terminal is gone, and this goes on without: SIGHUP is a reload from now on"
                );
            }
        }
        std::future::pending().await
    }

    /// Whether a SIGHUP that has come says that it goes just now.
    pub(crate) fn has_just_gone(&self) -> bool {
        self.state != State::Outlived && !is_there()
    }
}

impl State {
    fn after(self, is_there: bool) -> Self {
        match (self, is_there) {
            (Self::Outlived, _) | (Self::Missed, false) => Self::Outlived,
            (Self::There, false) => Self::Missed,
            (_, true) => Self::There,
        }
    }
}

/// A terminal that hung up is nobody's any more (tty_ioctl(4)).
fn is_there() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether this process was started with a signal ignored (proc_pid_status(5)).
fn is_ignored(signal: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Longer than a shell takes to pass the signal on.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::State::{self, Missed, Outlived, There};

    #[test]
    fn who_is_there_at_the_second_look_after_the_end_has_outlived_it() {
        for (before, is_there, after) in [
            (There, true, There),
            (There, false, Missed),
            (Missed, false, Outlived),
            (Missed, true, There),
            (Outlived, true, Outlived), // another's, whose end means nothing here
            (Outlived, false, Outlived),
        ] {
            assert_eq!(State::after(before, is_there), after, "{before:?} {is_there}");
        }
    }
}
