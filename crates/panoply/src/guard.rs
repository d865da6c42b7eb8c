use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor,
};

use crate::{Practice, SettingError};

/// How a practice stands: it acts, it only watches, or it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard<P> {
    /// It decides and acts.
    On(P),
    /// It decides and logs, and changes nothing.
    Observe(P),
    /// It is not there.
    Off,
}

/// The settings of one practice.
pub trait Policy: Sized + DeserializeOwned {
    /// Whose settings these are.
    const PRACTICE: Practice;

    /// The defaults in front of an app that panoply does not know. `Default` is for an app that it is part of.
    fn in_front() -> Self;

    /// Its most important figure, for the start-up page: `300/min`, `24 h`; empty where there is none.
    fn summary(&self) -> String;

    /// Refuses settings that do not go together, or not with the state that the practice is in.
    ///
    /// # Errors
    /// Most practices have none.
    fn check(_guard: &Guard<Self>) -> Result<(), SettingError> {
        Ok(())
    }

    /// Reads the short form, such as `rate_limit = "300/min"`.
    ///
    /// # Errors
    /// When `text` is no short form of this practice; most have none.
    fn from_short(text: &str) -> Result<Self, SettingError> {
        Err(SettingError::new(
            format!("`{text}` is neither \"on\", \"observe\" nor \"off\""),
            format!("write one of the three, or a table `[shield.{}]`", Self::PRACTICE),
        ))
    }
}

impl<P> Guard<P> {
    /// The settings, unless it is off.
    pub const fn policy(&self) -> Option<&P> {
        match self {
            Self::On(policy) | Self::Observe(policy) => Some(policy),
            Self::Off => None,
        }
    }

    /// Its state as one word: `on`, `observe` or `off`.
    pub const fn state(&self) -> &'static str {
        match self {
            Self::On(_) => "on",
            Self::Observe(_) => "observe",
            Self::Off => "off",
        }
    }

    /// Whether it only watches.
    pub const fn is_observed(&self) -> bool {
        matches!(self, Self::Observe(_))
    }

    /// Changes the settings and keeps the state.
    #[must_use]
    pub fn map<Q>(self, change: impl FnOnce(P) -> Q) -> Guard<Q> {
        match self {
            Self::On(policy) => Guard::On(change(policy)),
            Self::Observe(policy) => Guard::Observe(change(policy)),
            Self::Off => Guard::Off,
        }
    }
}

impl<P> From<P> for Guard<P> {
    fn from(policy: P) -> Self {
        Self::On(policy)
    }
}

/// `"on"`, `"observe"`, `"off"`, a short form, or a table of settings with an optional `mode`.
///
/// Written by hand, since an untagged enum loses the place of an error.
impl<'de, P: Policy> Deserialize<'de> for Guard<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GuardVisitor(PhantomData))
    }
}

struct GuardVisitor<P>(PhantomData<P>);

impl<'de, P: Policy> Visitor<'de> for GuardVisitor<P> {
    type Value = Guard<P>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"on\", \"observe\", \"off\" or a table of settings")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Guard<P>, E> {
        match Mode::named(text) {
            Some(mode) => Ok(mode.of(P::in_front())),
            None => P::from_short(text).map(Guard::On).map_err(SettingError::into_serde),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Guard<P>, A::Error> {
        let mut mode = Mode::On;
        let settings = WithoutMode { table, mode: &mut mode };
        let policy = P::deserialize(de::value::MapAccessDeserializer::new(settings))?;
        let guard = mode.of(policy);
        P::check(&guard).map_err(SettingError::into_serde)?;
        Ok(guard)
    }
}

#[derive(Clone, Copy)]
enum Mode {
    On,
    Observe,
    Off,
}

impl Mode {
    fn named(text: &str) -> Option<Self> {
        match text {
            "on" => Some(Self::On),
            "observe" => Some(Self::Observe),
            "off" => Some(Self::Off),
            _ => None,
        }
    }

    fn of<P>(self, policy: P) -> Guard<P> {
        match self {
            Self::On => Guard::On(policy),
            Self::Observe => Guard::Observe(policy),
            Self::Off => Guard::Off,
        }
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::named(&text).ok_or_else(|| {
            SettingError::new(
                format!("`{text}` is no mode"),
                "write \"on\", \"observe\" or \"off\"".to_owned(),
            )
            .into_serde()
        })
    }
}

/// A table that keeps its `mode` to itself and shows every other key.
struct WithoutMode<'m, A> {
    table: A,
    mode: &'m mut Mode,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutMode<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.table.next_key::<String>()? {
            if key == "mode" {
                *self.mode = self.table.next_value()?;
            } else {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.table.next_value_seed(seed)
    }
}
