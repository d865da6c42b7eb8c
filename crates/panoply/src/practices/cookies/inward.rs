//! The `Cookie` header on its way to the app: names of browsers become the app's own, and what is sealed is opened.

use http::header::{COOKIE, Entry};
use http::{HeaderMap, HeaderValue};

use super::disguise::{Disguise, Meaning, Rule, Spelling};
use crate::cookie_header::{Pair, pairs};
use crate::keys::Context;
use crate::{Scheme, World};

/// Under which names a request brought the cookies that have rules, so that an answer can clear up.
#[derive(Debug, Default)]
pub(crate) struct Presented(Vec<(usize, Spelling)>);

impl Presented {
    pub(super) fn of(&self, rule: usize) -> impl Iterator<Item = Spelling> {
        self.0.iter().filter(move |(of, _)| *of == rule).map(|(_, spelling)| *spelling)
    }

    fn add(&mut self, rule: usize, spelling: Spelling) {
        if !self.0.contains(&(rule, spelling)) {
            self.0.push((rule, spelling));
        }
    }
}

impl Disguise {
    /// Rewrites the header where it has to be. Of each cookie the app gets one at most, so that apps which take the
    /// first of a name agree with those that take the last.
    pub(super) fn inward(&self, scheme: Scheme, headers: &mut HeaderMap, world: &World) -> Presented {
        let mut choice = Choice::default();
        for (place, pair) in pairs(headers).enumerate() {
            if let Some((rule, meaning, spelling)) = self.meaning(&pair, scheme) {
                self.consider(&mut choice, world, Offer { place, pair, rule, meaning, spelling });
            }
        }
        if !choice.is_needed {
            return choice.presented;
        }
        if let Some(count) = self.kept_out.add(choice.kept_out, world.now()) {
            let last = choice.last_kept_out.map(|rule| &*rule.own);
            tracing::warn!(count, last, "cookies that this site did not set so were kept from the app");
        }
        let rewritten = self.rewritten(scheme, headers, &choice);
        if let Entry::Occupied(mut fields) = headers.entry(COOKIE) {
            let mut rewritten = rewritten.into_iter();
            match rewritten.next() {
                None => drop(fields.remove_entry_mult()),
                Some(first) => {
                    fields.insert(first);
                    rewritten.for_each(|field| fields.append(field));
                }
            }
        }
        choice.presented
    }

    fn consider<'d>(&'d self, choice: &mut Choice<'d>, world: &World, offer: Offer<'_>) {
        let Offer { place, pair, rule: index, meaning, spelling } = offer;
        let Some(rule) = self.rules.get(index) else { return };
        choice.is_needed = true;
        if meaning != Meaning::Like {
            choice.presented.add(index, spelling);
        }
        let takes_plain = *choice
            .takes_plain
            .get_or_insert_with(|| self.until.is_some_and(|until| until.is_after(world.unix_time())));
        let is_candidate = match meaning {
            Meaning::Here => true,
            Meaning::Elsewhere => spelling == Spelling::Own && rule.is_renamed && takes_plain,
            Meaning::Like => false,
        };
        let value = if is_candidate { choice.value(self, index, rule, &pair, takes_plain) } else { None };
        let Some(value) = value else {
            // A name for visits by the other scheme is nobody's attempt.
            if meaning != Meaning::Elsewhere || spelling == Spelling::Own {
                choice.kept_out += 1;
                choice.last_kept_out = Some(rule);
            }
            return;
        };
        let is_plain = rule.is_sealed && matches!(value, Value::AsSent);
        let winner = Winner { rule: index, rank: (spelling, is_plain), place, value };
        match choice.winners.iter_mut().find(|winner| winner.rule == index) {
            Some(before) if before.rank <= winner.rank => {}
            Some(before) => *before = winner,
            None => choice.winners.push(winner),
        }
    }

    /// The fields without what lost and was kept out, byte for byte else; a field with nothing left is gone.
    fn rewritten(&self, scheme: Scheme, headers: &HeaderMap, choice: &Choice<'_>) -> Vec<HeaderValue> {
        let mut pairs = pairs(headers).enumerate().peekable();
        let fields = headers.get_all(COOKIE).iter().enumerate();
        let rewrite = |(field, value): (usize, &HeaderValue)| {
            let mut text = Rewriting::of(value.as_bytes());
            while let Some((place, pair)) = pairs.next_if(|(_, pair)| pair.field() == field) {
                let Some((rule, ..)) = self.meaning(&pair, scheme) else { continue };
                let winner = choice.winners.iter().find(|winner| winner.place == place);
                match (winner, self.rules.get(rule)) {
                    (Some(winner), Some(rule)) => text.put(&pair, &rule.own, &winner.value),
                    _ => text.leave_out(&pair),
                }
            }
            let text = text.end();
            if text.trim_ascii().is_empty() {
                return None;
            }
            let mut rewritten = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()?;
            rewritten.set_sensitive(value.is_sensitive());
            Some(rewritten)
        };
        fields.filter_map(rewrite).collect()
    }

    fn open(&self, rule: &Rule, value: &[u8]) -> Option<Vec<u8>> {
        let context = Context { site: &self.site, name: &rule.own };
        let plain = self.seal.as_ref()?.open(&context, value)?.plain;
        // What a `Set-Cookie` line cannot hold was not sealed here, whoever has the keys.
        let is_value = HeaderValue::from_bytes(&plain).is_ok() && !plain.contains(&b';');
        is_value.then_some(plain)
    }
}

