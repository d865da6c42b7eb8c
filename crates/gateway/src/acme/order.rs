//! One order, from its beginning or from where a restart left it, to its certificate.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Error, NewOrder, Order, OrderState,
    OrderStatus,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use zeroize::Zeroizing;

use super::answers::is_token;
use super::book::Page;
use super::client::Client;
use super::dns::Dns;
use super::record::Open;
use super::trouble::{Trouble, shown};
use super::{Answers, Challenge, Issued, Kept, Name, Pace};

/// What an order needs of the world.
pub(super) struct Desk<'d> {
    pub(super) account: &'d Account,
    pub(super) client: &'d Client,
    pub(super) answers: &'d Answers,
    pub(super) dns: Option<&'d Dns>,
    pub(super) kept: &'d Kept,
    pub(super) challenges: &'d [Challenge],
    pub(super) profile: Option<&'d str>,
    pub(super) pace: Pace,
    pub(super) now: u64,
}

impl Desk<'_> {
    /// Orders a certificate for the page's name, in earnest or as a rehearsal, after which there is none. What was
    /// answered to the authority on the way is taken back, however it ends.
    pub(super) async fn order(
        &self,
        page: &mut Page,
        replaces: Option<&Issued>,
        rehearsal: bool,
    ) -> Result<Issued, Trouble> {
        let mut placed = Vec::new();
        let driven = self.drive(page, replaces, rehearsal, &mut placed);
        let ended = tokio::time::timeout(self.pace.order, driven).await.unwrap_or_else(|_| {
            let reason = format!("an order took more than {} s", self.pace.order.as_secs());
            // The authority is there, and other names are not to wait for this one.
            if page.record.open.is_some() {
                Err(Trouble::refused(reason, "look at what the authority says of its state"))
            } else {
                Err(Trouble::Away { reason, wait: None })
            }
        });
        self.answers.take(&page.name).await;
        if let Some(dns) = self.dns {
            for (record, value) in placed {
                dns.remove(&record, &value, self.now).await;
            }
        }
        ended
    }

    async fn drive(
        &self,
        page: &mut Page,
        replaces: Option<&Issued>,
        rehearsal: bool,
        placed: &mut Vec<(String, String)>,
    ) -> Result<Issued, Trouble> {
        let mut order = match page.record.open.clone().filter(|open| open.rehearsal == rehearsal) {
            Some(open) => self.account.order(open.url).await.map_err(|error| self.of_known(error))?,
            None => self.begin(page, replaces, rehearsal).await?,
        };
        if order.state().status == OrderStatus::Pending {
            self.prove(page, &mut order, placed).await?;
            self.poll(&mut order, |status| status != OrderStatus::Pending).await?;
        }
        if order.state().status == OrderStatus::Invalid {
            return Err(self.why_invalid(&mut order).await);
        }
        if order.state().status == OrderStatus::Ready {
            self.finalize(page, &mut order, rehearsal).await?;
        }
        self.poll(&mut order, |status| !matches!(status, OrderStatus::Processing | OrderStatus::Pending))
            .await?;
        if order.state().status != OrderStatus::Valid {
            return Err(self.why_invalid(&mut order).await);
        }
        let chain = order.certificate().await.map_err(|error| self.of(error))?;
        let key = page.record.open.as_ref().and_then(|open| open.key.as_deref());
        let (Some(chain), Some(key)) = (chain, key) else {
            return Err(Trouble::Forgotten { reason: "the key of an order is lost".to_owned() });
        };
        let pem = Zeroizing::new(format!("{key}{chain}"));
        Issued::parse(pem.as_bytes(), &page.name).map_err(|what| {
            Trouble::refused(format!("of what the authority sent {what}"), "name another authority")
        })
    }

    /// A new order. It is counted and written down before the authority is asked, and its address afterwards.
    async fn begin(
        &self,
        page: &mut Page,
        replaces: Option<&Issued>,
        rehearsal: bool,
    ) -> Result<Order, Trouble> {
        page.record.open = None;
        page.record.begin(self.now);
        page.save(self.kept).await?;
        let identifiers = [page.name.identifier()];
        let profile = self.profile(&page.name, rehearsal)?;
        let new = |replaces: Option<&Issued>| {
            let mut new = NewOrder::new(&identifiers);
            if let Some(profile) = profile {
                new = new.profile(profile);
            }
            match replaces.and_then(Issued::asked_by) {
                Some(predecessor) => new.replaces(predecessor.clone()),
                None => new,
            }
        };
        let predecessor = replaces.filter(|issued| issued.asked_by().is_some() && !page.record.plain);
        let order = match self.account.new_order(&new(predecessor)).await {
            // The authority has no such question (RFC 9773 §5).
            Err(Error::Unsupported(_)) => self.account.new_order(&new(None)).await,
            // It took the order and says nothing of its predecessor: the next order says nothing either.
            Err(Error::Other(error)) if predecessor.is_some() && error.to_string().contains("replaces") => {
                return Err(Trouble::Replaced);
            }
            order => order,
        };
        let order = order.map_err(|error| self.of(error))?;
        page.record.open = Some(Open { url: order.url().to_owned(), rehearsal, at: self.now, key: None });
        page.save(self.kept).await?;
        Ok(order)
    }

    /// The kind of certificate that is asked for: what is set, and for an address the one that Let's Encrypt has for it
    /// alone. Where it is only rehearsed, the authority may lack it.
    fn profile(&self, name: &Name, rehearsal: bool) -> Result<Option<&str>, Trouble> {
        let is_offered = |profile: &str| self.account.profiles().any(|offered| offered.name == profile);
        let for_address =
            || matches!(name, Name::Address(_)).then_some(FOR_ADDRESSES).filter(|it| is_offered(it));
        let Some(profile) = self.profile.or_else(for_address) else { return Ok(None) };
        if is_offered(profile) {
            return Ok(Some(profile));
        }
        if rehearsal {
            return Ok(None);
        }
        let offered: Vec<_> = self.account.profiles().map(|profile| profile.name).take(MOST_LISTED).collect();
        let hint = match offered.as_slice() {
            [] => "leave `profile` out: this authority has one kind of certificate".to_owned(),
            offered => format!("choose one of: {}", shown(&offered.join(", "))),
        };
        Err(Trouble::refused(format!("the authority has no profile `{profile}`"), hint))
    }

    /// Lays out what the authority wants to see, and calls it.
    async fn prove(
        &self,
        page: &Page,
        order: &mut Order,
        placed: &mut Vec<(String, String)>,
    ) -> Result<(), Trouble> {
        if order.state().authorizations.len() > MOST_PROOFS {
            return Err(Trouble::refused("the authority wants more than one proof of one name", ODD));
        }
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| self.of(error))?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                _ => return Err(Trouble::Forgotten { reason: "a proof has come to its end".to_owned() }),
            }
            let offered: Vec<_> =
                authorization.challenges.iter().map(|challenge| challenge.r#type.clone()).collect();
            let chosen = self.choose(page, &offered)?;
            let mut challenge = authorization
                .challenge(chosen.kind())
                .ok_or_else(|| Trouble::refused("a challenge is gone", ODD))?;
            if !is_token(&challenge.token) {
                return Err(Trouble::refused(
                    "the authority's token is no base64url of 22 to 128 characters",
                    ODD,
                ));
            }
            let key_authorization = challenge.key_authorization();
            match (chosen, self.dns) {
                (Challenge::Dns01, Some(dns)) => {
                    let record = format!("_acme-challenge.{}", page.name.bare());
                    let value = key_authorization.dns_value();
                    if let Err(trouble) = dns.place(&record, &value, self.now).await {
                        // It may have come in without an answer.
                        let _ = dns.take_out(&record, &value, self.now).await;
                        return Err(trouble);
                    }
                    placed.push((record, value));
                    tokio::time::sleep(dns.wait()).await;
                }
                _ => {
                    let put = self.answers.put(&page.name, key_authorization.as_str()).await;
                    put.map_err(|reason| Trouble::Unkept { reason })?;
                }
            }
            // One that a restart left under way has been called already.
            if challenge.status == ChallengeStatus::Pending {
                challenge.set_ready().await.map_err(|error| self.of(error))?;
            }
        }
        Ok(())
    }

    /// Of the challenges that are set, those that the authority offers; after a failure the next of them.
    fn choose(&self, page: &Page, offered: &[ChallengeType]) -> Result<Challenge, Trouble> {
        let usable: Vec<_> = self
            .challenges
            .iter()
            .copied()
            .filter(|challenge| challenge.proves(&page.name) && offered.contains(&challenge.kind()))
            .filter(|challenge| *challenge != Challenge::Dns01 || self.dns.is_some())
            .collect();
        let turn = page.record.failures as usize;
        usable.get(turn % usable.len().max(1)).copied().ok_or_else(|| {
            Trouble::refused(
                "the authority offers no challenge that is set here",
                "a wildcard needs `dns` in [tls.acme]; http-01 needs `http`",
            )
        })
    }

    /// Asks for the certificate, with a new key that is written down before.
    async fn finalize(&self, page: &mut Page, order: &mut Order, rehearsal: bool) -> Result<(), Trouble> {
        let fault = |error: rcgen::Error| Trouble::refused(error.to_string(), "check the name");
        let key = match page.record.open.as_ref().and_then(|open| open.key.as_deref()) {
            Some(key) => KeyPair::from_pem(key).map_err(fault)?,
            None => KeyPair::generate().map_err(fault)?,
        };
        let mut params = CertificateParams::new([page.name.subject()]).map_err(fault)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(fault)?;
        page.record.open = Some(Open {
            url: order.url().to_owned(),
            rehearsal,
            at: self.now,
            key: Some(key.serialize_pem()),
        });
        if !rehearsal {
            page.record.charge_certificate(self.now);
        }
        page.save(self.kept).await?;
        order.finalize_csr(request.der()).await.map_err(|error| self.of(error))
    }

    /// Asks how the order stands, ever more slowly, until it stands as wanted. The time of the whole order is bounded
    /// by who calls.
    async fn poll(&self, order: &mut Order, wanted: fn(OrderStatus) -> bool) -> Result<(), Trouble> {
        let mut pause = self.pace.first_poll;
        while !wanted(order.state().status) {
            let asked = self.client.seen().wait.map(Duration::from_secs).unwrap_or_default();
            tokio::time::sleep(pause.max(asked.min(self.pace.longest_poll))).await;
            pause = (pause * 2).min(self.pace.longest_poll);
            order.refresh().await.map_err(|error| self.of_known(error))?;
        }
        Ok(())
    }

    /// The order says that it failed, and its authorizations say why.
    async fn why_invalid(&self, order: &mut Order) -> Trouble {
        let OrderState { error, .. } = order.state();
        let said = error.clone();
        let mut authorizations = order.authorizations();
        for _ in 0..MOST_PROOFS {
            let Some(Ok(mut authorization)) = authorizations.next().await else { break };
            if authorization.refresh().await.is_err() {
                break;
            }
            if let Some(problem) =
                authorization.challenges.iter().find_map(|challenge| challenge.error.clone())
            {
                return self.of_problem(problem);
            }
        }
        match said {
            Some(problem) => self.of_problem(problem),
            None => Trouble::Forgotten { reason: "the order has come to its end".to_owned() },
        }
    }

    /// A problem in an order is what somebody has to mend: it says nothing of how the authority is.
    fn of_problem(&self, problem: instant_acme::Problem) -> Trouble {
        Trouble::of(Error::Api(problem), super::client::Seen::default())
    }

    fn of(&self, error: Error) -> Trouble {
        Trouble::of(error, self.client.seen())
    }

    /// The same for an order that the authority should know.
    fn of_known(&self, error: Error) -> Trouble {
        match self.of(error) {
            Trouble::Refused { reason, .. } => Trouble::Forgotten { reason },
            trouble => trouble,
        }
    }
}

/// Let's Encrypt's word.
const FOR_ADDRESSES: &str = "shortlived";
const MOST_LISTED: usize = 16;

/// One name has one; more are more work than was asked for.
const MOST_PROOFS: usize = 2;

const ODD: &str = "the authority does not keep to RFC 8555: name another in `directory`";
