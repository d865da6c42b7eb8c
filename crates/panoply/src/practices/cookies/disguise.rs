//! What `rename` and `seal` come to: one rule a cookie, read on both ways.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use super::name::{CookieName, is_like};
use super::tally::Tally;
use super::{Until, session};
use crate::cookie_header::Pair;
use crate::keys::Seal;
use crate::{Scheme, SettingError};

/// How the cookies that are renamed or sealed look from outside.
#[derive(Debug)]
pub(super) struct Disguise {
    pub(super) rules: Vec<Rule>,
    /// What sealed cookies belong to.
    pub(super) site: Box<str>,
    /// `None` where no keys were given: then nothing that is to be sealed passes, in either direction.
    pub(super) seal: Option<Seal>,
    pub(super) until: Option<Until>,
    /// Cookies from outside that the app does not get to see.
    pub(super) kept_out: Tally,
    /// Cookies of the app that do not leave.
    pub(super) kept_in: Tally,
}

/// One cookie of the app.
#[derive(Debug)]
pub(super) struct Rule {
    /// The name that the app uses.
    pub(super) own: Box<str>,
    /// The names that browsers see, the strongest first.
    names: Vec<(Spelling, Box<str>)>,
    pub(super) is_renamed: bool,
    pub(super) is_sealed: bool,
    /// Whether the log was told that the strongest name does not fit.
    pub(super) fell_back: AtomicBool,
}

/// Which of its names a cookie has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spelling {
    /// `__Host-…`: over TLS, for all paths of this host alone (RFC 6265bis §4.1.3.2).
    Host,
    /// `__Secure-…`: over TLS.
    Secure,
    /// Without a prefix.
    Bare,
    /// The app's own name, from before it was renamed.
    Own,
}

/// What a cookie of a request is to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The rule's cookie, under a name that holds for this visit.
    Here,
    /// Under another of its names.
    Elsewhere,
    /// Not its name, or not that alone, but some app could take it for one of the app's own.
    Like,
}

impl Disguise {
    /// The rule and what the cookie is to it; most cookies are nothing to any.
    pub(super) fn meaning(&self, pair: &Pair<'_>, scheme: Scheme) -> Option<(usize, Meaning, Spelling)> {
        let name = pair.name();
        let exact = self.rules.iter().enumerate().find_map(|(index, rule)| {
            let spelt =
                rule.names.iter().find(|(_, said)| *said.as_bytes() == *name).map(|(spelling, _)| *spelling);
            match spelt {
                Some(spelling) if rule.holds(spelling, scheme) => Some((index, Meaning::Here, spelling)),
                _ if *rule.own.as_bytes() == *name => Some((index, Meaning::Elsewhere, Spelling::Own)),
                Some(spelling) => Some((index, Meaning::Elsewhere, spelling)),
                None => None,
            }
        });
        match exact {
            Some((index, _, spelling)) if self.has_another_in_it(pair.value()) => {
                Some((index, Meaning::Like, spelling))
            }
            Some(exact) => Some(exact),
            None => {
                let like = self.rules.iter().position(|rule| is_like(&rule.own, pair.part()));
                like.map(|index| (index, Meaning::Like, Spelling::Own))
            }
        }
    }

    /// Whether some app could find one of its own names in a value, behind a comma.
    fn has_another_in_it(&self, value: &[u8]) -> bool {
        let comma = value.iter().position(|byte| *byte == b',');
        let behind = comma.and_then(|comma| value.get(comma + 1..));
        behind.is_some_and(|behind| self.rules.iter().any(|rule| is_like(&rule.own, behind)))
    }

    /// The rule for a cookie of the app.
    pub(super) fn of_own(&self, name: &[u8]) -> Option<(usize, &Rule)> {
        self.rules.iter().enumerate().find(|(_, rule)| *rule.own.as_bytes() == *name)
    }

    /// Whether browsers know another cookie under this name.
    pub(super) fn is_taken(&self, name: &[u8]) -> bool {
        self.rules.iter().any(|rule| rule.names.iter().any(|(_, said)| *said.as_bytes() == *name))
    }
}

impl Rule {
    /// The name for a visit by `scheme`; `is_for_host`: for all paths, and for no other host.
    pub(super) fn name(&self, scheme: Scheme, is_for_host: bool) -> (Spelling, &str) {
        let fits =
            |spelling: Spelling| self.holds(spelling, scheme) && (is_for_host || spelling != Spelling::Host);
        let name = self.names.iter().find(|(spelling, _)| fits(*spelling));
        name.map_or((Spelling::Own, &self.own), |(spelling, name)| (*spelling, name))
    }

    pub(super) fn spelt(&self, spelling: Spelling) -> &str {
        self.names.iter().find(|(said, _)| *said == spelling).map_or(&self.own, |(_, name)| name)
    }