/// One cookie of the request that has to do with a rule.
struct Offer<'h> {
    place: usize,
    pair: Pair<'h>,
    rule: usize,
    meaning: Meaning,
    spelling: Spelling,
}

/// Which of the cookies the app gets.
#[derive(Default)]
struct Choice<'d> {
    is_needed: bool,
    takes_plain: Option<bool>,
    winners: Vec<Winner>,
    /// How often a seal was tried, by rule.
    tried: Vec<(usize, usize)>,
    presented: Presented,
    kept_out: u64,
    last_kept_out: Option<&'d Rule>,
}

struct Winner {
    rule: usize,
    /// The least is the best: the stronger name, and what was sealed before what was not.
    rank: (Spelling, bool),
    /// Which of all cookies it is.
    place: usize,
    value: Value,
}

enum Value {
    AsSent,
    Opened(Vec<u8>),
}

impl Choice<'_> {
    fn value(
        &mut self,
        disguise: &Disguise,
        index: usize,
        rule: &Rule,
        pair: &Pair<'_>,
        takes_plain: bool,
    ) -> Option<Value> {
        if !rule.is_sealed {
            return Some(Value::AsSent);
        }
        if self.may_try(index)
            && let Some(plain) = disguise.open(rule, pair.value())
        {
            return Some(Value::Opened(plain));
        }
        takes_plain.then_some(Value::AsSent)
    }

    fn may_try(&mut self, rule: usize) -> bool {
        match self.tried.iter_mut().find(|(of, _)| *of == rule) {
            Some((_, times)) => {
                *times += 1;
                *times <= MOST_TRIES
            }
            None => {
                self.tried.push((rule, 1));
                true
            }
        }
    }
}

/// One field of the header, copied up to where it was dealt with.
struct Rewriting<'h> {
    field: &'h [u8],
    copied: usize,
    text: Vec<u8>,
}

impl<'h> Rewriting<'h> {
    fn of(field: &'h [u8]) -> Self {
        Self { field, copied: 0, text: Vec::with_capacity(field.len()) }
    }

    fn copy_to(&mut self, place: usize) {
        self.text.extend_from_slice(self.field.get(self.copied..place).unwrap_or_default());
        self.copied = self.copied.max(place);
    }

    fn put(&mut self, pair: &Pair<'_>, name: &str, value: &Value) {
        self.copy_to(pair.name_span().start);
        self.text.extend_from_slice(name.as_bytes());
        self.copied = pair.name_span().end;
        if let Value::Opened(value) = value {
            self.copy_to(pair.value_span().start);
            self.text.extend_from_slice(value);
            self.copied = pair.value_span().end;
        }
    }

    /// Leaves out a cookie and the semicolon behind it; behind the last there is none, and the one before goes.
    fn leave_out(&mut self, pair: &Pair<'_>) {
        self.copy_to(pair.span().start);
        self.copied = pair.span().end + 1;
        if pair.span().end == self.field.len() {
            self.text.pop_if(|byte| *byte == b';');
        } else if self.text.is_empty() {
            let behind = self.field.get(self.copied..).unwrap_or_default();
            self.copied += behind.len() - behind.trim_ascii_start().len();
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.copy_to(self.field.len());
        self.text
    }
}

/// Cookies of one name in one request for which a seal is tried. Browsers send two or three at the worst.
const MOST_TRIES: usize = 8;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::practices::cookies::Until;
    use crate::{Clock, Cookies, Keys};

