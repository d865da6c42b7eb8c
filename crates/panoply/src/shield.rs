mod judge;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::response::Parts as ResponseParts;
use http::{Request, Response, request};
use http_body::Body as HttpBody;

use crate::policies::Guards;
use crate::practices::sessions::Kept;
use crate::request_body::BoxError;
use crate::{
    Body, BruteForce, Connection, Cookies, Counted, Csrf, Errors, Fingerprint, Guard, Headers, Hosts, Limits,
    Passage, Policies, Practice, RateLimit, Redirects, Rejection, RequestBody, RequestId, SettingError,
    TrustedProxies, Visit, Visitor, World,
};
use judge::{harden, judge, log, mask, refuse};

/// Every practice in one piece: a tower layer in an app, and what the gateway stands with in front of one.
///
/// The order in which practices act is the order of the lines of [`serve`](Self::serve) and not a setting.
#[derive(Clone, Debug)]
pub struct Shield {
    guards: Guards,
    trusted_proxies: TrustedProxies,
    world: Arc<World>,
}

impl Shield {
    /// The whole shield for an app that serves `hosts` and nothing else.
    ///
    /// # Errors
    /// When one of `hosts` is no host name.
    pub fn for_hosts<H: AsRef<str>>(hosts: impl IntoIterator<Item = H>) -> Result<Self, SettingError> {
        Ok(Self::default().hosts(Hosts::named(hosts)?))
    }

    /// The whole shield with the defaults of the gateway, for an app that panoply does not know.
    #[must_use]
    pub fn in_front() -> Self {
        Self { guards: Guards::in_front(), ..Self::bare() }
    }

    /// No practice at all: add the ones you want.
    #[must_use]
    pub fn bare() -> Self {
        Self { guards: Guards::off(), trusted_proxies: TrustedProxies::default(), world: Arc::default() }
    }

    /// Which names are served.
    #[must_use]
    pub fn hosts(mut self, hosts: impl Into<Guard<Hosts>>) -> Self {
        self.guards.hosts = hosts.into();
        self
    }

    /// How large and how slow a request may be.
    #[must_use]
    pub fn limits(mut self, limits: impl Into<Guard<Limits>>) -> Self {
        self.guards.limits = limits.into();
        self
    }

    /// How often a client may ask.
    #[must_use]
    pub fn rate_limit(mut self, rate_limit: impl Into<Guard<RateLimit>>) -> Self {
        self.guards.rate_limit = rate_limit.into();
        self
    }

    /// Which pages may start a write.
    #[must_use]
    pub fn csrf(mut self, csrf: impl Into<Guard<Csrf>>) -> Self {
        self.guards.csrf = csrf.into();
        self
    }

    /// How sessions are kept: by [`Sessions`](crate::Sessions) in a store, by
    /// [`CookieSession`](crate::CookieSession) in the cookie. A request then has a
    /// [`Ticket`](crate::practices::sessions::Ticket) as an extension; with the `axum` feature handlers take a
    /// [`Session`](crate::Session).
    #[must_use]
    pub fn sessions(mut self, sessions: impl Into<Kept>) -> Self {
        self.guards.sessions = Some(Arc::new(sessions.into()));
        self
    }

    /// How often a password may be guessed.
    #[must_use]
    pub fn brute_force(mut self, brute_force: impl Into<Guard<BruteForce>>) -> Self {
        self.guards.brute_force = brute_force.into();
        self
    }

    /// Where an answer may lead.
    #[must_use]
    pub fn redirects(mut self, redirects: impl Into<Guard<Redirects>>) -> Self {
        self.guards.redirects = redirects.into();
        self
    }

    /// What flags a cookie carries.
    #[must_use]
    pub fn cookies(mut self, cookies: impl Into<Guard<Cookies>>) -> Self {
        self.guards.cookies = cookies.into();
        self
    }

    /// What an error page shows.
    #[must_use]
    pub fn errors(mut self, errors: impl Into<Guard<Errors>>) -> Self {
        self.guards.errors = errors.into();
        self
    }

    /// Which headers that name the software are removed.
    #[must_use]
    pub fn fingerprint(mut self, fingerprint: impl Into<Guard<Fingerprint>>) -> Self {
        self.guards.fingerprint = fingerprint.into();
        self
    }