    /// Whether a name is one that a visit by `scheme` can have. In the clear no browser sends or keeps a prefix; over
    /// TLS the bare name could come from whoever set it in the clear, or from a neighbouring host.
    fn holds(&self, spelling: Spelling, scheme: Scheme) -> bool {
        match spelling {
            Spelling::Host | Spelling::Secure => scheme == Scheme::Https,
            Spelling::Bare => scheme == Scheme::Http || self.names.len() == 1,
            Spelling::Own => false,
        }
    }
}

/// One rule for each cookie that is named, and for the signature that the npm package `cookies` sets beside it
/// (`session.sig` of cookie-session): it goes along, so that it neither tells the old name nor is left behind.
pub(super) fn rules(rename: &BTreeMap<CookieName, CookieName>, seal: &[CookieName]) -> Vec<Rule> {
    let kept = seal.iter().filter(|own| !rename.contains_key(*own)).map(|own| (own, own, false));
    let named: Vec<_> = rename.iter().map(|(own, new)| (own, new, true)).chain(kept).collect();
    let is_named = |name: &str| named.iter().any(|(own, ..)| own.as_str() == name);
    let mut rules = Vec::with_capacity(2 * named.len());
    for (own, new, is_renamed) in &named {
        let is_sealed = seal.contains(own);
        let signature = format!("{own}.sig");
        let is_signature = session::signs(own.as_str().as_bytes()).is_some();
        for (suffix, own) in [("", own.as_str()), (".sig", &signature)] {
            if !suffix.is_empty() && (is_signature || is_named(own)) {
                continue;
            }
            let new = format!("{new}{suffix}");
            let names = if *is_renamed { spellings(&new) } else { vec![(Spelling::Bare, new.into())] };
            let (own, is_renamed) = (own.into(), *is_renamed);
            rules.push(Rule { own, names, is_renamed, is_sealed, fell_back: AtomicBool::new(false) });
        }
    }
    rules
}

/// Refuses rules that cannot be, or not all at once.
pub(super) fn check(rules: &[Rule]) -> Result<(), SettingError> {
    for rule in rules {
        rule.check()?;
    }
    for (place, rule) in rules.iter().enumerate() {
        for other in rules.iter().skip(place + 1) {
            let both =
                rule.names.iter().find(|(_, name)| other.names.iter().any(|(_, said)| is_same(name, said)));
            if let Some((_, name)) = both {
                return Err(SettingError::new(
                    format!("`{}` and `{}` would both be `{name}` to browsers", rule.own, other.own),
                    "give each a name of its own, with and without `__Host-` or `__Secure-`",
                ));
            }
        }
        for other in rules.iter().filter(|other| other.own != rule.own && rule.is_renamed) {
            if let Some((_, name)) = rule.names.iter().find(|(_, name)| is_like(&other.own, name.as_bytes()))
            {
                return Err(SettingError::new(
                    format!(
                        "`{}` would be `{name}`, but that is the app's own name of another cookie",
                        rule.own
                    ),
                    "choose a name that no cookie of the app has",
                ));
            }
        }
    }
    Ok(())
}

impl Rule {
    fn check(&self) -> Result<(), SettingError> {
        let own = &*self.own;
        if session::is_for_scripts(own.as_bytes()) {
            return Err(SettingError::new(
                format!("`{own}` is for scripts: the page has to find it, and read what is in it"),
                "take it out; what guards against cross-site writes is `csrf`",
            ));
        }
        if !self.is_renamed {
            return Ok(());
        }
        let (strongest, new) = self.names.first().map_or((Spelling::Own, own), |(at, name)| (*at, name));
        if new == own {
            let message = format!("`{own}` is its name already");
            return Err(SettingError::new(message, "write another name, or take it out"));
        }
        let bare = self.spelt(Spelling::Bare);
        if bare.is_empty() || bare.starts_with("__") || bare == ".sig" {
            return Err(SettingError::new(
                format!("`{new}` has nothing of its own behind the prefix"),
                "write such as `__Host-id`",
            ));
        }
        for (spelling, prefix) in PREFIXES {
            let begins =
                |name: &str| name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
            if begins(new) && !new.starts_with(prefix) {
                let hint = format!("write `{prefix}{}`", new.get(prefix.len()..).unwrap_or_default());
                return Err(SettingError::new(
                    format!("browsers write the prefix of `{new}` as `{prefix}`"),
                    hint,
                ));
            }
            if begins(own) && strongest > spelling {
                return Err(SettingError::new(
                    format!("`{own}` would lose what its prefix makes browsers promise"),
                    format!("write `{prefix}{bare}`"),
                ));
            }
        }
        Ok(())
    }
}