    #[test]
    fn a_name_of_browsers_becomes_the_apps_own_which_nobody_else_may_use() {
        for (scheme, sent, read) in [
            (Https, &["__Host-id=1"][..], &["connect.sid=1"][..]),
            (Https, &["a=1; __Host-id=2; b=3"], &["a=1; connect.sid=2; b=3"]),
            (Https, &["a=1;\t__Host-id = 2 ;b"], &["a=1;\tconnect.sid = 2 ;b"]),
            (Https, &["__Secure-id=1"], &["connect.sid=1"]),
            (Https, &["__Secure-id=1; __Host-id=2"], &["connect.sid=2"]), // nobody else can set this one
            (Https, &["__Host-id=1; a=1; __Host-id=2"], &["connect.sid=1; a=1"]),
            (Https, &["id=1; a=1"], &["a=1"]), // anybody could have set it in the clear
            (Http, &["id=1; a=1"], &["connect.sid=1; a=1"]),
            (Http, &["__Host-id=1; a=1"], &["a=1"]),
            (Https, &["connect.sid=1"], &[]),
            (Https, &["connect.sid=1; a=1"], &["a=1"]),
            (Https, &["a=1; connect.sid=1"], &["a=1"]),
            (Https, &["a=1; connect.sid=1; b=2"], &["a=1; b=2"]),
            (Https, &["connect.sid=1; connect.sid=2; a=1;"], &["a=1;"]),
            (Https, &["a=1;connect.sid=1;connect.sid=2"], &["a=1"]),
            (Https, &["a=1; connect.sid=1; __Host-id=2"], &["a=1; connect.sid=2"]),
            (Https, &["Connect.Sid=1; connect_sid=1; connect%2Esid=1; a=1"], &["a=1"]),
            (Https, &["b=1, connect.sid=1; a=1"], &["a=1"]),
            (Https, &["__Host-id=1, connect.sid=2; a=1"], &["a=1"]),
            (Https, &["connect.sid.sig=1; __Host-id.sig=2"], &["connect.sid.sig=2"]),
            (Https, &["connect.sid=1", "a=1", "__Host-id=2; b"], &["a=1", "connect.sid=2; b"]),
            (Https, &["lang=1", "__Host-lang=2"], &["lang=2"]),
            (Http, &["lang=1"], &["lang=1"]),
        ] {
            let cookies = renaming();
            assert_eq!(inward(&cookies, scheme, sent), read, "{scheme:?} {sent:?}");
        }
    }

    #[test]
    fn what_has_no_rule_is_left_to_the_byte() {
        for sent in ["", ";;", " a = 1 ;b;; c=\"x;y\" ", "a=1; a=2;", "__Host-ids=1; connect.sid2=1; =x; sid"]
        {
            assert_eq!(inward(&renaming(), Https, &[sent]), [sent]);
        }
    }

    #[test]
    fn only_what_was_sealed_here_is_opened() {
        let keys = Keys::new([Keys::generate()]).unwrap();
        let cookies = Cookies::default().seal(["sid"], &keys).unwrap().site("shop.example");
        let sealed = |site: &str, name: &str, plain: &str| {
            let context = Context { site, name };
            keys.seal("panoply cookie").seal(&context, plain.as_bytes(), Duration::ZERO)
        };
        let good = sealed("shop.example", "sid", "s%3Aabc \"x\"");
        let mut altered = good.clone();
        altered.replace_range(20..21, if &good[20..21] == "A" { "B" } else { "A" });
        let other = Keys::new([Keys::generate()]).unwrap().seal("panoply cookie");
        let foreign = other.seal(&Context { site: "shop.example", name: "sid" }, b"x", Duration::ZERO);
        for (value, read) in [
            (good.as_str(), &["a=1; sid=s%3Aabc \"x\"; b=2"][..]),
            (&altered, &["a=1; b=2"]),
            (&good[1..], &["a=1; b=2"]),
            (&format!("{good}="), &["a=1; b=2"]),
            (&foreign, &["a=1; b=2"]),
            (&sealed("evil.example", "sid", "x"), &["a=1; b=2"]),
            (&sealed("shop.example", "user", "x"), &["a=1; b=2"]),
            (&sealed("shop.example", "sid", "x; user=admin"), &["a=1; b=2"]),
            (&sealed("shop.example", "sid", "x\r\ny"), &["a=1; b=2"]),
            ("s%3Aabc", &["a=1; b=2"]),
            ("", &["a=1; b=2"]),
        ] {
            assert_eq!(inward(&cookies, Https, &[&format!("a=1; sid={value}; b=2")]), read, "{value}");
        }
        // One that does not open stands in nobody's way.
        assert_eq!(inward(&cookies, Https, &[&format!("sid=junk; sid={good}")]), ["sid=s%3Aabc \"x\""]);
        let junk = "sid=junk; ".repeat(MOST_TRIES);
        assert_eq!(inward(&cookies, Https, &[&format!("{junk}sid={good}")]), [""; 0]);
    }

