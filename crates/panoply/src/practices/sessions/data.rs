use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{SessionError, json};

/// What an app keeps of a visitor: names and values, in JavaScript's order.
///
/// A value that nobody here touches stays the text that it was: no number changes its form and no key its
/// place, whoever wrote it.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Data(Vec<(Name, Box<str>)>);

/// UTF-8, but that JavaScript lets half a character stand alone: in its place are the three bytes that it would
/// take (WTF-8).
type Name = Vec<u8>;

impl Data {
    /// In JavaScript's order, each name once.
    fn of(members: Vec<(Name, Box<str>)>) -> Self {
        if members.len() <= FEW {
            let mut data = Self(Vec::with_capacity(members.len()));
            for (name, value) in members {
                data.place(name, value);
            }
            return data;
        }
        // A search for each would take ages for thousands of names.
        let mut places: HashMap<Name, usize> = HashMap::with_capacity(members.len());
        let mut once: Vec<(Name, Box<str>)> = Vec::with_capacity(members.len());
        for (name, value) in members {
            match places.get(&name).and_then(|place| once.get_mut(*place)) {
                Some(first) => first.1 = value,
                None => {
                    places.insert(name.clone(), once.len());
                    once.push((name, value));
                }
            }
        }
        once.sort_by_key(|(name, _)| index(name).map_or(u64::MAX, u64::from));
        Self(once)
    }

    /// The JSON under `key`.
    pub(super) fn get(&self, key: impl AsRef<[u8]>) -> Option<&str> {
        self.members().find(|(name, _)| *name == key.as_ref()).map(|(_, value)| value)
    }

    /// The JSON at a path: a name, or names of objects within one another with dots between them.
    pub(super) fn at(&self, path: &str) -> Option<Cow<'_, str>> {
        match (self.get(path), path.split_once('.')) {
            (Some(value), _) => Some(Cow::Borrowed(value)),
            (None, Some((outer, inner))) => {
                let within: Self = serde_json::from_str(self.get(outer)?).ok()?;
                within.at(inner).map(|value| Cow::Owned(value.into_owned()))
            }
            (None, None) => None,
        }
    }

    /// The name at the top of a path, and what is to stand there for `value` to stand at the path.
    pub(super) fn with<'p>(&self, path: &'p str, value: Box<str>) -> (&'p str, Box<str>) {
        let Some((outer, inner)) = path.split_once('.') else { return (path, value) };
        let mut within: Self =
            self.get(outer).and_then(|value| serde_json::from_str(value).ok()).unwrap_or_default();
        let (name, value) = within.with(inner, value);
        within.set(name, value);
        (outer, within.print().into())
    }

    pub(super) fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        Ok(self.get(key).map(serde_json::from_str).transpose()?)
    }

    pub(super) fn set(&mut self, key: impl AsRef<[u8]>, value: Box<str>) {
        self.place(key.as_ref().to_owned(), value);
    }

    fn place(&mut self, key: Name, value: Box<str>) {
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => {
                let place = match index(&key) {
                    Some(number) => {
                        self.0.partition_point(|(name, _)| index(name).is_some_and(|n| n < number))
                    }
                    None => self.0.len(),
                };
                self.0.insert(place, (key, value));
            }
        }
    }

    pub(super) fn remove(&mut self, key: impl AsRef<[u8]>) -> Option<Box<str>> {
        let place = self.0.iter().position(|(name, _)| name == key.as_ref())?;
        Some(self.0.remove(place).1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.members().map(|(name, _)| name)
    }

    /// The bytes that names and values would take with `value` under `key`.
    pub(super) fn size_with(&self, key: &str, value: &str) -> usize {
        let others = self.members().filter(|(name, _)| *name != key.as_bytes());
        others
            .chain([(key.as_bytes(), value)])
            .map(|(name, value)| name.len() + value.len() + r#""":,"#.len())
            .sum()
    }

    pub(super) fn print(&self) -> String {
        print(self.members())
    }

    /// With more members, before all but the names that JavaScript puts first.
    pub(super) fn print_with<'d>(&'d self, beside: impl Iterator<Item = (&'d str, &'d str)>) -> String {
        let indices = self.0.partition_point(|(name, _)| index(name).is_some());
        let ahead = self.members().take(indices);
        let beside = beside.map(|(name, value)| (name.as_bytes(), value));
        print(ahead.chain(beside).chain(self.members().skip(indices)))
    }

    fn members(&self) -> impl Iterator<Item = (&[u8], &str)> {
        self.0.iter().map(|(name, value)| (name.as_slice(), &**value))
    }

    /// What `self` made of `base`, made of `theirs` as well. Also the names whose values both had changed, each
    /// in its own way; there, `self` is kept.
    pub(super) fn merge(&self, base: &Self, theirs: &Self) -> (Self, Vec<String>) {
        let mut merged = theirs.clone();
        let mut disputed = Vec::new();
        let names = base.keys().filter(|name| self.get(name).is_none()).chain(self.keys());
        for name in names {
            let (was, ours, found) = (base.get(name), self.get(name), theirs.get(name));
            if ours == was || ours == found {
                continue;
            }
            if found != was {
                disputed.push(String::from_utf8_lossy(name).into_owned());
            }
            match self.get(name) {
                Some(value) => merged.set(name, value.into()),
                None => drop(merged.remove(name)),
            }
        }
        (merged, disputed)
    }
}

