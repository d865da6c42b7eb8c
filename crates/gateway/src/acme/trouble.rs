use instant_acme::{Error, Problem};

use super::client::Seen;

/// Why it did not go well, by what has to be done next.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The authority is not to be had: nothing was wrong with the name, and it is asked again later.
    Away { reason: String, wait: Option<u64> },
    /// It asks for patience, in seconds.
    Limited { reason: String, wait: u64 },
    /// It will not have it so: somebody has to mend something, or it was bad luck.
    Refused { reason: String, hint: String },
    /// It no longer knows the order: it is begun anew.
    Forgotten { reason: String },
    /// It no longer knows the account.
    Stranger { reason: String },
    /// It has a successor of this certificate already (RFC 9773 §5).
    Replaced,
    /// What has to be remembered cannot be written: nothing is asked of anybody then.
    Unkept { reason: String },
}

impl Trouble {
    pub(super) fn refused(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { reason: shown(&reason.into()), hint: hint.into() }
    }

    /// What an answer means. `seen` is what the client saw last.
    pub(super) fn of(error: Error, seen: Seen) -> Self {
        match error {
            Error::Api(problem) => Self::of_problem(&problem, seen),
            Error::Unsupported(what) => Self::refused(format!("the authority has no {what}"), CHOOSE),
            Error::Crypto | Error::KeyRejected => {
                Self::Stranger { reason: "the account's key cannot be used".to_owned() }
            }
            // Everything else is an answer that is none, or no answer.
            error => Self::away(&error, seen),
        }
    }

    fn away(error: &Error, seen: Seen) -> Self {
        let reason = match seen.status {
            Some(status) if status >= 400 => format!("it answered {status}"),
            _ => causes(error),
        };
        if seen.status == Some(429) {
            return Self::Limited { reason, wait: seen.wait.unwrap_or(UNTOLD) };
        }
        Self::Away { reason: shown(&reason), wait: seen.wait }
    }

    fn of_problem(problem: &Problem, seen: Seen) -> Self {
        let kind = problem.r#type.as_deref().unwrap_or_default();
        let kind = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind);
        let reason = shown(&problem.to_string());
        match kind {
            "rateLimited" => Self::Limited { reason, wait: seen.wait.unwrap_or(UNTOLD) },
            "accountDoesNotExist" => Self::Stranger { reason },
            "alreadyReplaced" => Self::Replaced,
            // The library has tried three nonces by then.
            "badNonce" | "serverInternal" => Self::Away { reason, wait: seen.wait },
            _ if seen.status.is_some_and(|status| status >= 500) => Self::Away { reason, wait: seen.wait },
            _ if seen.status == Some(429) => Self::Limited { reason, wait: seen.wait.unwrap_or(UNTOLD) },
            _ if seen.status == Some(404) => Self::Forgotten { reason },
            _ => Self::refused(reason, hint(kind)),
        }
    }
}

/// The mend, by the error's type (RFC 8555 §6.7).
fn hint(kind: &str) -> &'static str {
    match kind {
        "dns" => "let the name's A and AAAA records point at this machine",
        "connection" | "tls" | "unauthorized" | "incorrectResponse" => {
            "let the name's A and AAAA records point at this machine and no other, and let it be reached from outside at \
             port 443 for tls-alpn-01, at port 80 for http-01; behind a CDN choose `challenges = [\"http-01\"]`, or `dns`"
        }
        "caa" => "let the name's CAA record allow this authority",
        "externalAccountRequired" => "set `external_account` in [tls.acme] to what the authority gave you",
        "userActionRequired" => "read the authority's new terms at the address that it names",
        "rejectedIdentifier" | "unsupportedIdentifier" => {
            "the authority gives no certificates for this name: name another authority, or leave the name out"
        }
        "invalidContact" | "unsupportedContact" => "write a mail address that is in use as `contact`",
        "invalidProfile" => "name a `profile` that the authority has, or none",
        "badCSR" | "badPublicKey" | "badSignatureAlgorithm" | "malformed" => {
            "the authority does not understand this gateway: another version of either may"
        }
        _ => "what the authority says is all that is known",
    }
}

/// A text from outside as it may stand in a log: one line, of a bounded length, with nothing that moves a cursor.
pub(super) fn shown(text: &str) -> String {
    let safe = |c: char| if c.is_control() || is_bidi(c) { ' ' } else { c };
    let mut short: String = text.chars().take(LONGEST_REASON).map(safe).collect();
    if text.chars().count() > LONGEST_REASON {
        short.push('…');
    }
    short
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The error with what caused it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

const CHOOSE: &str = "name another authority in `directory`";

const LONGEST_REASON: usize = 400;

/// Seconds of patience where the authority asks for some and does not say how much.
const UNTOLD: u64 = 3_600;

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str) -> Error {
        let json = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"no"}}"#);
        Error::Api(serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn each_answer_says_what_is_to_be_done_next() {
        for (kind, status, wait, found) in [
            ("rateLimited", 429, Some(77), "Limited { wait: 77 }"),
            ("rateLimited", 429, None, "Limited { wait: 3600 }"),
            ("somethingNew", 429, Some(9), "Limited { wait: 9 }"),
            ("serverInternal", 500, None, "Away"),
            ("whatever", 503, Some(9), "Away"),
            ("badNonce", 400, None, "Away"),
            ("accountDoesNotExist", 400, None, "Stranger"),
            ("alreadyReplaced", 409, None, "Replaced"),
            ("malformed", 404, None, "Forgotten"),
            ("dns", 400, None, "Refused A and AAAA"),
            ("caa", 403, None, "Refused CAA"),
            ("neverHeardOf", 400, None, "Refused"),
        ] {
            let seen = Seen { status: Some(status), wait };
            let text = match Trouble::of(problem(kind), seen) {
                Trouble::Limited { wait, .. } => format!("Limited {{ wait: {wait} }}"),
                Trouble::Refused { hint, .. } => format!("Refused {hint}"),
                other => format!("{other:?}"),
            };
            let (verb, rest) = found.split_once(' ').unwrap_or((found, ""));
            assert!(text.starts_with(verb) && text.contains(rest), "{kind} {status}: {text}");
        }
        let silent = Trouble::of(Error::Str("nothing"), Seen::default());
        assert!(matches!(silent, Trouble::Away { .. }), "{silent:?}");
    }

    #[test]
    fn what_the_authority_says_cannot_move_a_cursor_or_fill_a_disk() {
        assert_eq!(shown("a\u{1b}[2Jb\r\nc\u{202e}d"), "a [2Jb  c d");
        assert_eq!(shown(&"x".repeat(9_999)).chars().count(), LONGEST_REASON + 1);
    }
}
