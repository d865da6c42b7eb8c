//! A browser trusts a page with everything that nobody told it to refuse: foreign scripts, frames, plain http.
//!
//! **Stops** injected scripts (`Content-Security-Policy`), clickjacking (`frame-ancestors`,
//! `X-Frame-Options`), the way back to plain http (`Strict-Transport-Security`), guessed types
//! (`X-Content-Type-Options`), addresses that leak (`Referrer-Policy`) and pages of other sites that look
//! into ours (the `Cross-Origin-*` headers).
//!
//! **Leaves** the hole that a script came in by, scripts that the policy allows, visitors without a browser,
//! and the very first visit over plain http.
//!
//! **Defaults** in an app: those of Helmet 8, to the byte, since they are known and the app can be made to fit.
//! In front of an app that panoply does not know, what breaks no normal page: three directives are enforced
//! and Helmet's policy is only reported; `Referrer-Policy` is `strict-origin-when-cross-origin`, since with
//! `no-referrer` browsers send `Origin: null` with forms; pop-ups keep their opener, as payment and sign-in
//! need; sibling subdomains may embed; HSTS binds no subdomain. And it is [cautious](Headers::cautious).
//! A page that other sites frame, or that shows a PDF in an `<embed>`, needs `csp` and `x_frame_options` of
//! its own. A header that the app sets itself always wins; what it only tries out (`…-Report-Only`) ends no
//! protection.
//!
//! ```
//! use http::{Request, Response};
//! use panoply::practices::headers::{Csp, XFrameOptions};
//! use panoply::{Headers, Shield};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), panoply::SettingError> {
//! let headers = Headers::default()
//!     .csp(Csp::default().directive("script-src", ["'self'", "https://cdn.example"])?)
//!     .x_frame_options(XFrameOptions::Deny)
//!     .x_download_options(None);
//! let app = service_fn(async |_| Ok::<_, std::io::Error>(Response::new(String::new())));
//! let app = Shield::bare().headers(headers).layer(app);
//!
//! let answer = app.oneshot(Request::new(String::new())).await.unwrap_or_else(|never| match never {});
//! assert_eq!(answer.headers()["x-frame-options"], "DENY");
//! assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
//! assert!(!answer.headers().contains_key("x-download-options"));
//! # Ok(())
//! # }
//! ```

mod csp;
mod hsts;
mod keywords;
mod prepared;
mod referrer_policy;
mod settings;

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY, CONTENT_TYPE,
    Entry, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_DNS_PREFETCH_CONTROL,
    X_FRAME_OPTIONS, X_XSS_PROTECTION,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, request, response};

pub use self::csp::Csp;
pub use self::hsts::Hsts;
pub use self::keywords::{
    CrossOriginEmbedderPolicy, CrossOriginOpenerPolicy, CrossOriginResourcePolicy, OriginAgentCluster,
    ReferrerToken, XContentTypeOptions, XDnsPrefetchControl, XDownloadOptions, XFrameOptions,
    XPermittedCrossDomainPolicies, XXssProtection,
};
use self::prepared::Prepared;
pub use self::referrer_policy::ReferrerPolicy;
use crate::visit::Scheme;
use crate::{Nonce, Policy, Practice, Visit, World};

/// What browsers are told. Each header is a method and a key: its value, or `None` (`"off"`) to send none.
///
/// In `panoply.toml`:
/// ```
/// # type File = std::collections::BTreeMap<String, panoply::Policies>;
/// # let file = toml::from_str::<File>(r#"
/// [shield.headers]
/// referrer_policy = "no-referrer"
/// hsts = { max_age = 31536000, include_subdomains = true, preload = false }
/// x_frame_options = "off"
/// x_dns_prefetch_control = "off"                 # the header's own value; `false` sends none
/// csp.report_only = true                         # tried out, not enforced
///
/// [shield.headers.csp.directives]                # laid over Helmet's
/// script-src = ["'self'", "'nonce'", "https://cdn.example"]
/// upgrade-insecure-requests = false              # left out
/// # "#);
/// # assert!(file.is_ok(), "{file:?}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    cautious: bool,
    /// What an ordinary answer gets, as a whole: to copy it costs a third of adding one header after the other.
    set: HeaderMap,
    csp: Option<Prepared>,
    csp_report_only: Option<Prepared>,
}

impl Headers {
    /// No header: add those you want.
    #[must_use]
    pub fn none() -> Self {
        Self { cautious: false, set: HeaderMap::with_capacity(ROOM), csp: None, csp_report_only: None }
    }

