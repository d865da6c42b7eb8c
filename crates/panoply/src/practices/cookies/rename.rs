//! The settings `rename` and `seal`: names of cookies, checked on the way in.

use std::collections::BTreeMap;
use std::ops::Deref;

use serde::{Deserialize, Deserializer};

use super::disguise::{check, rules};
use super::name::CookieName;
use crate::SettingError;

/// The app's own names, and those that browsers see.
#[derive(Clone, Debug, Default)]
pub(super) struct Rename(BTreeMap<CookieName, CookieName>);

/// The app's own names of what is sealed.
#[derive(Clone, Debug, Default)]
pub(super) struct SealNames(Vec<CookieName>);

impl Rename {
    pub(super) fn add(&mut self, own: &str, new: &str) -> Result<(), SettingError> {
        let _ = self.0.insert(own.parse()?, new.parse()?);
        Ok(())
    }
}

impl SealNames {
    pub(super) fn add(&mut self, own: &str) -> Result<(), SettingError> {
        let own = own.parse()?;
        if !self.0.contains(&own) {
            self.0.push(own);
        }
        Ok(())
    }
}

impl Deref for Rename {
    type Target = BTreeMap<CookieName, CookieName>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Deref for SealNames {
    type Target = [CookieName];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// What is wrong within the table is said here, where its place is known.
impl<'de> Deserialize<'de> for Rename {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = BTreeMap::deserialize(deserializer)?;
        check(&rules(&names, &[])).map_err(SettingError::into_serde)?;
        Ok(Self(names))
    }
}

impl<'de> Deserialize<'de> for SealNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::deserialize(deserializer)?;
        check(&rules(&BTreeMap::new(), &names)).map_err(SettingError::into_serde)?;
        Ok(Self(names))
    }
}