fn index(name: &[u8]) -> Option<u32> {
    json::index(str::from_utf8(name).ok()?)
}

/// Shows the names alone: a value may be a secret.
impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys().map(String::from_utf8_lossy)).finish()
    }
}

fn print<'d>(members: impl Iterator<Item = (&'d [u8], &'d str)>) -> String {
    let mut text = Vec::with_capacity(256);
    text.push(b'{');
    for (n, (name, value)) in members.enumerate() {
        if n > 0 {
            text.push(b',');
        }
        print_name(&mut text, name);
        text.push(b':');
        text.extend_from_slice(value.as_bytes());
    }
    text.push(b'}');
    String::from_utf8(text).unwrap_or_default()
}

/// With its quotes, and half a character as JavaScript writes it: `\ud83d`.
fn print_name(text: &mut Vec<u8>, name: &[u8]) {
    let is_half = |bytes: &[u8]| matches!(bytes, [0xED, second, _] if *second >= 0xA0);
    let mut rest = name;
    text.push(b'"');
    loop {
        let half = rest.windows(3).position(is_half).unwrap_or(rest.len());
        let (whole, from) = rest.split_at(half);
        let quote = text.len();
        let _ = serde_json::to_writer(&mut *text, &String::from_utf8_lossy(whole)); // to memory: nothing can fail
        text.pop();
        text.remove(quote);
        let Some((bytes, behind)) = from.split_first_chunk::<3>() else { break };
        let unit = bytes.iter().fold(0_u16, |unit, byte| unit << 6 | u16::from(byte & 0x3F));
        text.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
        rest = behind;
    }
    text.push(b'"');
}

