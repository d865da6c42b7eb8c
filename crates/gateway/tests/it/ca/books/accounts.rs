//! Who asks (RFC 8555 §7.3).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Books, Reply};
use crate::ca::jws::{Jwk, Jws};
use crate::ca::place::Place;
use crate::ca::problem::Problem;

pub(crate) struct Account {
    key: Jwk,
    contact: Vec<String>,
}

impl Account {
    pub(super) fn thumbprint(&self) -> String {
        self.key.thumbprint()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewAccount {
    #[serde(default)]
    contact: Vec<String>,
    #[serde(default)]
    terms_of_service_agreed: bool,
    #[serde(default)]
    only_return_existing: bool,
    external_account_binding: Option<Value>,
}

impl Books {
    pub(super) fn new_account(&mut self, signed: &Jws) -> Result<Reply, Problem> {
        let key = signed.header.jwk.as_ref().ok_or_else(|| Problem::malformed("`jwk` is to be there"))?;
        let key = Jwk::read(key)?;
        signed.verify(&key)?;
        let asked: NewAccount =
            serde_json::from_slice(&signed.payload).map_err(|error| Problem::malformed(error.to_string()))?;
        if let Some(number) = self.accounts.iter().position(|account| account.key == key) {
            return Ok(self.account(number));
        }
        if asked.only_return_existing {
            return Err(Problem::new(400, "accountDoesNotExist", "there is no account with this key"));
        }
        if !asked.terms_of_service_agreed {
            return Err(Problem::new(403, "userActionRequired", "the terms of service are to be agreed to"));
        }
        self.bind(signed, &key, asked.external_account_binding.as_ref())?;
        self.accounts.push(Account { key, contact: asked.contact });
        self.seen.accounts += 1;
        let reply = self.account(self.accounts.len() - 1);
        Ok(Reply { status: 201, ..reply })
    }

    pub(super) fn account(&self, number: usize) -> Reply {
        let document = json!({ "status": "valid", "contact": self.accounts[number].contact });
        Reply::json(200, &document).with("location", format!("{}/account/{number}", self.base))
    }

    /// The account that signed.
    pub(super) fn signer(&self, signed: &Jws) -> Result<usize, Problem> {
        let unknown = || Problem::new(400, "accountDoesNotExist", "`kid` is none of our accounts");
        let address = signed.header.kid.as_ref().ok_or_else(|| Problem::malformed("`kid` is to be there"))?;
        let Place::Account(number) = Place::of(address.strip_prefix(&self.base).unwrap_or_default()) else {
            return Err(unknown());
        };
        signed.verify(&self.accounts.get(number).ok_or_else(unknown)?.key)?;
        Ok(number)
    }

    /// RFC 8555 §7.3.4: the same address, this account's key, signed with the other account's secret.
    fn bind(&self, outer: &Jws, key: &Jwk, binding: Option<&Value>) -> Result<(), Problem> {
        if self.rules.external_accounts.is_empty() {
            return Ok(());
        }
        let required = || Problem::new(403, "externalAccountRequired", "an account elsewhere is needed");
        let inner = Jws::parse(binding.ok_or_else(required)?.to_string().as_bytes())?;
        let id = inner.header.kid.clone().unwrap_or_default();
        let secret = self.rules.external_accounts.get(&id).ok_or_else(required)?;
        inner.verify_mac(secret)?;
        let bound: Value =
            serde_json::from_slice(&inner.payload).map_err(|error| Problem::malformed(error.to_string()))?;
        match inner.header.url == outer.header.url && Jwk::read(&bound)? == *key {
            true => Ok(()),
            false => Err(Problem::malformed("the binding is of another key or for another address")),
        }
    }
}
