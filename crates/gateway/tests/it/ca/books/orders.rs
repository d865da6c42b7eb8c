//! From an order to its certificate (RFC 8555 §7.4 and §7.5).

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::Value;

use super::{Books, Reply, WEEK, random};
use crate::ca::jws::decode;
use crate::ca::order::{Authorization, Challenge, Name, Order, Status};
use crate::ca::problem::Problem;
use crate::ca::rules::SHORTLIVED;
use crate::ca::validation::Validation;

#[derive(Deserialize)]
struct NewOrder {
    identifiers: Vec<Value>,
    profile: Option<String>,
    replaces: Option<String>,
}

#[derive(Deserialize)]
struct Finalize {
    csr: String,
}

impl Books {
    pub(super) fn new_order(
        &mut self,
        account: usize,
        payload: &[u8],
        now: SystemTime,
    ) -> Result<Reply, Problem> {
        let asked: NewOrder =
            serde_json::from_slice(payload).map_err(|error| Problem::malformed(error.to_string()))?;
        let mut names = asked.identifiers.iter().map(Name::read).collect::<Result<Vec<_>, _>>()?;
        names.sort();
        names.dedup();
        if !(1..=100).contains(&names.len()) {
            return Err(Problem::malformed("1 to 100 identifiers were expected"));
        }
        self.check_profile(asked.profile.as_deref(), &names)?;
        match &asked.replaces {
            // Let's Encrypt asks nothing more of who replaces what it issued.
            Some(replaced) => self.check_replaced(account, replaced, &names, now)?,
            None => self.check_limits(account, &names, now)?,
        }
        if let Some(number) = self.unfinished(account, &names, &asked, now) {
            return Ok(self.order(number, 201, now));
        }

        let authorizations = names.iter().map(|name| self.authorize(account, name, now)).collect();
        let order = Order {
            account,
            at: now,
            names,
            profile: asked.profile,
            replaces: asked.replaces,
            expires: now + WEEK,
            authorizations,
            certificate: None,
            polls_to_wait: self.rules.polls_to_wait,
        };
        self.seen.orders.push(order.clone());
        self.orders.push(order);
        Ok(self.order(self.orders.len() - 1, 201, now))
    }

    pub(super) fn poll(&mut self, account: usize, number: usize, now: SystemTime) -> Result<Reply, Problem> {
        let order = self.orders.get(number).filter(|order| order.account == account);
        order.ok_or_else(Problem::not_found)?;
        let reply = self.order(number, 200, now);
        let order = &mut self.orders[number];
        if order.certificate.is_some() {
            order.polls_to_wait = order.polls_to_wait.saturating_sub(1);
        }
        Ok(reply)
    }

    pub(super) fn authorization(
        &self,
        account: usize,
        number: usize,
        now: SystemTime,
    ) -> Result<Reply, Problem> {
        let authorization = self.authorization_of(account, number)?;
        Ok(Reply::json(200, &authorization.document(number, now, &self.base)))
    }

    pub(super) fn challenge(&self, account: usize, number: usize, which: usize) -> Result<Reply, Problem> {
        let authorization = self.authorization_of(account, number)?;
        authorization.challenges.get(which).ok_or_else(Problem::not_found)?;
        Ok(Reply::json(200, &authorization.challenge(number, which, &self.base))
            .with("link", format!("<{}/authorization/{number}>;rel=\"up\"", self.base)))
    }

    /// The client says that its answer is in place. What was begun is not begun again (RFC 8555 §7.5.1).
    pub(super) fn respond(
        &mut self,
        account: usize,
        number: usize,
        which: usize,
        now: SystemTime,
    ) -> Result<Reply, Problem> {
        let pending = self.authorization_of(account, number)?.status(now) == Status::Pending;
        let thumbprint = self.accounts[account].thumbprint();
        let authorization = &mut self.authorizations[number];
        let name = authorization.name.clone();
        let challenge = authorization.challenges.get_mut(which).ok_or_else(Problem::not_found)?;
        let validation = (pending && challenge.status == Status::Pending).then(|| {
            challenge.status = Status::Processing;
            Validation {
                authorization: number,
                which,
                kind: challenge.kind.clone(),
                name,
                token: challenge.token.clone(),
                key_authorization: format!("{}.{thumbprint}", challenge.token),
                ports: self.rules.ports,
            }
        });
        Ok(Reply { validation, ..self.challenge(account, number, which)? })
    }

