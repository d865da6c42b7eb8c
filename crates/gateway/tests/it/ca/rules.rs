//! What the test may set.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use super::clock::{DAY, HOUR};
use super::limits::Limits;

pub(crate) struct Rules {
    /// Types of challenges, as they are offered; those of no known type are never fulfilled.
    pub(crate) challenges: Vec<String>,
    pub(crate) verdict: Verdict,
    /// Where http-01 and tls-alpn-01 are answered, on this machine.
    pub(crate) ports: (u16, u16),
    pub(crate) limits: Limits,
    /// Names of profiles, and how long certificates of each are valid. The first is what one gets who names none.
    pub(crate) profiles: Vec<(&'static str, Duration)>,
    /// Ids and keys of external accounts. Who is none of them gets no account, unless there are none.
    pub(crate) external_accounts: HashMap<String, Vec<u8>>,
    /// How long a validation serves later orders too.
    pub(crate) remembers: Duration,
    /// How often an order is still `processing` after its certificate was made.
    pub(crate) polls_to_wait: u32,
    /// Whether there is renewal information at all, and when to ask for it again.
    pub(crate) renewal_info: Option<Duration>,
    /// Windows that were moved, by certificate.
    pub(crate) windows: BTreeMap<String, (SystemTime, SystemTime)>,
    /// The window of all others; `None`: as long as each lives.
    pub(crate) window: Option<(SystemTime, SystemTime)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// What was found.
    Honest,
    /// Nobody holds any name.
    Reject,
    /// Looks for ever.
    Never,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            challenges: ["http-01", "tls-alpn-01"].map(str::to_owned).into(),
            verdict: Verdict::Honest,
            ports: (0, 0),
            limits: Limits::default(),
            profiles: vec![("classic", DAY * 90), (SHORTLIVED, DAY * 6)],
            external_accounts: HashMap::new(),
            remembers: Duration::ZERO,
            polls_to_wait: 0,
            renewal_info: Some(HOUR * 6),
            windows: BTreeMap::new(),
            window: None,
        }
    }
}

/// The one profile for addresses, as Let's Encrypt has it.
pub(crate) const SHORTLIVED: &str = "shortlived";