    /// Holds back what could break an app that panoply does not know; on in front, off in an app.
    ///
    /// - HSTS goes out only to visitors on port 443 over https, under a certificate that browsers trust and a
    ///   public name: it binds every port of a name, and on a self-made certificate it locks visitors out.
    /// - `nosniff` stays away from an answer without a Content-Type, which would show as source text.
    /// - `Cross-Origin-Resource-Policy` is `cross-origin` where the app lets other origins read an answer
    ///   (`Access-Control-Allow-Origin`).
    /// - A 304 carries none but HSTS: many apps leave their own headers off it, and a browser would put
    ///   ours in the place of those that came with the page (RFC 9111 §3.2).
    #[must_use]
    pub const fn cautious(mut self) -> Self {
        self.cautious = true;
        self
    }

    /// Sends every header with every answer, as Helmet does.
    #[must_use]
    pub const fn regardless(mut self) -> Self {
        self.cautious = false;
        self
    }

    /// What a page may load and run. In `panoply.toml`, writing it ends the reports on Helmet's policy.
    #[must_use]
    pub fn csp(mut self, policy: impl Into<Option<Csp>>) -> Self {
        self.csp = policy.into().map(Prepared::from);
        let value = self.csp.as_ref().and_then(|policy| policy.value(false, None));
        self.put(&CONTENT_SECURITY_POLICY, value)
    }

    /// What browsers report as if it were enforced: a policy to try out, beside [`csp`](Self::csp).
    #[must_use]
    pub fn csp_report_only(mut self, policy: impl Into<Option<Csp>>) -> Self {
        self.csp_report_only = policy.into().map(Prepared::from);
        let value = self.csp_report_only.as_ref().and_then(|policy| policy.value(false, None));
        self.put(&CONTENT_SECURITY_POLICY_REPORT_ONLY, value)
    }

    /// Which resources of other origins a page may hold; none is sent by default.
    #[must_use]
    pub fn cross_origin_embedder_policy(self, policy: impl Into<Option<CrossOriginEmbedderPolicy>>) -> Self {
        self.put(&CROSS_ORIGIN_EMBEDDER_POLICY, policy.into())
    }

    /// Which windows keep a handle on each other.
    #[must_use]
    pub fn cross_origin_opener_policy(self, policy: impl Into<Option<CrossOriginOpenerPolicy>>) -> Self {
        self.put(&CROSS_ORIGIN_OPENER_POLICY, policy.into())
    }

    /// Whose pages may embed an answer.
    #[must_use]
    pub fn cross_origin_resource_policy(self, policy: impl Into<Option<CrossOriginResourcePolicy>>) -> Self {
        self.put(&CROSS_ORIGIN_RESOURCE_POLICY, policy.into())
    }

    /// Whether the origin gets a process of its own.
    #[must_use]
    pub fn origin_agent_cluster(self, cluster: impl Into<Option<OriginAgentCluster>>) -> Self {
        self.put(&ORIGIN_AGENT_CLUSTER, cluster.into())
    }

    /// What the next site learns of the page that led there.
    #[must_use]
    pub fn referrer_policy(self, policy: impl Into<Option<ReferrerPolicy>>) -> Self {
        self.put(&REFERRER_POLICY, policy.into().and_then(|policy| policy.value()))
    }

    /// For how long browsers come back over https alone.
    #[must_use]
    pub fn hsts(self, hsts: impl Into<Option<Hsts>>) -> Self {
        self.put(&STRICT_TRANSPORT_SECURITY, hsts.into().and_then(|hsts| hsts.value()))
    }

    /// Whether a browser may guess a type.
    #[must_use]
    pub fn x_content_type_options(self, options: impl Into<Option<XContentTypeOptions>>) -> Self {
        self.put(&X_CONTENT_TYPE_OPTIONS, options.into())
    }

    /// Whether a browser looks up the hosts of links ahead.
    #[must_use]
    pub fn x_dns_prefetch_control(self, control: impl Into<Option<XDnsPrefetchControl>>) -> Self {
        self.put(&X_DNS_PREFETCH_CONTROL, control.into())
    }

    /// Whether Internet Explorer opens downloads in place.
    #[must_use]
    pub fn x_download_options(self, options: impl Into<Option<XDownloadOptions>>) -> Self {
        self.put(&X_DOWNLOAD_OPTIONS, options.into())
    }

    /// Whose pages may frame an answer, for browsers without `frame-ancestors`.
    #[must_use]
    pub fn x_frame_options(self, options: impl Into<Option<XFrameOptions>>) -> Self {
        self.put(&X_FRAME_OPTIONS, options.into())
    }

