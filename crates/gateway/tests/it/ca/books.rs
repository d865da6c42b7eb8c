//! What the CA knows, and what it answers: no socket and no clock here.

mod accounts;
mod orders;
mod renewal;

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::issuer::{Issued, Issuer};
use super::jws::Jws;
use super::mood::Asked;
use super::order::{Authorization, Name, Order, Status};
use super::place::Place;
use super::problem::Problem;
use super::rules::Rules;
use super::validation::Validation;

use accounts::Account;

pub(crate) struct Books {
    /// `https://localhost:PORT`
    pub(crate) base: String,
    pub(crate) rules: Rules,
    pub(crate) seen: Seen,
    issuer: Issuer,
    accounts: Vec<Account>,
    orders: Vec<Order>,
    authorizations: Vec<Authorization>,
    nonces: HashSet<String>,
}

/// All that happened, for tests to count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<Asked>,
    pub(crate) accounts: usize,
    pub(crate) orders: Vec<Order>,
    pub(crate) validations: Vec<Looked>,
    pub(crate) certificates: Vec<Issued>,
    /// Refusals, by the last part of their type.
    pub(crate) refusals: Vec<(SystemTime, Problem)>,
}

/// A validation, as it ended.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    pub(crate) at: SystemTime,
    pub(crate) account: usize,
    pub(crate) name: Name,
    pub(crate) kind: String,
    pub(crate) succeeded: bool,
}

/// An answer before it is HTTP.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    /// What is to be looked at now.
    pub(crate) validation: Option<Validation>,
}

impl Books {
    pub(crate) fn new(base: String, issuer: Issuer) -> Self {
        Self {
            base,
            issuer,
            rules: Rules::default(),
            seen: Seen::default(),
            accounts: Vec::new(),
            orders: Vec::new(),
            authorizations: Vec::new(),
            nonces: HashSet::new(),
        }
    }

    pub(crate) fn answer(&mut self, place: &Place, method: &str, body: &[u8], now: SystemTime) -> Reply {
        let answer = match (method, place) {
            ("GET", Place::Directory) => Ok(self.directory()),
            ("HEAD" | "GET", Place::NewNonce) => Ok(Reply::new(200, "")),
            ("GET", Place::RenewalInfo(certificate)) => self.renewal_info(certificate),
            ("POST", _) => self.post(place, body, now),
            _ => Err(Problem::new(405, "malformed", "another method was expected")),
        };
        let reply = answer.unwrap_or_else(|problem| self.refuse(problem, now));
        reply.with("replay-nonce", self.nonce())
    }

    /// What the CA says in place of an answer.
    pub(crate) fn turn_away(&mut self, problem: Problem, now: SystemTime) -> Reply {
        self.refuse(problem, now).with("replay-nonce", self.nonce())
    }

    fn refuse(&mut self, problem: Problem, now: SystemTime) -> Reply {
        let mut reply = Reply::new(problem.status, problem.document().to_string())
            .with("content-type", "application/problem+json".into());
        if let Some(wait) = problem.retry_after {
            reply = reply.with("retry-after", wait.as_secs().to_string());
        }
        self.seen.refusals.push((now, problem));
        reply
    }

    /// What was found, once it was looked at.
    pub(crate) fn settle(&mut self, looked: &Validation, found: Result<(), Problem>, now: SystemTime) {
        let authorization = &mut self.authorizations[looked.authorization];
        self.seen.validations.push(Looked {
            at: now,
            account: authorization.account,
            name: looked.name.clone(),
            kind: looked.kind.clone(),
            succeeded: found.is_ok(),
        });
        authorization.challenges[looked.which].status = match found {
            Ok(()) => Status::Valid,
            Err(_) => Status::Invalid,
        };
        authorization.challenges[looked.which].error = found.err();
        authorization.expires = now + self.rules.remembers.max(WEEK);
    }

    fn directory(&self) -> Reply {
        let at = |path: &str| format!("{}/{path}", self.base);
        let profiles: serde_json::Map<String, Value> = self
            .rules
            .profiles
            .iter()
            .map(|(name, lifetime)| ((*name).into(), format!("{} days", lifetime.as_secs() / 86_400).into()))
            .collect();
        let mut directory = json!({
            "newNonce": at("new-nonce"),
            "newAccount": at("new-account"),
            "newOrder": at("new-order"),
            "revokeCert": at("revoke-certificate"),
            "keyChange": at("key-change"),
            "meta": {
                "profiles": profiles,
                "externalAccountRequired": !self.rules.external_accounts.is_empty(),
            },
        });
        if self.rules.renewal_info.is_some() {
            directory["renewalInfo"] = at("renewal-info").into();
        }
        Reply::json(200, &directory)
    }

    /// Everything else is signed, and a question is a signed nothing (RFC 8555 §6.3).
    fn post(&mut self, place: &Place, body: &[u8], now: SystemTime) -> Result<Reply, Problem> {
        let signed = Jws::parse(body)?;
        if Place::of(signed.header.url.strip_prefix(&self.base).unwrap_or_default()) != *place {
            return Err(Problem::unauthorized("signed for another address"));
        }
        if !signed.header.nonce.as_ref().is_some_and(|nonce| self.nonces.remove(nonce)) {
            return Err(Problem::new(400, "badNonce", "this nonce is not one of ours, or was used"));
        }
        if *place == Place::NewAccount {
            return self.new_account(&signed);
        }
        let account = self.signer(&signed)?;
        let asks = signed.payload.is_empty();
        match *place {
            Place::Account(number) if number == account => Ok(self.account(number)),
            Place::NewOrder => self.new_order(account, &signed.payload, now),
            Place::Order(number) if asks => self.poll(account, number, now),
            Place::Authorization(number) if asks => self.authorization(account, number, now),
            Place::Challenge(number, which) if asks => self.challenge(account, number, which),
            Place::Challenge(number, which) => self.respond(account, number, which, now),
            Place::Finalize(number) => self.finalize(account, number, &signed.payload, now),
            Place::Certificate(number) if asks => self.certificate(account, number),
            _ => Err(Problem::not_found()),
        }
    }

    fn nonce(&mut self) -> String {
        let nonce = random();
        self.nonces.insert(nonce.clone());
        nonce
    }
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), validation: None }
    }

    fn json(status: u16, document: &Value) -> Self {
        Self::new(status, document.to_string()).with("content-type", "application/json".into())
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

fn random() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("a system that has started has randomness");
    URL_SAFE_NO_PAD.encode(bytes)
}

const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);