/// `__Host-id`, `__Secure-id`, `id`: as strong a name as was asked for, and what stands in for it.
fn spellings(new: &str) -> Vec<(Spelling, Box<str>)> {
    let found = PREFIXES.iter().position(|(_, prefix)| {
        new.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    });
    let Some(found) = found else { return vec![(Spelling::Bare, new.into())] };
    let bare = PREFIXES.get(found).and_then(|(_, prefix)| new.get(prefix.len()..)).unwrap_or_default();
    let weaker =
        PREFIXES.iter().skip(found + 1).map(|(spelling, prefix)| (*spelling, format!("{prefix}{bare}")));
    let asked = PREFIXES.get(found).map(|(spelling, _)| (*spelling, new.to_owned()));
    let all = asked.into_iter().chain(weaker).chain([(Spelling::Bare, bare.to_owned())]);
    all.map(|(spelling, name)| (spelling, name.into())).collect()
}

/// To browsers case counts, to some apps it does not.
fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// The strongest first (RFC 6265bis §4.1.3).
const PREFIXES: [(Spelling, &str); 2] = [(Spelling::Host, "__Host-"), (Spelling::Secure, "__Secure-")];

#[cfg(test)]
mod tests {
    use crate::Cookies;

    #[test]
    fn names_that_cannot_all_be_are_refused() {
        for (settings, message) in [
            ("rename = { a = '__Host-id' }", "fine"),
            ("rename = { sid = '__Host-sid' }", "fine"),
            ("rename = { 'koa:sess' = 'id', b = 'id2' }\nseal = ['koa:sess', 'c']", "fine"),
            ("rename = { '__Host-a' = '__Host-id', '__Secure-b' = '__Host-b2' }", "fine"),
            (
                "rename = { a = '__Host-id', b = '__Host-id' }",
                "`a` and `b` would both be `__Host-id` to browsers",
            ),
            (
                "rename = { a = '__Host-id', b = '__Secure-id' }",
                "`a` and `b` would both be `__Secure-id` to browsers",
            ),
            ("rename = { a = '__Host-id', b = 'id' }", "`a` and `b` would both be `id` to browsers"),
            ("rename = { a = 'id', b = 'ID' }", "`a` and `b` would both be `id` to browsers"),
            ("rename = { a = 'id', b = 'id.sig' }", "`a.sig` and `b` would both be `id.sig` to browsers"),
            (
                "rename = { a = 'b', b = 'a' }",
                "`a` would be `b`, but that is the app's own name of another cookie",
            ),
            (
                "rename = { a = '__Host-b', b = 'c' }",
                "`a` would be `b`, but that is the app's own name of another cookie",
            ),
            (
                "rename = { a = 'B', b = 'c' }",
                "`a` would be `B`, but that is the app's own name of another cookie",
            ),
            ("rename = { a = 'b' }\nseal = ['b']", "`a` and `b` would both be `b` to browsers"),
            ("rename = { a = 'a' }", "`a` is its name already"),
            ("rename = { a = '__Host-' }", "`__Host-` has nothing of its own behind the prefix"),
            (
                "rename = { a = '__Host-__Secure-b' }",
                "`__Host-__Secure-b` has nothing of its own behind the prefix",
            ),
            ("rename = { a = '__host-b' }", "browsers write the prefix of `__host-b` as `__Host-`"),
            (
                "rename = { '__Host-a' = 'id' }",
                "`__Host-a` would lose what its prefix makes browsers promise",
            ),
            (
                "rename = { '__Host-a' = '__Secure-id' }",
                "`__Host-a` would lose what its prefix makes browsers promise",
            ),
            ("rename = { XSRF-TOKEN = 'id' }", FOR_SCRIPTS),
            ("seal = ['XSRF-TOKEN']", FOR_SCRIPTS),
            ("rename = { 'a b' = 'id' }", "`a b` is no name of a cookie"),
            ("rename = { a = 'i=d' }", "`i=d` is no name of a cookie"),
            ("seal = ['']", "a cookie has a name, but this one is empty"),
            ("seal = ['a']\nexempt = ['a']", "`a` is exempt, and can then not be renamed or sealed"),
            (
                "rename = { a = '__Host-id' }\nsecure = 'never'",
                "browsers take `__Host-id` with `Secure` alone, and `secure = \"never\"` leaves that out",
            ),
            (
                "mode = 'observe'\nseal = ['a']",
                "a cookie that is renamed or sealed is so for browsers and app both, which cannot be watched only",
            ),
            ("mode = 'observe'\naccept_plain_until = '2026-12-31'", "fine"),
            ("accept_plain_until = 'tomorrow'", "`tomorrow` is no date"),
        ] {
            let said = match toml::from_str::<crate::Guard<Cookies>>(settings) {
                Ok(_) => "fine".to_owned(),
                Err(error) => error.message().to_owned(),
            };
            let (said, hint) = said.split_once("\nhint: ").unwrap_or((&said, ""));
            assert_eq!(said, message, "{settings}");
            assert_eq!(hint.is_empty(), message == "fine", "{settings}");
        }
    }

    const FOR_SCRIPTS: &str = "`XSRF-TOKEN` is for scripts: the page has to find it, and read what is in it";
}