    /// Whether Flash and Acrobat may read across origins.
    #[must_use]
    pub fn x_permitted_cross_domain_policies(
        self,
        policies: impl Into<Option<XPermittedCrossDomainPolicies>>,
    ) -> Self {
        self.put(&X_PERMITTED_CROSS_DOMAIN_POLICIES, policies.into())
    }

    /// Whether old browsers filter what looks like reflected script.
    #[must_use]
    pub fn x_xss_protection(self, protection: impl Into<Option<XXssProtection>>) -> Self {
        self.put(&X_XSS_PROTECTION, protection.into())
    }

    /// Makes the nonce that the app writes into its page, where a policy asks for one.
    pub(crate) fn admit(&self, visit: &mut Visit, request: &mut request::Parts, world: &World) {
        if self.policies().any(|(_, policy)| policy.has_nonce()) {
            let nonce = Nonce(world.random());
            visit.nonce = Some(nonce);
            request.extensions.insert(nonce);
        }
    }

    pub(crate) fn finish(&self, visit: &Visit, response: &mut response::Parts) {
        // From here on the connection speaks another protocol: no page, nothing to tell a browser.
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let not_modified = response.status == StatusCode::NOT_MODIFIED;
        let said = &mut response.headers;
        let binds = !self.cautious || may_bind(visit);
        if not_modified && self.cautious {
            if binds && let Some(hsts) = self.set.get(STRICT_TRANSPORT_SECURITY) {
                offer(said, &STRICT_TRANSPORT_SECURITY, hsts);
            }
            return;
        }
        let mut headers = self.set.clone();
        if !binds {
            headers.remove(STRICT_TRANSPORT_SECURITY);
        }
        if self.cautious && !said.contains_key(CONTENT_TYPE) {
            headers.remove(X_CONTENT_TYPE_OPTIONS);
        }
        if self.cautious
            && said.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)
            && let Some(policy) = headers.get_mut(&CROSS_ORIGIN_RESOURCE_POLICY)
        {
            *policy = CrossOriginResourcePolicy::CrossOrigin.into();
        }
        self.fit_policies(&mut headers, said, visit.nonce, not_modified);
        lay(std::mem::take(said), &mut headers);
        response.headers = headers;
    }

    /// An app that enforces a policy of its own knows what it needs: neither of ours is added then.
    fn fit_policies(
        &self,
        headers: &mut HeaderMap,
        said: &HeaderMap,
        nonce: Option<Nonce>,
        not_modified: bool,
    ) {
        if said.contains_key(CONTENT_SECURITY_POLICY) {
            headers.remove(CONTENT_SECURITY_POLICY);
            headers.remove(CONTENT_SECURITY_POLICY_REPORT_ONLY);
            return;
        }
        let framed_by_app = said.contains_key(X_FRAME_OPTIONS);
        for (name, policy) in self.policies() {
            if !framed_by_app && !policy.has_nonce() {
                continue; // it is in the set as it is sent
            }
            // The page that the browser kept has the nonce of its own answer, which a new one would replace.
            let value = policy.value(framed_by_app, nonce).filter(|_| !(not_modified && policy.has_nonce()));
            match value {
                Some(value) => headers.insert(name, value),
                None => headers.remove(name),
            };
        }
    }

    fn policies(&self) -> impl Iterator<Item = (&'static HeaderName, &Prepared)> {
        let enforced = self.csp.iter().map(|policy| (&CONTENT_SECURITY_POLICY, policy));
        let reported =
            self.csp_report_only.iter().map(|policy| (&CONTENT_SECURITY_POLICY_REPORT_ONLY, policy));
        enforced.chain(reported)
    }

    fn put(mut self, name: &'static HeaderName, value: Option<impl Into<HeaderValue>>) -> Self {
        match value {
            Some(value) => self.set.insert(name, value.into()),
            None => self.set.remove(name),
        };
        self
    }
}

/// Helmet 8's set.
impl Default for Headers {
    fn default() -> Self {
        Self::none()
            .csp(Csp::default())
            .cross_origin_opener_policy(CrossOriginOpenerPolicy::SameOrigin)
            .cross_origin_resource_policy(CrossOriginResourcePolicy::SameOrigin)
            .origin_agent_cluster(OriginAgentCluster::Own)
            .referrer_policy(ReferrerToken::NoReferrer)
            .hsts(Hsts::default())
            .x_content_type_options(XContentTypeOptions::Nosniff)
            .x_dns_prefetch_control(XDnsPrefetchControl::Off)
            .x_download_options(XDownloadOptions::Noopen)
            .x_frame_options(XFrameOptions::SameOrigin)
            .x_permitted_cross_domain_policies(XPermittedCrossDomainPolicies::None)
            .x_xss_protection(XXssProtection::Disabled)
    }
}

