use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use crate::practices::{
    brute_force::BruteForce, cookies::Cookies, csrf::Csrf, errors::Errors, fingerprint::Fingerprint,
    headers::Headers, hosts::Hosts, limits::Limits, rate_limit::RateLimit, redirects::Redirects,
    sessions::Kept,
};
use crate::{Guard, Policy, Practice, SettingError};

/// Declares every policy once: the guards that a shield holds, and the layer of settings laid over them.
macro_rules! policies {
    ($($field:ident: $policy:ident = $practice:ident, in front $in_front:ident;)+) => {
        /// Settings for some practices, as in `[shield]`; what is missing stays as it was.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
        pub struct Policies {
            $(
                #[doc = concat!("`", stringify!($field), "`, when it is set")]
                pub $field: Option<Guard<$policy>>,
            )+
            /// Never there: only a program can set them.
            #[serde(deserialize_with = "only_in_code")]
            sessions: Option<Never>,
        }

        impl Policies {
            /// The state that a practice is set to here, as one word; `None` where it is not set.
            #[must_use]
            pub fn state(&self, practice: Practice) -> Option<&'static str> {
                match practice {
                    $(Practice::$practice => self.$field.as_ref().map(Guard::state),)+
                    Practice::Sessions => None,
                }
            }

            /// The same with nothing said of practices other than these.
            #[must_use]
            pub fn only(self, practices: &[Practice]) -> Self {
                Self {
                    $($field: self.$field.filter(|_| practices.contains(&Practice::$practice)),)+
                    sessions: None,
                }
            }

            /// The same without what only watches or is off: what is left can protect.
            #[must_use]
            pub fn without_exemptions(self) -> Self {
                Self {
                    $($field: self.$field.filter(|guard| matches!(guard, Guard::On(_))),)+
                    sessions: None,
                }
            }
        }

        /// The module of a practice, as it is written.
        pub(crate) const fn module(practice: Practice) -> &'static str {
            match practice {
                $(Practice::$practice => include_str!(concat!("practices/", stringify!($field), ".rs")),)+
                Practice::Sessions => include_str!("practices/sessions.rs"),
            }
        }

        /// The guard of every practice.
        #[derive(Clone, Debug)]
        pub(crate) struct Guards {
            $(pub(crate) $field: Guard<$policy>,)+
            /// There is nothing to observe: a session is kept, or it is not.
            pub(crate) sessions: Option<Arc<Kept>>,
        }

        impl Guards {
            /// All on, with the defaults for an app that panoply is part of.
            pub(crate) fn within() -> Self {
                Self { $($field: Guard::On($policy::default()),)+ sessions: None }
            }

            /// With the defaults for an app that panoply does not know; what might break it only observes.
            pub(crate) fn in_front() -> Self {
                Self { $($field: Guard::$in_front($policy::in_front()),)+ sessions: None }
            }

            pub(crate) fn off() -> Self {
                Self { $($field: Guard::Off,)+ sessions: None }
            }

            /// A practice that is named replaces what was there whole: settings are not merged.
            pub(crate) fn with(self, policies: Policies) -> Self {
                Self { $($field: policies.$field.unwrap_or(self.$field),)+ sessions: self.sessions }
            }

            pub(crate) fn without(mut self, practice: Practice) -> Self {
                match practice {
                    $(Practice::$practice => self.$field = Guard::Off,)+
                    Practice::Sessions => self.sessions = None,
                }
                self
            }

            /// State and most important figure.
            pub(crate) fn state(&self, practice: Practice) -> (&'static str, String) {
                match practice {
                    $(Practice::$practice => (
                        self.$field.state(),
                        self.$field.policy().map(Policy::summary).unwrap_or_default(),
                    ),)+
                    Practice::Sessions => match &self.sessions {
                        Some(kept) => ("on", kept.summary()),
                        None => ("off", String::new()),
                    },
                }
            }
        }
    };
}

policies! {
    hosts: Hosts = Hosts, in front On;
    limits: Limits = Limits, in front On;
    rate_limit: RateLimit = RateLimit, in front On;
    csrf: Csrf = Csrf, in front On;
    brute_force: BruteForce = BruteForce, in front On;
    redirects: Redirects = Redirects, in front Observe;
    cookies: Cookies = Cookies, in front On;
    errors: Errors = Errors, in front On;
    fingerprint: Fingerprint = Fingerprint, in front On;
    headers: Headers = Headers, in front On;
}

/// What is never there.
#[derive(Clone, Copy, Debug)]
enum Never {}

/// Sessions take keys and a store, and an app that reads them: a gateway has nobody to give them to.
fn only_in_code<'de, D: Deserializer<'de>>(_: D) -> Result<Option<Never>, D::Error> {
    Err(SettingError::new(
        "sessions are kept by an app, not in front of it",
        "in a Rust app write `Shield::sessions`; for an app that is not changed, `cookies.seal` protects its own",
    )
    .into_serde())
}