    #[test]
    fn without_keys_nothing_that_is_to_be_sealed_passes() {
        let cookies: Cookies = toml::from_str("seal = ['sid']").unwrap();
        assert!(cookies.needs_keys());
        assert_eq!(inward(&cookies, Https, &["sid=1; a=1"]), ["a=1"]);
    }

    #[test]
    fn until_the_change_over_ends_what_was_before_is_taken_too() {
        let keys = Keys::new([Keys::generate()]).unwrap();
        let seal = keys.seal("panoply cookie");
        let sealed = seal.seal(&Context { site: "", name: "sid" }, b"new", Duration::ZERO);
        let cookies = || {
            let renamed =
                Cookies::default().rename("sid", "__Host-id").unwrap().seal(["sid"], &keys).unwrap();
            renamed.accept_plain_until("2026-12-31".parse::<Until>().unwrap())
        };
        for (sent, before, after) in [
            ("sid=old", &["sid=old"][..], &[][..]),
            ("sid=old; __Host-id=old2", &["sid=old2"], &[]),
            (&format!("sid=old; __Host-id={sealed}"), &["sid=new"], &["sid=new"]),
            (&format!("__Host-id=old; __Host-id={sealed}"), &["sid=new"], &["sid=new"]),
            (&format!("sid={sealed}"), &["sid=new"], &[]), // sealed first, renamed later
            ("SID=old; a=1", &["a=1"], &["a=1"]),
            ("sid=old, sid=x; a=1", &["a=1"], &["a=1"]),
        ] {
            let clock = Clock::manual();
            let world = World::new(clock.clone());
            assert_eq!(inward_in(&world, &cookies(), Https, &[sent]), before, "{sent}");
            clock.advance(Duration::from_secs(24 * 60 * 60));
            assert_eq!(inward_in(&world, &cookies(), Https, &[sent]), after, "{sent}");
        }
    }

    proptest! {
        #[test]
        fn every_other_cookie_stays_in_order(fields in proptest::collection::vec("(x|y|sid|__Host-id|id| ?)=?[12]?(; ?(x|y|Sid|__Secure-id|__Host-id)=[12])*;?", 0..4)) {
            let cookies = Cookies::default().rename("sid", "__Host-id").unwrap();
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            let read = inward(&cookies, Https, &fields);
            let others = |fields: &[&str]| -> Vec<String> {
                let parts = fields.iter().flat_map(|field| field.split(';'));
                parts.map(str::trim).filter(|part| part.starts_with(['x', 'y'])).map(str::to_owned).collect()
            };
            let lent: Vec<&str> = read.iter().map(String::as_str).collect();
            prop_assert_eq!(others(&fields), others(&lent));
            prop_assert!(read.iter().map(|field| field.to_lowercase().matches("sid=").count()).sum::<usize>() <= 1, "{:?}", read);
        }
    }

    fn renaming() -> Cookies {
        let cookies = Cookies::default().rename("connect.sid", "__Host-id").unwrap();
        cookies.rename("lang", "__Host-lang").unwrap()
    }

    fn inward(cookies: &Cookies, scheme: Scheme, sent: &[&str]) -> Vec<String> {
        inward_in(&World::default(), cookies, scheme, sent)
    }

    fn inward_in(world: &World, cookies: &Cookies, scheme: Scheme, sent: &[&str]) -> Vec<String> {
        let mut headers: HeaderMap =
            sent.iter().map(|field| (COOKIE, HeaderValue::from_str(field).unwrap())).collect();
        cookies.disguise().unwrap().inward(scheme, &mut headers, world);
        headers.get_all(COOKIE).iter().map(|field| field.to_str().unwrap().to_owned()).collect()
    }

    use Scheme::{Http, Https};
}