    /// What browsers are told.
    #[must_use]
    pub fn headers(mut self, headers: impl Into<Guard<Headers>>) -> Self {
        self.guards.headers = headers.into();
        self
    }

    /// Lays `policies` over this shield: a practice that is set there replaces the one here whole.
    #[must_use]
    pub fn with(mut self, policies: Policies) -> Self {
        self.guards = self.guards.with(policies);
        self
    }

    /// Changes the settings of `rate_limit` and keeps its state.
    #[must_use]
    pub fn with_rate_limit(mut self, change: impl FnOnce(RateLimit) -> RateLimit) -> Self {
        self.guards.rate_limit = self.guards.rate_limit.map(change);
        self
    }

    /// Changes the settings of `cookies`.
    #[must_use]
    pub fn with_cookies(mut self, change: impl FnOnce(Cookies) -> Cookies) -> Self {
        self.guards.cookies = self.guards.cookies.map(change);
        self
    }

    /// Changes the settings of `brute_force`.
    #[must_use]
    pub fn with_brute_force(mut self, change: impl FnOnce(BruteForce) -> BruteForce) -> Self {
        self.guards.brute_force = self.guards.brute_force.map(change);
        self
    }

    /// Whether `cookies` is to seal some and has no keys for it: see [`Cookies::keys`].
    #[must_use]
    pub fn needs_keys(&self) -> bool {
        self.guards.cookies.policy().is_some_and(Cookies::needs_keys)
    }

    /// Whether a practice would outlive the process with keys: see [`BruteForce::keys`].
    #[must_use]
    pub fn wants_keys(&self) -> bool {
        self.guards.brute_force.policy().is_some()
    }

    /// Takes a practice away.
    #[must_use]
    pub fn without(mut self, practice: Practice) -> Self {
        self.guards = self.guards.without(practice);
        self
    }