    pub(super) fn finalize(
        &mut self,
        account: usize,
        number: usize,
        payload: &[u8],
        now: SystemTime,
    ) -> Result<Reply, Problem> {
        let order = self.orders.get(number).filter(|order| order.account == account);
        let order = order.ok_or_else(Problem::not_found)?;
        if order.status(&self.authorizations, now) != Status::Ready {
            return Err(Problem::new(403, "orderNotReady", "an order is finalized once, when it is ready"));
        }
        let asked: Finalize =
            serde_json::from_slice(payload).map_err(|error| Problem::malformed(error.to_string()))?;
        let profile = order.profile.as_deref();
        let (_, lifetime) = *self
            .rules
            .profiles
            .iter()
            .find(|(name, _)| profile.is_none_or(|profile| profile == *name))
            .ok_or_else(|| Problem::new(400, "invalidProfile", "it is not there any more"))?;
        let issued = self.issuer.issue(&decode(&asked.csr)?, &order.names, lifetime, now, account)?;
        self.orders[number].certificate = Some(self.seen.certificates.len());
        self.seen.certificates.push(issued);
        Ok(self.order(number, 200, now))
    }

    pub(super) fn certificate(&self, account: usize, number: usize) -> Result<Reply, Problem> {
        let issued = self.seen.certificates.get(number).filter(|issued| issued.account == account);
        let issued = issued.ok_or_else(Problem::not_found)?;
        Ok(Reply::new(200, issued.chain.as_str())
            .with("content-type", "application/pem-certificate-chain".into()))
    }

    fn order(&self, number: usize, status: u16, now: SystemTime) -> Reply {
        let order = &self.orders[number];
        let document = order.document(number, order.status(&self.authorizations, now), &self.base);
        Reply::json(status, &document).with("location", format!("{}/order/{number}", self.base))
    }

    fn authorization_of(&self, account: usize, number: usize) -> Result<&Authorization, Problem> {
        let authorization = self.authorizations.get(number).filter(|found| found.account == account);
        authorization.ok_or_else(Problem::not_found)
    }

    /// An order for the same that waits is the same order, as Let's Encrypt has it; no one that replaces.
    fn unfinished(&self, account: usize, names: &[Name], asked: &NewOrder, now: SystemTime) -> Option<usize> {
        self.orders.iter().position(|order| {
            let waits = matches!(order.status(&self.authorizations, now), Status::Pending | Status::Ready);
            let same = order.account == account && order.names == names && order.profile == asked.profile;
            waits && same && order.replaces.is_none() && asked.replaces.is_none()
        })
    }

    /// One that was shown before and is still remembered, or a new one.
    fn authorize(&mut self, account: usize, name: &Name, now: SystemTime) -> usize {
        let remembered = self.authorizations.iter().position(|shown| {
            let valid = !self.rules.remembers.is_zero() && shown.status(now) == Status::Valid;
            valid && shown.account == account && shown.name == *name
        });
        remembered.unwrap_or_else(|| {
            let challenge = |kind: &String| Challenge {
                kind: kind.clone(),
                token: random(),
                status: Status::Pending,
                error: None,
            };
            let challenges = self.rules.challenges.iter().map(challenge).collect();
            let expires = now + WEEK;
            self.authorizations.push(Authorization { account, name: name.clone(), expires, challenges });
            self.authorizations.len() - 1
        })
    }

    fn check_profile(&self, profile: Option<&str>, names: &[Name]) -> Result<(), Problem> {
        if let Some(profile) = profile
            && !self.rules.profiles.iter().any(|(name, _)| *name == profile)
        {
            return Err(Problem::new(400, "invalidProfile", format!("there is no profile `{profile}`")));
        }
        if names.iter().any(|name| matches!(name, Name::Ip(_))) && profile != Some(SHORTLIVED) {
            return Err(Problem::new(400, "rejectedIdentifier", "addresses are of the profile shortlived"));
        }
        Ok(())
    }

    fn check_limits(&self, account: usize, names: &[Name], now: SystemTime) -> Result<(), Problem> {
        let limits = self.rules.limits;
        let refuse = |what: &str, wait| match wait {
            Some(wait) => Err(Problem::rate_limited(format!("too many {what}"), wait)),
            None => Ok(()),
        };
        let orders = self.seen.orders.iter().filter(|order| order.account == account);
        refuse("orders", limits.orders.wait(orders.map(|order| order.at), now))?;
        let same = self.seen.certificates.iter().filter(|issued| issued.names == names);
        refuse("certificates for these names", limits.duplicates.wait(same.map(|issued| issued.at), now))?;
        for name in names {
            let failed = self.seen.validations.iter();
            let failed = failed.filter(|looked| !looked.succeeded && looked.account == account);
            let failed = failed.filter(|looked| looked.name == *name).map(|looked| looked.at);
            refuse("failed validations", limits.failures.wait(failed, now))?;
        }
        Ok(())
    }
}
