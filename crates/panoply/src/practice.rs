use std::fmt;
use std::str::FromStr;

use crate::policies;

/// One protection, by the word it has everywhere: file, struct, builder, TOML key, log field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Practice {
    /// Is this a name we serve?
    Hosts,
    /// How large and how slow may a request be?
    Limits,
    /// Is this client flooding?
    RateLimit,
    /// Did another site's page start this?
    Csrf,
    /// Who is this, from request to request?
    Sessions,
    /// Has this visitor failed to log in too often?
    BruteForce,
    /// Does this answer lead off the site?
    Redirects,
    /// Can this cookie be read, stolen or sent by others?
    Cookies,
    /// Does this error page show what it should not?
    Errors,
    /// Does this answer name the software?
    Fingerprint,
    /// What may a browser do with this answer?
    Headers,
}

impl Practice {
    /// Every practice, in the order in which a request meets them.
    pub const ALL: [Self; 11] = [
        Self::Hosts,
        Self::Limits,
        Self::RateLimit,
        Self::Csrf,
        Self::Sessions,
        Self::BruteForce,
        Self::Redirects,
        Self::Cookies,
        Self::Errors,
        Self::Fingerprint,
        Self::Headers,
    ];

    /// The word itself.
    ///
    /// ```
    /// assert_eq!(panoply::Practice::RateLimit.name(), "rate_limit");
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Limits => "limits",
            Self::RateLimit => "rate_limit",
            Self::Csrf => "csrf",
            Self::Sessions => "sessions",
            Self::BruteForce => "brute_force",
            Self::Redirects => "redirects",
            Self::Cookies => "cookies",
            Self::Errors => "errors",
            Self::Fingerprint => "fingerprint",
            Self::Headers => "headers",
        }
    }

    /// Whether only a program can set it: it takes what no file holds, so that no file has its word.
    #[must_use]
    pub const fn is_set_in_code_alone(self) -> bool {
        matches!(self, Self::Sessions)
    }

    /// What it stops and leaves, and its defaults with their reasons, in Markdown: the beginning of its module's
    /// documentation, so that there is one text for all who ask.
    #[must_use]
    pub fn explanation(self) -> String {
        let lines = policies::module(self).lines().map_while(|line| line.strip_prefix("//!"));
        let before_the_example = lines.take_while(|line| !line.starts_with(" ```"));
        let text = before_the_example.map(|line| line.strip_prefix(' ').unwrap_or(line));
        text.collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }
}

impl fmt::Display for Practice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Practice {
    type Err = UnknownPractice;

    fn from_str(name: &str) -> Result<Self, UnknownPractice> {
        Self::ALL
            .into_iter()
            .find(|practice| practice.name() == name)
            .ok_or_else(|| UnknownPractice(name.to_owned()))
    }
}

/// A word that is no practice's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no practice `{0}`")]
pub struct UnknownPractice(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_practice_is_found_by_its_own_word_alone() {
        for practice in Practice::ALL {
            assert_eq!(practice.name().parse(), Ok(practice));
        }
        assert_eq!("helmet".parse::<Practice>(), Err(UnknownPractice("helmet".to_owned())));
    }

    #[test]
    fn every_practice_is_explained_in_the_five_parts() {
        for practice in Practice::ALL {
            let text = practice.explanation();
            let first = text.lines().next().unwrap_or_default();
            assert!(!first.is_empty() && !first.starts_with("**"), "{practice}: the attack comes first");
            for part in ["\n**Stops**", "\n**Leaves**", "\n**Defaults"] {
                assert!(text.contains(part), "{practice}: {part}");
            }
            assert!(!text.contains("```"), "{practice}: {text}");
        }
    }
}
