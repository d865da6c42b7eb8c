//! A clock that stands until the test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Whole seconds, since that is all a certificate can say. All clones are one clock.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    /// 2026-01-01T00:00:00Z.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_767_225_600)))
    }

    pub(crate) fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    pub(crate) fn set(&self, now: SystemTime) {
        let seconds = now.duration_since(UNIX_EPOCH).expect("tests begin long after 1970").as_secs();
        self.0.store(seconds, Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }
}

/// As JSON has it in ACME (RFC 8555 §7.1.3).
pub(crate) fn text(time: SystemTime) -> String {
    OffsetDateTime::from(time).format(&Rfc3339).expect("a year of four digits")
}

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3_600);
