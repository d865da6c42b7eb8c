use serde::Deserialize;

use crate::practices::{
    cookies::Cookies, csrf::Csrf, errors::Errors, fingerprint::Fingerprint, headers::Headers, hosts::Hosts,
    limits::Limits, rate_limit::RateLimit, redirects::Redirects,
};
use crate::{Guard, Policy, Practice};

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
        }

        impl Policies {
            /// The same without what only watches or is off: what is left can protect.
            #[must_use]
            pub fn without_exemptions(self) -> Self {
                Self { $($field: self.$field.filter(|guard| matches!(guard, Guard::On(_))),)+ }
            }
        }

        /// The module of a practice, as it is written.
        pub(crate) const fn module(practice: Practice) -> &'static str {
            match practice {
                $(Practice::$practice => include_str!(concat!("practices/", stringify!($field), ".rs")),)+
            }
        }

        /// The guard of every practice.
        #[derive(Clone, Debug)]
        pub(crate) struct Guards {
            $(pub(crate) $field: Guard<$policy>,)+
        }

        impl Guards {
            /// All on, with the defaults for an app that panoply is part of.
            pub(crate) fn within() -> Self {
                Self { $($field: Guard::On($policy::default()),)+ }
            }

            /// With the defaults for an app that panoply does not know; what might break it only observes.
            pub(crate) fn in_front() -> Self {
                Self { $($field: Guard::$in_front($policy::in_front()),)+ }
            }

            pub(crate) fn off() -> Self {
                Self { $($field: Guard::Off,)+ }
            }

            /// A practice that is named replaces what was there whole: settings are not merged.
            pub(crate) fn with(self, policies: Policies) -> Self {
                Self { $($field: policies.$field.unwrap_or(self.$field),)+ }
            }

            pub(crate) fn without(mut self, practice: Practice) -> Self {
                match practice {
                    $(Practice::$practice => self.$field = Guard::Off,)+
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
    redirects: Redirects = Redirects, in front Observe;
    cookies: Cookies = Cookies, in front On;
    errors: Errors = Errors, in front On;
    fingerprint: Fingerprint = Fingerprint, in front On;
    headers: Headers = Headers, in front On;
}
