//! The headers whose value is one of a few words.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;
use serde::{Deserialize, Deserializer};

use crate::SettingError;

/// Declares a header's words, what they print as, and which texts name them.
macro_rules! keywords {
    ($(
        $(#[$doc:meta])*
        $policy:ident = $header:literal, compared by $same:path {
            $($(#[$word_doc:meta])* $word:ident = $text:literal $(| $alias:literal)*,)+
        }
    )+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $policy {
            $(
                #[doc = concat!("`", $text, "`:")]
                $(#[$word_doc])*
                $word,
            )+
        }

        impl $policy {
            /// The word as it is sent.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text,)+ }
            }
        }

        impl From<$policy> for HeaderValue {
            fn from(policy: $policy) -> Self {
                Self::from_static(policy.as_str())
            }
        }

        impl fmt::Display for $policy {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $policy {
            type Err = SettingError;

            fn from_str(text: &str) -> Result<Self, SettingError> {
                $(if $same(text, $text) $(|| $same(text, $alias))* {
                    return Ok(Self::$word);
                })+
                Err(SettingError::new(
                    format!(concat!("`{}` is no value of ", $header), text),
                    concat!("write one of", $(" `", $text, "`",)+),
                ))
            }
        }

        impl<'de> Deserialize<'de> for $policy {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(SettingError::into_serde)
            }
        }
    )+};
}

keywords! {
    /// Whether a page may hold what did not agree to be held: `Cross-Origin-Embedder-Policy`.
    CrossOriginEmbedderPolicy = "Cross-Origin-Embedder-Policy", compared by str::eq {
        /// other origins' resources need CORS or `Cross-Origin-Resource-Policy`.
        RequireCorp = "require-corp",
        /// other origins' resources are asked for without cookies.
        Credentialless = "credentialless",
        /// anything may be held.
        UnsafeNone = "unsafe-none",
    }

    /// Which windows keep a handle on each other: `Cross-Origin-Opener-Policy`.
    CrossOriginOpenerPolicy = "Cross-Origin-Opener-Policy", compared by str::eq {
        /// only windows of the same origin and policy.
        SameOrigin = "same-origin",
        /// pop-ups that this page opens keep one too, as payment and sign-in windows need.
        SameOriginAllowPopups = "same-origin-allow-popups",
        /// pop-ups may be opened, and who opened this page gets no handle, not even the same origin.
        NoopenerAllowPopups = "noopener-allow-popups",
        /// all of them.
        UnsafeNone = "unsafe-none",
    }

    /// Whose pages may embed an answer: `Cross-Origin-Resource-Policy`.
    CrossOriginResourcePolicy = "Cross-Origin-Resource-Policy", compared by str::eq {
        /// pages of the same origin.
        SameOrigin = "same-origin",
        /// pages of the same site, sibling subdomains with them.
        SameSite = "same-site",
        /// any page.
        CrossOrigin = "cross-origin",
    }

    /// Whether the origin gets a process of its own: `Origin-Agent-Cluster`.
    OriginAgentCluster = "Origin-Agent-Cluster", compared by str::eq {
        /// asked for; `document.domain` then no longer joins subdomains.
        Own = "?1",
    }

    /// Whether a browser may guess another type than the one declared: `X-Content-Type-Options`.
    XContentTypeOptions = "X-Content-Type-Options", compared by str::eq {
        /// no guessing.
        Nosniff = "nosniff",
    }

    /// Whether a browser looks up the hosts of links ahead of a click: `X-DNS-Prefetch-Control`.
    XDnsPrefetchControl = "X-DNS-Prefetch-Control", compared by str::eq {
        /// no look-ups that tell a resolver what a page holds.
        Off = "off",
        /// look-ups ahead.
        On = "on",
    }

    /// Whether Internet Explorer opens a download in the site's context: `X-Download-Options`.
    XDownloadOptions = "X-Download-Options", compared by str::eq {
        /// it saves the download first.
        Noopen = "noopen",
    }

    /// Whose pages may frame an answer, where a browser knows no `frame-ancestors`: `X-Frame-Options`
    /// (RFC 7034). Read in any case; `allow-from` is no value, since no browser heeds it any more.
    XFrameOptions = "X-Frame-Options", compared by str::eq_ignore_ascii_case {
        /// nobody's.
        Deny = "DENY",
        /// pages of the same origin.
        SameOrigin = "SAMEORIGIN" | "same-origin",
    }

    /// Whether Flash and Acrobat may read across origins: `X-Permitted-Cross-Domain-Policies`.
    XPermittedCrossDomainPolicies = "X-Permitted-Cross-Domain-Policies", compared by str::eq {
        /// no policy file counts.
        None = "none",
        /// the one at the root counts.
        MasterOnly = "master-only",
        /// those of the right content type count.
        ByContentType = "by-content-type",
        /// all of them count.
        All = "all",
    }

    /// Whether old browsers filter what looks like reflected script: `X-XSS-Protection`.
    XXssProtection = "X-XSS-Protection", compared by str::eq {
        /// they do not: the filter itself opened holes.
        Disabled = "0",
    }

    /// One word of [`ReferrerPolicy`](super::ReferrerPolicy).
    ReferrerToken = "Referrer-Policy", compared by str::eq {
        /// nothing is told; browsers then send `Origin: null` with forms.
        NoReferrer = "no-referrer",
        /// the whole address, but not from https to http.
        NoReferrerWhenDowngrade = "no-referrer-when-downgrade",
        /// the whole address to the same origin, nothing to others.
        SameOrigin = "same-origin",
        /// the origin, to all.
        Origin = "origin",
        /// the origin, but not from https to http.
        StrictOrigin = "strict-origin",
        /// the whole address to the same origin, the origin to others.
        OriginWhenCrossOrigin = "origin-when-cross-origin",
        /// the whole address to the same origin, the origin to others, nothing from https to http.
        StrictOriginWhenCrossOrigin = "strict-origin-when-cross-origin",
        /// the whole address to all.
        UnsafeUrl = "unsafe-url",
        /// the browser's own default.
        Empty = "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_frame_options_are_read_in_any_case() {
        for text in ["deny", "DENY", "Deny"] {
            assert_eq!(text.parse(), Ok(XFrameOptions::Deny), "{text}");
        }
        for text in ["sameorigin", "same-origin", "SAME-ORIGIN", "SAMEORIGIN"] {
            assert_eq!(text.parse(), Ok(XFrameOptions::SameOrigin), "{text}");
        }
        assert!("Same-Origin".parse::<CrossOriginOpenerPolicy>().is_err());
        assert!("NONE".parse::<XPermittedCrossDomainPolicies>().is_err());
    }

    #[test]
    fn what_is_no_word_of_a_header_is_refused_with_its_words() {
        let refused = [
            "allow-from https://a.example".parse::<XFrameOptions>().unwrap_err(),
            "same-site".parse::<CrossOriginOpenerPolicy>().unwrap_err(),
            "unsafe-none".parse::<CrossOriginResourcePolicy>().unwrap_err(),
            "".parse::<CrossOriginEmbedderPolicy>().unwrap_err(),
            "master".parse::<XPermittedCrossDomainPolicies>().unwrap_err(),
            "?0".parse::<OriginAgentCluster>().unwrap_err(),
            "sniff".parse::<XContentTypeOptions>().unwrap_err(),
            "open".parse::<XDownloadOptions>().unwrap_err(),
            "1".parse::<XXssProtection>().unwrap_err(),
        ];
        for error in refused {
            assert!(error.hint().starts_with("write one of `"), "{error}");
        }
        let error = "maybe".parse::<XDnsPrefetchControl>().unwrap_err();
        assert_eq!(error.to_string(), "`maybe` is no value of X-DNS-Prefetch-Control");
        assert_eq!(error.hint(), "write one of `off` `on`");
    }
}
