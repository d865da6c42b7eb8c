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
pub(super) struct Data(Vec<(String, Box<str>)>);

impl Data {
    /// In JavaScript's order, each name once.
    fn of(members: Vec<(String, Box<str>)>) -> Self {
        if members.len() <= FEW {
            let mut data = Self(Vec::with_capacity(members.len()));
            for (name, value) in members {
                data.place(name, value);
            }
            return data;
        }
        // A search for each would take ages for thousands of names.
        let mut places: HashMap<String, usize> = HashMap::with_capacity(members.len());
        let mut once: Vec<(String, Box<str>)> = Vec::with_capacity(members.len());
        for (name, value) in members {
            match places.get(&name).and_then(|place| once.get_mut(*place)) {
                Some(first) => first.1 = value,
                None => {
                    places.insert(name.clone(), once.len());
                    once.push((name, value));
                }
            }
        }
        once.sort_by_key(|(name, _)| json::index(name).map_or(u64::MAX, u64::from));
        Self(once)
    }

    /// The JSON under `key`.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| &**value)
    }

    pub(super) fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        Ok(self.get(key).map(serde_json::from_str).transpose()?)
    }

    pub(super) fn set(&mut self, key: &str, value: Box<str>) {
        self.place(key.to_owned(), value);
    }

    fn place(&mut self, key: String, value: Box<str>) {
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => {
                let place = match json::index(&key) {
                    Some(index) => {
                        self.0.partition_point(|(name, _)| json::index(name).is_some_and(|n| n < index))
                    }
                    None => self.0.len(),
                };
                self.0.insert(place, (key, value));
            }
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Box<str>> {
        let place = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(place).1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The bytes that names and values would take with `value` under `key`.
    pub(super) fn size_with(&self, key: &str, value: &str) -> usize {
        let others = self.members().filter(|(name, _)| *name != key);
        others.chain([(key, value)]).map(|(name, value)| name.len() + value.len() + r#""":,"#.len()).sum()
    }

    pub(super) fn print(&self) -> String {
        print(self.members())
    }

    /// With more members, before all but the names that JavaScript puts first.
    pub(super) fn print_with<'d>(&'d self, beside: impl Iterator<Item = (&'d str, &'d str)>) -> String {
        let indices = self.0.partition_point(|(name, _)| json::index(name).is_some());
        let ahead = self.members().take(indices);
        print(ahead.chain(beside).chain(self.members().skip(indices)))
    }

    fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
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
                disputed.push(name.to_owned());
            }
            match self.get(name) {
                Some(value) => merged.set(name, value.into()),
                None => drop(merged.remove(name)),
            }
        }
        (merged, disputed)
    }
}

/// Shows the names alone: a value may be a secret.
impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys()).finish()
    }
}

fn print<'d>(members: impl Iterator<Item = (&'d str, &'d str)>) -> String {
    let mut text = Vec::with_capacity(256);
    text.push(b'{');
    for (name, value) in members {
        if text.len() > 1 {
            text.push(b',');
        }
        // Into memory, where a string can always be written.
        let _ = serde_json::to_writer(&mut text, name);
        text.push(b':');
        text.extend_from_slice(value.as_bytes());
    }
    text.push(b'}');
    String::from_utf8(text).unwrap_or_default()
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
                while let Some((name, value)) = object.next_entry::<String, Box<RawValue>>()? {
                    members.push((name, value.into()));
                }
                Ok(Data::of(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// As many as are found as fast without an index.
const FEW: usize = 32;

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