impl Policy for Headers {
    const PRACTICE: Practice = Practice::Headers;

    fn in_front() -> Self {
        Self::default()
            .cautious()
            .csp(Csp::in_front())
            .csp_report_only(Csp::reported())
            .cross_origin_opener_policy(CrossOriginOpenerPolicy::SameOriginAllowPopups)
            .cross_origin_resource_policy(CrossOriginResourcePolicy::SameSite)
            .referrer_policy(ReferrerToken::StrictOriginWhenCrossOrigin)
            .hsts(Hsts::for_host(Hsts::default().max_age()))
    }

    fn summary(&self) -> String {
        format!("{} headers", self.set.len())
    }
}

/// Adds a header, unless the app did.
fn offer(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    // It fails only where the app sent 24,576 headers, as many as the map holds.
    if let Ok(Entry::Vacant(free)) = headers.try_entry(name) {
        let _ = free.try_insert(value.clone());
    }
}

/// Lays what the app said over `headers`, whose values it replaces.
fn lay(said: HeaderMap, headers: &mut HeaderMap) {
    let mut last = None;
    for (name, value) in said {
        // Each fails only where the app sent as many as the map holds; what is over that is lost.
        let _ = match (name, &last) {
            (Some(name), _) => headers.try_insert(&*last.insert(name), value).map(drop),
            (None, Some(name)) => headers.try_append(name, value).map(drop),
            (None, None) => Ok(()),
        };
    }
}

/// Whether HSTS would bind a public site that the visitor can come back to.
fn may_bind(visit: &Visit) -> bool {
    visit.scheme == Scheme::Https
        && visit.port() == 443
        && visit.connection.trusted_certificate
        && visit.host().is_some_and(hsts::is_public)
}

/// For the headers that there are here, and ten of the app's, before the map has to grow.
const ROOM: usize = 24;