/// A name that stands twice counts once, with the last value, at the first place: so JavaScript reads it.
impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Data;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Data, A::Error> {
                let mut members = Vec::new();
                while let Some(Key(name)) = object.next_key()? {
                    members.push((name, object.next_value::<Box<RawValue>>()?.into()));
                }
                Ok(Data::of(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// As many as are found as fast without an index.
const FEW: usize = 32;

/// As bytes, which serde_json gives out where a text would be an error.
struct Key(Name);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<Key, E> {
                Ok(Key(name.to_owned()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data(text: &str) -> Data {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_not_touched_stays_to_the_byte() {
        for text in [
            r#"{}"#,
            r#"{"a":1e+21,"b":1.50,"c":{"z":1, "a":2},"d":"\ud800 é","e":12345678901234567890}"#,
            r#"{"2":0,"10":0,"b":0,"a":0}"#,
            r#"{"\ud800":1,"\udc00a\"é\ud83d😀\udfff\ud83d":2,"\u0001":3,"":4}"#,
        ] {
            assert_eq!(data(text).print(), text);
        }
        assert_eq!(data(r#"{"b":1,"10":2,"9":3,"b":4}"#).print(), r#"{"9":3,"10":2,"b":4}"#);
        assert!(serde_json::from_str::<Data>("[]").is_err());
    }

    #[test]
    fn a_name_keeps_its_place_as_in_javascript() {
        let mut cart = data(r#"{"a":1,"b":2}"#);
        cart.set("a", json::stringify("x").unwrap());
        cart.set("c", json::stringify(&1.0).unwrap());
        cart.set("7", json::stringify(&()).unwrap());
        assert_eq!(cart.print(), r#"{"7":null,"a":"x","b":2,"c":1}"#);
        cart.remove("a");
        cart.set("a", json::stringify(&[1, 2]).unwrap());
        assert_eq!(cart.print(), r#"{"7":null,"b":2,"c":1,"a":[1,2]}"#);
        assert_eq!(cart.read::<Vec<u8>>("a").unwrap(), Some(vec![1, 2]));
        assert!(cart.read::<String>("a").is_err());
        assert_eq!(format!("{cart:?}"), r#"{"7", "b", "c", "a"}"#);
    }

    #[test]
    fn a_path_leads_into_objects() {
        let mut session = data(r#"{"passport":{"a":1,"user":7},"x.y":2}"#);
        for (path, value) in [
            ("passport.user", Some("7")),
            ("x.y", Some("2")),
            ("passport", Some(r#"{"a":1,"user":7}"#)),
            ("passport.user.id", None),
            ("x", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(session.at(path).as_deref(), value, "{path}");
        }
        for (path, printed) in [
            ("passport.user", r#"{"passport":{"a":1,"user":8},"x.y":2}"#),
            ("new.user.id", r#"{"passport":{"a":1,"user":8},"x.y":2,"new":{"user":{"id":8}}}"#),
            ("new", r#"{"passport":{"a":1,"user":8},"x.y":2,"new":8}"#),
        ] {
            let (name, value) = session.with(path, "8".into());
            session.set(name, value);
            assert_eq!(session.print(), printed, "{path}");
        }
    }

    #[test]
    fn of_two_that_changed_different_things_both_hold() {
        for (base, ours, theirs, merged, disputed) in [
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#, r#"{"a":1,"c":3}"#, r#"{"a":1,"c":3,"b":2}"#, &[][..]),
            (r#"{"a":1}"#, r#"{}"#, r#"{"a":1,"c":3}"#, r#"{"c":3}"#, &[]),
            (r#"{"a":1}"#, r#"{"a":1}"#, r#"{}"#, r#"{}"#, &[]),
            (r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":2,"b":1}"#, r#"{"a":2,"b":1}"#, &[]),
            (r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#, r#"{"a":2}"#, &["a"]),
            (r#"{"a":1}"#, r#"{}"#, r#"{"a":3}"#, r#"{}"#, &["a"]),
            (r#"{"a":1}"#, r#"{"a":2}"#, r#"{}"#, r#"{"a":2}"#, &["a"]),
        ] {
            let (found, names) = data(ours).merge(&data(base), &data(theirs));
            assert_eq!(
                (found.print().as_str(), &*names),
                (merged, &*disputed.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()),
                "{ours} {theirs}"
            );
        }
    }

    proptest! {
        #[test]
        fn reading_any_text_ends_in_an_error_at_worst(text in "[\\[\\]{}\":,0-9a-z\\\\ ]{0,40}") {
            if let Ok(read) = serde_json::from_str::<Data>(&text) {
                prop_assert_eq!(data(&read.print()), read);
            }
        }
    }
}