    /// Whose word on the visitor's address and scheme is taken.
    #[must_use]
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.trusted_proxies = proxies;
        self
    }

    /// Shares counters and clock with other shields.
    #[must_use]
    pub fn world(mut self, world: Arc<World>) -> Self {
        self.world = world;
        self
    }

    /// Whether a practice is there, acting or watching.
    #[must_use]
    pub fn has(&self, practice: Practice) -> bool {
        self.guards.state(practice).0 != "off"
    }

    /// The state of a practice (`on`, `observe`, `off`) and its most important figure.
    #[must_use]
    pub fn state(&self, practice: Practice) -> (&'static str, String) {
        self.guards.state(practice)
    }

    /// What counts by key and keeps out who is over, with whose it is: for an operator to look at, and to lift.
    #[must_use]
    pub fn limiters(&self) -> Vec<Counted> {
        let brute_force = BruteForce::limiters(&self.guards.brute_force).into_iter();
        let brute_force = brute_force.map(|(rule, limiter)| (Practice::BruteForce, rule.to_owned(), limiter));
        let rate_limit = RateLimit::limiters(&self.guards.rate_limit).into_iter();
        let rate_limit = rate_limit.map(|(rule, limiter)| (Practice::RateLimit, rule, limiter));
        brute_force
            .chain(rate_limit)
            .map(|(practice, rule, limiter)| Counted { practice, rule, limiter })
            .collect()
    }

    /// Forgets how often a client has asked, and names the limits that would have refused it. What is counted by
    /// something else than its address, or by several machines together, is for [`limiters`](Self::limiters).
    #[must_use]
    pub fn forgive(&self, client: IpAddr) -> Vec<String> {
        let rate_limit = &self.guards.rate_limit;
        let forgive = |policy: &RateLimit| policy.forgive(&client.into(), &self.world, rate_limit.state());
        rate_limit.policy().map(forgive).unwrap_or_default()
    }

    /// How many headers a request may have; `None` where this shield refuses none for their number.
    ///
    /// A server has to read one more, or the refusal is its own.
    #[must_use]
    pub fn most_headers(&self) -> Option<usize> {
        match &self.guards.limits {
            Guard::On(limits) => Some(limits.most_headers()),
            Guard::Observe(_) | Guard::Off => None,
        }
    }

    /// Whether who comes on `connection` may have a TLS handshake: not after so many that came to nothing that
    /// `rate_limit` would refuse his requests. To be asked before any cryptography; nothing is charged.
    #[must_use]
    pub fn admits_handshake(&self, connection: Connection) -> bool {
        match &self.guards.rate_limit {
            Guard::On(policy) => policy.admits_handshake(&self.knock(connection), &self.world),
            Guard::Observe(_) | Guard::Off => true,
        }
    }

    /// Charges who came on `connection` for a handshake that came to nothing, as for a request for a name that is not
    /// ours.
    pub fn charge_handshake(&self, connection: Connection) {
        let rate_limit = &self.guards.rate_limit;
        if let Some(policy) = rate_limit.policy() {
            policy.fine_handshake(&self.knock(connection), &self.world, Hosts::MISS, rate_limit.state());
        }
    }

    /// Before there is a request.
    fn knock(&self, connection: Connection) -> Visit {
        self.visit(connection, &Request::new(()).into_parts().0)
    }

    /// Judges `request`, lets `app` answer it unless it is refused, and hardens the answer.
    ///
    /// It never fails: whatever happens, there is an answer, and every answer leaves through `finish`.
    pub async fn serve<B, R, F, A>(
        &self,
        connection: Connection,
        request: Request<B>,
        app: F,
    ) -> Response<Body<R>>
    where
        B: HttpBody<Error: Into<BoxError>>,
        R: HttpBody<Data = Bytes>,
        F: FnOnce(Visitor, Request<RequestBody<B>>) -> A,
        A: Future<Output = Result<Response<R>, Rejection>>,
    {
        self.pass(connection, request, app).await.0
    }

    /// The same, and tells how it went.
    pub async fn pass<B, R, F, A>(
        &self,
        connection: Connection,
        request: Request<B>,
        app: F,
    ) -> (Response<Body<R>>, Passage)
    where
        B: HttpBody<Error: Into<BoxError>>,
        R: HttpBody<Data = Bytes>,
        F: FnOnce(Visitor, Request<RequestBody<B>>) -> A,
        A: Future<Output = Result<Response<R>, Rejection>>,
    {
        let (mut request, body) = request.into_parts();
        let mut visit = self.visit(connection, &request);
        let mut admitted = self.admit(&mut visit, &mut request);
        // Before each wait, since a visitor may go away meanwhile; and at the end.
        if admitted.is_ok() && visit.allowance.waits() {
            visit.passed.not_by(Practice::RateLimit);
            self.world.metrics.count_passed(&visit.passed);
            admitted = Box::pin(self.ask_counters(&mut visit)).await;
        }
        self.world.metrics.count_passed(&visit.passed);
        let answer = match admitted {
            Ok(()) => {
                let body = match &self.guards.limits {
                    Guard::On(limits) => limits.body_of(&mut visit, &request, body),
                    _ => RequestBody::unlimited(body),
                };
                match self.admit_login(&mut visit, &mut request, body).await {
                    Ok(body) => app(visit.visitor(), Request::from_parts(request, body)).await,
                    Err(rejection) => Err(rejection),
                }
            }
            Err(rejection) => Err(rejection),
        };
        let (mut response, body) = match answer {
            Ok(response) => {
                let (response, body) = response.into_parts();
                (response, Body::app(body))
            }
            Err(rejection) => {
                if let Some(login) = visit.login.take() {
                    Box::pin(login.unanswered(&rejection)).await;
                }
                log(&self.world, &visit, &rejection, "refused");
                refuse(&mut visit, rejection)
            }
        };
        let body = self.finish(&mut visit, &mut response, body).await;
        let passage = Passage { visitor: visit.visitor(), verdicts: visit.verdicts };
        (Response::from_parts(response, body), passage)
    }

    fn visit(&self, connection: Connection, request: &request::Parts) -> Visit {
        let (client, scheme) = self.trusted_proxies.client(&connection, &request.headers);
        client.advise(&self.world);
        Visit::new(request, connection, client, scheme, RequestId(self.world.random()))
    }

    /// Reading order is running order.
    fn admit(&self, visit: &mut Visit, request: &mut request::Parts) -> Result<(), Rejection> {
        let Guards { hosts, limits, rate_limit, cookies, csrf, sessions, headers, .. } = &self.guards;
        judge(&self.world, visit, hosts, |hosts, visit| hosts.admit(visit, request)).inspect_err(|_| {
            if let Some(policy) = rate_limit.policy() {
                policy.fine(visit, &self.world, Hosts::MISS, rate_limit.state());
            }
        })?;
        judge(&self.world, visit, limits, |limits, visit| limits.admit(visit, request))?;
        judge(&self.world, visit, rate_limit, |policy, visit| {
            policy.admit(visit, request, &self.world, rate_limit.state())
        })?;
        if let Guard::On(cookies) = cookies {
            cookies.admit(visit, request, &self.world);
        }
        judge(&self.world, visit, csrf, |csrf, visit| csrf.admit(visit, request))?;
        visit.ticket = sessions.as_ref().and_then(|kept| Kept::admit(kept, visit, request, &self.world));
        if let Some(ticket) = &visit.ticket {
            request.extensions.insert(ticket.clone());
        }
        if let Some(headers) = headers.policy() {
            headers.admit(visit, request, &self.world);
        }
        Ok(())
    }

    /// The one practice that waits: for the body of a login, and for those who count.
    async fn admit_login<B: HttpBody<Error: Into<BoxError>>>(
        &self,
        visit: &mut Visit,
        request: &mut request::Parts,
        body: RequestBody<B>,
    ) -> Result<RequestBody<B>, Rejection> {
        let guard = &self.guards.brute_force;
        let Some(policy) = guard.policy().filter(|policy| policy.concerns(visit, request, &self.world))
        else {
            return Ok(body);
        };
        // Boxed, since few requests are logins, and each would carry the space.
        let (body, verdict) =
            Box::pin(policy.admit(visit, request, body, &self.world, guard.is_observed())).await;
        judge(&self.world, visit, guard, |_, _| verdict)?;
        Ok(body)
    }

    /// Limits that all machines count together are asked last: it takes a question to a store. Boxed, since few
    /// requests come here, and each would carry the space.
    async fn ask_counters(&self, visit: &mut Visit) -> Result<(), Rejection> {
        let verdict = visit.allowance.ask(&self.world).await;
        judge(&self.world, visit, &self.guards.rate_limit, |_, _| verdict)
    }

    /// From the app outwards.
    async fn finish<B: HttpBody<Data = Bytes>>(
        &self,
        visit: &mut Visit,
        response: &mut ResponseParts,
        mut body: Body<B>,
    ) -> Body<B> {
        let Guards { brute_force, redirects, cookies, errors, fingerprint, headers, .. } = &self.guards;
        if let Some(rejection) = visit.cut.rejection() {
            log(&self.world, visit, &rejection, "refused");
            (*response, body) = refuse(visit, rejection);
        }
        if let Some(login) = visit.login.take() {
            let verdict;
            (body, verdict) = Box::pin(login.finish(visit, response, body)).await;
            if let Err(rejection) = judge(&self.world, visit, brute_force, |_, _| verdict) {
                log(&self.world, visit, &rejection, "refused");
                (*response, body) = refuse(visit, rejection);
            }
        }
        if let Some(ticket) = &visit.ticket
            && let Err(rejection) = Kept::finish(ticket, response).await
        {
            log(&self.world, visit, &rejection, "refused");
            (*response, body) = refuse(visit, rejection);
        }
        if let Err(rejection) =
            judge(&self.world, visit, redirects, |redirects, visit| redirects.finish(visit, response))
        {
            log(&self.world, visit, &rejection, "refused");
            (*response, body) = refuse(visit, rejection);
        }
        harden(&self.world, visit, cookies, response, |cookies, response| {
            cookies.finish(visit, response, &self.world);
        });
        if let Some(policy) = errors.policy()
            && policy.suspects(visit, response, &body)
        {
            let masked;
            // Boxed, since few answers come here, and each would carry the space.
            (body, masked) = Box::pin(policy.finish(visit, response, body, &self.world)).await;
            if let Some(rejection) = masked {
                if matches!(errors, Guard::On(_)) {
                    body = mask(visit, response);
                } else {
                    log(&self.world, visit, &rejection, "would mask");
                }
            }
        }
        visit.allowance.finish(&mut response.headers);
        harden(&self.world, visit, fingerprint, response, |fingerprint, response| {
            fingerprint.finish(visit, response);
        });
        harden(&self.world, visit, headers, response, |headers, response| headers.finish(visit, response));
        self.world.metrics.count_passed(&visit.passed);
        body
    }
}

/// All practices, with the defaults for an app that panoply is part of; any host name is served.
impl Default for Shield {
    fn default() -> Self {
        Self { guards: Guards::within(), ..Self::bare() }
    }
}