static CROSS_ORIGIN_EMBEDDER_POLICY: HeaderName = HeaderName::from_static("cross-origin-embedder-policy");
static CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
static CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
static ORIGIN_AGENT_CLUSTER: HeaderName = HeaderName::from_static("origin-agent-cluster");
static X_DOWNLOAD_OPTIONS: HeaderName = HeaderName::from_static("x-download-options");
static X_PERMITTED_CROSS_DOMAIN_POLICIES: HeaderName =
    HeaderName::from_static("x-permitted-cross-domain-policies");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_defaults_are_twelve_headers_in_an_app_and_thirteen_in_front() {
        assert_eq!(Headers::default().summary(), "12 headers");
        assert_eq!(Headers::in_front().summary(), "13 headers");
        assert_eq!(Headers::none().summary(), "0 headers");
    }

    #[test]
    fn nothing_written_is_the_default_in_front() {
        assert_eq!(toml::from_str::<Headers>("").unwrap(), Headers::in_front());
    }

    /// In front, with this policy in place of both defaults.
    fn enforced(policy: impl Into<Option<Csp>>) -> Headers {
        Headers::in_front().csp(policy).csp_report_only(None)
    }

    #[test]
    fn what_is_written_is_what_the_builder_says() {
        let in_front = Headers::in_front;
        let shop = Csp::default().directive("script-src", ["'self'", "https://cdn.example"]).unwrap();
        for (written, built) in [
            ("cautious = false", in_front().regardless()),
            ("referrer_policy = \"no-referrer\"", in_front().referrer_policy(ReferrerToken::NoReferrer)),
            (
                "referrer_policy = [\"no-referrer\", \"origin\"]",
                in_front().referrer_policy(
                    ReferrerPolicy::of([ReferrerToken::NoReferrer, ReferrerToken::Origin]).unwrap(),
                ),
            ),
            (
                "hsts = { max_age = 31536000, include_subdomains = true, preload = false }",
                in_front().hsts(Hsts::default()),
            ),
            ("hsts = \"max-age=31536000; includeSubDomains\"", in_front().hsts(Hsts::default())),
            ("hsts = {}", in_front()),
            ("hsts = \"off\"", in_front().hsts(None)),
            ("x_frame_options = \"off\"", in_front().x_frame_options(None)),
            ("x_frame_options = false", in_front().x_frame_options(None)),
            ("x_frame_options = \"Deny\"", in_front().x_frame_options(XFrameOptions::Deny)),
            ("x_dns_prefetch_control = \"off\"", in_front()),
            ("x_dns_prefetch_control = false", in_front().x_dns_prefetch_control(None)),
            (
                "cross_origin_embedder_policy = \"credentialless\"",
                in_front().cross_origin_embedder_policy(CrossOriginEmbedderPolicy::Credentialless),
            ),
            ("csp = \"off\"", enforced(None)),
            ("csp = {}", enforced(Csp::default())),
            ("csp_report_only = \"off\"", in_front().csp_report_only(None)),
            ("csp = \"default-src 'none'\"", enforced(Csp::only(["'none'"]).unwrap())),
            ("csp.directives.script-src = [\"'self'\", \"https://cdn.example\"]", enforced(shop.clone())),
            ("csp.directives.scriptSrc = \"'self' https://cdn.example\"", enforced(shop.clone())),
            (
                "csp.report_only = true\ncsp.directives.script-src = [\"'self'\", \"https://cdn.example\"]",
                in_front().csp_report_only(shop.without("upgrade-insecure-requests").unwrap()),
            ),
            ("csp.report_only = true", in_front()),
            (
                "csp = \"img-src *\"\ncsp_report_only = \"default-src 'none'\"",
                in_front()
                    .csp_report_only(Csp::only(["'none'"]).unwrap())
                    .csp("img-src *".parse::<Csp>().unwrap()),
            ),
            (
                "[csp]\nuse_defaults = false\ndanger_without_default_src = true\ndirectives.img-src = \"*\"",
                enforced("img-src *".parse::<Csp>().unwrap()),
            ),
        ] {
            let read =
                toml::from_str::<Headers>(written).unwrap_or_else(|error| panic!("{written}: {error}"));
            assert_eq!(read, built, "{written}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_and_the_hint_says_what_to_write() {
        for (written, hint) in [
            ("x_powered_by = false", "unknown field `x_powered_by`"),
            ("x_frame_options = \"allow-from https://a.example\"", "hint: write one of `DENY` `SAMEORIGIN`"),
            ("x_frame_options = true", "hint: write its value"),
            ("x_content_type_options = \"sniff\"", "hint: write one of `nosniff`"),
            ("referrer_policy = []", "hint: write `no-referrer`, or \"off\""),
            ("referrer_policy = [\"origin\", \"origin\"]", "hint: leave one of them out"),
            ("referrer_policy = \"never\"", "hint: write one of"),
            ("hsts = { max_age = -1 }", "hint: write `31536000` for a year"),
            ("hsts = { maxage = 1 }", "unknown field `maxage`"),
            ("hsts = { includeSubDomains = true }", "unknown field `includeSubDomains`"),
            ("hsts = 5", "a table with `max_age`"),
            ("csp = \"script-src self\"", "hint: write `'self'`, with its quotes"),
            ("csp = \"\"", "hint: add one"),
            ("csp = \"img-src a, b\"", "hint: write `;` between directives"),
            ("csp.directives.script-src = [\"self\"]", "hint: write `'self'`, with its quotes"),
            ("csp.directives.script-src = [\"nonce\"]", "hint: write `'nonce'`, with its quotes"),
            ("csp.directives.script-src = [\"a;b\"]", "hint: make each source"),
            ("csp.directives.script-src = \"off\"", "hint: write `false` to leave"),
            ("csp.directives.script-src = true", "hint: write `[]`"),
            ("csp.directives.script-src = 5", "a list of sources"),
            ("csp.directives.ScriptSrc = []", "hint: write a name such as"),
            ("csp.directives.default-src = false", "hint: write `danger_without_default_src`"),
            ("csp.directives = { script-src = [], scriptSrc = [] }", "hint: leave one of them out"),
            ("csp.use_defaults = false", "hint: add one"),
            ("csp = { use_defaults = false, directives.img-src = [] }", "hint: add `default-src"),
            ("csp.reportOnly = true", "unknown field `reportOnly`"),
            ("csp_report_only = {}", "expected a string"),
            ("csp.report_only = true\ncsp_report_only = \"img-src a\"", "hint: leave `report_only` out"),
        ] {
            let error = toml::from_str::<Headers>(written).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(hint), "{written}: {error}");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_builders_is_of_no_account(order in Just([0_usize, 1, 2, 3]).prop_shuffle()) {
            let build = |order: [usize; 4]| {
                order.into_iter().fold(Headers::in_front(), |headers, step| match step {
                    0 => headers.csp(Csp::default()),
                    1 => headers.csp_report_only(Csp::reported()),
                    2 => headers.regardless(),
                    _ => headers.hsts(None),
                })
            };
            prop_assert_eq!(build(order), build([0, 1, 2, 3]));
        }
    }
}
