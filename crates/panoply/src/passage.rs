use std::borrow::Cow;

use crate::metrics::Said;
use crate::{Practice, Rejection, Visitor};

/// How a request passed through a shield, for whoever writes that down: an access log, a replay.
#[derive(Clone, Debug)]
pub struct Passage {
    /// Who asked, and the request's name.
    pub visitor: Visitor,
    /// What was refused, and what would have been, in the order in which it was said.
    pub verdicts: Vec<Verdict>,
}

/// What one practice said of a request that it did not like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Who said it; `None`: no practice, but there was no answer of the app's.
    pub practice: Option<Practice>,
    /// Which of its rules, where the practice counts.
    pub rule: Option<Cow<'static, str>>,
    /// Refused, or only observed.
    pub said: Said,
}

impl Passage {
    /// Who refused the request; what refused last has made the answer.
    #[must_use]
    pub fn refused(&self) -> Option<&Verdict> {
        self.verdicts.iter().rev().find(|verdict| verdict.said == Said::Refused)
    }
}

impl Verdict {
    pub(crate) fn of(rejection: &mut Rejection, said: Said) -> Self {
        Self { practice: rejection.practice, rule: rejection.take_rule(), said }
    }
}
