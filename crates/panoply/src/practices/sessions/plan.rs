//! What becomes of a session when its request ends: express-session's rules, as a table.

/// What is known of a session at the end of its request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// It is the one that the visitor's cookie named.
    pub(super) is_presented: bool,
    /// Its values, or its id, are others than at first.
    pub(super) is_modified: bool,
    /// What stands in the store; `None` where nobody has saved it, or `resave` asks to do it anyway.
    pub(super) saved: Option<IsCurrent>,
    /// Its cookie has a date.
    pub(super) has_expiry: bool,
}

/// Whether what was saved is what the session holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IsCurrent {
    Yes,
    No,
}

/// What an app wants of every session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// Renew the cookie with each answer.
    pub(super) rolling: bool,
    /// Save what nobody changed.
    pub(super) resave: bool,
    /// Save what nobody has put anything into.
    pub(super) save_uninitialized: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) save: bool,
    pub(super) touch: bool,
    pub(super) set_cookie: bool,
}

impl Wishes {
    pub(super) fn plan(self, facts: Facts) -> Plan {
        let save = if !self.save_uninitialized && facts.saved.is_none() && !facts.is_presented {
            facts.is_modified
        } else {
            facts.saved != Some(IsCurrent::Yes)
        };
        let set_cookie = if facts.is_presented {
            self.rolling || facts.has_expiry && facts.is_modified
        } else {
            self.save_uninitialized || facts.is_modified
        };
        Plan { save, touch: facts.is_presented && !save, set_cookie }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_saved_touched_and_sent_as_express_session_does_it() {
        let fresh = Facts::default();
        let loaded = Facts { is_presented: true, saved: Some(IsCurrent::Yes), ..fresh };
        let changed = Facts { is_modified: true, saved: Some(IsCurrent::No), ..loaded };
        let safe = Wishes::default();
        let rolling = Wishes { rolling: true, ..safe };
        let eager = Wishes { resave: true, save_uninitialized: true, ..safe };
        for (claim, wishes, facts, save, touch, set_cookie) in [
            ("a visitor without data leaves no trace", safe, fresh, false, false, false),
            ("unless that is asked for", eager, fresh, true, false, true),
            ("the first value saves", safe, Facts { is_modified: true, ..fresh }, true, false, true),
            ("what is only read is touched", safe, loaded, false, true, false),
            ("what is changed is saved; the browser has its cookie", safe, changed, true, false, false),
            ("a cookie with a date moves on", safe, Facts { has_expiry: true, ..changed }, true, false, true),
            ("but not when nothing changed", safe, Facts { has_expiry: true, ..loaded }, false, true, false),
            ("rolling sends it each time", rolling, loaded, false, true, true),
            ("rolling sends nothing to who has none", rolling, fresh, false, false, false),
            ("resave saves what is the same", eager, Facts { saved: None, ..loaded }, true, false, false),
            (
                "a new id is saved though it is empty",
                safe,
                Facts { is_modified: true, saved: Some(IsCurrent::No), ..fresh },
                true,
                false,
                true,
            ),
            (
                "what the app saved itself is not saved again, and its cookie is sent",
                safe,
                Facts { is_modified: true, saved: Some(IsCurrent::Yes), ..fresh },
                false,
                false,
                true,
            ),
        ] {
            assert_eq!(wishes.plan(facts), Plan { save, touch, set_cookie }, "{claim}");
        }
    }
}
