//! A cookie without flags can be read by a script, stolen on the wire and sent along by other sites' pages; one in
//! plain text can be read and made by whoever holds it.
//!
//! **Stops** theft of sessions by injected scripts (`HttpOnly`) and in the clear (`Secure`), and their use by
//! other sites' pages (`SameSite`): every `Set-Cookie` of every answer gets what the app left out. What the
//! app has set stays, and so do attributes nobody here has heard of, all other lines, and the order of lines. Cookies
//! that are named are renamed, so that their name tells no software and `__Host-` keeps neighbouring hosts from
//! setting them, and sealed, so that they are opaque to their holder and nobody else can make one.
//!
//! **Leaves** what the app has chosen itself (`SameSite=None`), cookies that scripts set, guessable values,
//! `Domain` and `Path`. Lines that browsers ignore pass as they are. Renaming alone stops no forgery: whoever knows the
//! new name can send what he likes under it. Sealing stops no replay: a good cookie is good again, also from another
//! browser, until the app says otherwise.
//!
//! **Defaults.**
//! - `Secure` where the visitor came over https, and also for the names `__Host-…` and `__Secure-…`, which
//!   browsers take in no other way. In the clear it would lose every other cookie. This repairs
//!   `SameSite=None` without `Secure` too.
//! - `SameSite=Lax` where the app says nothing, or no word that browsers know. Chromium takes a cookie for
//!   `Lax` then anyway, so that a site which works there goes on working, in frames and with CORS too. There is
//!   one exception: for two minutes Chromium sends such a cookie with another site's form, which is how a
//!   login by OAuth's `form_post` finds its state. So in front of an app that panoply does not know, answers
//!   that lead off the site leave it open. It is left open with `Partitioned` as well, which is for frames.
//! - `HttpOnly` for every cookie but csrf and xsrf tokens, which scripts are to read. In front of an app that
//!   panoply does not know, only for those that look like sessions, by name, signature or chance, since
//!   nobody says which others its scripts read.
//! - A cookie that is deleted gets the same flags as when it was set, so that it is the same to browsers.
//! - Nothing is renamed or sealed until it is named: scripts of the page may need to find it.
//!
//! # Renaming and sealing
//! The app sees its own names and values, whatever browsers see, and signatures over them hold. `name.sig`, which the
//! npm package `cookies` sets beside `name`, goes along with it. All that the app sets under another name than the one
//! given stays as it is.
//!
//! **Inwards** the app gets one cookie of each name at most: the one under the stronger name, of several the first, and
//! of what is to be sealed the first that opens. Its own name from outside is dropped, in every spelling that some app
//! takes for it, and so is what does not open: forged, altered, another site's, in plain text. The request goes on
//! without; the log has a count, once a minute.
//!
//! **The name** is a function of what makes a cookie one and the same to browsers, so that a line which would have
//! replaced or deleted a cookie still does. `__Host-id` is for cookies for all paths and this host alone; one with a
//! `Domain` or another path is `__Secure-id`, and the log says so once. Visitors in the clear get `id`, since browsers
//! take no prefix there; over https `id` is not taken, for it may come from whoever could write in the clear. Where
//! `Path` is left out and browsers would take `/`, it is written out.
//!
//! **Two of a name** do not compete. When the app sets or deletes a cookie which the request brought under another of
//! its names (the app has changed `Path` or `Domain`, the visitor was in the clear before, it was not yet renamed), a
//! line that ends the other goes along. Of one under `__Secure-` the former `Path` and `Domain` are not known: what the
//! app says now is tried, and `__Host-` goes before it in any case.
//!
//! **Seals** are bound to the site and to the app's name of the cookie, so that the name for browsers can change later.
//! An older key of the ring opens too; the new one seals what the app sets next. Nothing is set again on its own, since
//! nobody here knows when a cookie was to expire: keep an old key for as long as its cookies live. A line that ends a
//! cookie is sealed only where it has a value. A sealed value is a third longer and 51 characters more: what is then
//! more than 4,096 bytes with its name (about 3,000 before) is dropped with an error in the log, as browsers would
//! drop it.
//!
//! **A change-over** is `accept_plain_until`: what browsers have from before is taken till then, and what is new wins.
//! Nobody is logged out when that is as long as the cookies live; until it ends nothing is harder to forge than it was.
//!
//! `observe` is no state for this: as a setting it is refused, and a shield that was built so renames and seals nothing.
//!
//! ```
//! use panoply::{Cookies, Shield, practices::cookies::AddHttpOnly};
//!
//! let cookies = Cookies::default()
//!     .http_only(AddHttpOnly::Sessions)
//!     .exempt("theme"); // as the app sends it
//! let shield = Shield::bare().cookies(cookies);
//! assert!(shield.has(panoply::Practice::Cookies));
//! ```
//!
//! ```
//! use panoply::{Cookies, Keys, Shield};
//!
//! # fn main() -> Result<(), panoply::SettingError> {
//! let keys = Keys::new([Keys::generate()])?;
//! let cookies = Cookies::default()
//!     .rename("connect.sid", "__Host-id")?
//!     .seal(["connect.sid"], &keys)?
//!     .accept_plain_until("2026-12-31".parse()?);
//! assert!(cookies.renames_or_seals() && !cookies.needs_keys());
//! let shield = Shield::bare().cookies(cookies);
//! # Ok(())
//! # }
//! ```

mod disguise;
mod inward;
mod name;
mod outward;
mod rename;
pub(crate) mod session;
mod set_cookie;
mod tally;
mod until;

use std::sync::{Arc, OnceLock};

use http::header::{Entry, SET_COOKIE};
use http::{HeaderMap, HeaderValue, request, response};
use serde::Deserialize;

use self::disguise::Disguise;
pub(crate) use self::inward::Presented;
use self::outward::Outward;
use self::rename::{Rename, SealNames};
pub(crate) use self::session::names_a_session;
pub use self::set_cookie::{Attribute, SameSite, SetCookie};
use self::tally::Tally;
pub use self::until::Until;
use crate::keys::Seal;
use crate::practices::redirects;
use crate::{Guard, Keys, Policy, Practice, Scheme, SettingError, Visit, World};

/// Gives cookies the flags that the app left out, and those that are named another name and a sealed value.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct Cookies {
    secure: AddSecure,
    same_site: AddSameSite,
    http_only: AddHttpOnly,
    exempt: Vec<String>,
    rename: Rename,
    seal: SealNames,
    accept_plain_until: Option<Until>,
    #[serde(skip)]
    site: Box<str>,
    #[serde(skip)]
    sealing: Option<Seal>,
    /// What the five settings above come to, made when it is first needed.
    #[serde(skip)]
    disguise: OnceLock<Arc<Disguise>>,
}

/// Which cookies get `Secure`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddSecure {
    /// Those of visitors who came over https. The default.
    #[default]
    OnHttps,
    /// All: right behind a TLS terminator that cannot be declared in `trusted_proxies`.
    Always,
    /// None.
    Never,
}

/// Which cookies get `SameSite=Lax`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddSameSite {
    /// All. The default in an app that panoply is part of.
    #[default]
    Always,
    /// All but those that are set on the way to another site. The default in front of an unknown app.
    OnSite,
    /// None.
    Never,
}

/// Which cookies get `HttpOnly`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddHttpOnly {
    /// All but csrf and xsrf tokens. The default in an app that panoply is part of.
    #[default]
    Always,
    /// Those that look like sessions. The default in front of an unknown app.
    Sessions,
    /// None.
    Never,
}

impl Cookies {
    /// Chooses which cookies get `Secure`.
    #[must_use]
    pub fn secure(mut self, secure: AddSecure) -> Self {
        self.secure = secure;
        self
    }

    /// Chooses which cookies get `SameSite=Lax`.
    #[must_use]
    pub fn same_site(mut self, same_site: AddSameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Chooses which cookies get `HttpOnly`.
    #[must_use]
    pub fn http_only(mut self, http_only: AddHttpOnly) -> Self {
        self.http_only = http_only;
        self
    }

    /// Leaves the cookie of this name as the app sends it. Names are compared to the byte, as browsers do.
    #[must_use]
    pub fn exempt(mut self, name: impl Into<String>) -> Self {
        self.exempt.push(name.into());
        self
    }

    /// Shows browsers the cookie `own` of the app as `new`, and the app its own again. The name has to be one that no
    /// other cookie of the app has, with or without its prefix.
    ///
    /// `__Host-` becomes `__Secure-` where a cookie has a `Domain` or is not for all paths, and neither is there for
    /// visitors in the clear.
    ///
    /// # Errors
    /// One of the two is no name, or scripts have to read the cookie, or the names do not go together.
    ///
    /// ```
    /// use panoply::Cookies;
    ///
    /// let cookies = Cookies::default().rename("connect.sid", "__Host-id")?;
    /// let error = cookies.rename("user", "__Secure-id").unwrap_err();
    /// assert_eq!(error.to_string(), "`connect.sid` and `user` would both be `__Secure-id` to browsers");
    /// # Ok::<(), panoply::SettingError>(())
    /// ```
    pub fn rename(mut self, own: &str, new: &str) -> Result<Self, SettingError> {
        self.rename.add(own, new)?;
        self.checked()
    }

    /// Seals the cookies of these names, by which the app knows them: browsers hold what nobody can read, alter or make,
    /// the app sees its own values.
    ///
    /// # Errors
    /// One of them is no name, or scripts have to read it.
    pub fn seal<N: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = N>,
        keys: &Keys,
    ) -> Result<Self, SettingError> {
        for name in names {
            self.seal.add(name.as_ref())?;
        }
        self.keys(keys).checked()
    }

    /// The keys to seal with, where the names come from a file.
    #[must_use]
    pub fn keys(mut self, keys: &Keys) -> Self {
        self.sealing = Some(keys.seal(PURPOSE));
        self.disguise = OnceLock::new();
        self
    }

    /// What sealed cookies belong to: sites that share keys open none of each other's.
    #[must_use]
    pub fn site(mut self, site: &str) -> Self {
        self.site = site.into();
        self.disguise = OnceLock::new();
        self
    }

    /// Takes cookies from before they were renamed or sealed, until then. Till the end forging them is as easy as it
    /// was.
    #[must_use]
    pub fn accept_plain_until(mut self, until: Until) -> Self {
        self.accept_plain_until = Some(until);
        self.disguise = OnceLock::new();
        self
    }

    /// Whether cookies are to be sealed, and there are no keys for it yet. Until there are, none of them passes.
    #[must_use]
    pub fn needs_keys(&self) -> bool {
        !self.seal.is_empty() && self.sealing.is_none()
    }

    /// Whether browsers see some cookie otherwise than the app does.
    #[must_use]
    pub fn renames_or_seals(&self) -> bool {
        !self.rename.is_empty() || !self.seal.is_empty()
    }

    /// Gives the app its own cookies again.
    pub(crate) fn admit(&self, visit: &mut Visit, request: &mut request::Parts, world: &World) {
        if let Some(disguise) = self.disguise() {
            visit.cookies = disguise.inward(self.scheme(visit), &mut request.headers, world);
        }
    }

    /// Adds flags to every cookie that is set.
    pub(crate) fn finish(&self, visit: &Visit, response: &mut response::Parts, world: &World) {
        if !response.headers.contains_key(SET_COOKIE) {
            return;
        }
        let answer = Answer {
            over_https: visit.scheme == Scheme::Https,
            leads_off_site: self.same_site == AddSameSite::OnSite
                && redirects::leads_off_site(visit, response),
            signatures: match self.http_only {
                AddHttpOnly::Sessions => signatures(&response.headers),
                AddHttpOnly::Always | AddHttpOnly::Never => Vec::new(),
            },
        };
        if let Some(disguise) = self.disguise() {
            let way = Outward { scheme: self.scheme(visit), visit, world };
            return disguise.outward(self, &answer, &way, &mut response.headers);
        }
        let Entry::Occupied(mut lines) = response.headers.entry(SET_COOKIE) else { return };
        for line in lines.iter_mut() {
            if let Some(hardened) = self.hardened(line, &answer) {
                *line = hardened;
            }
        }
    }

    /// The line with the flags that it lacks, if there are any.
    fn hardened(&self, line: &HeaderValue, answer: &Answer) -> Option<HeaderValue> {
        let cookie = SetCookie::parse(line.as_bytes())?;
        let is_exempt = self.exempt.iter().any(|name| name.as_bytes() == cookie.name());
        if is_exempt { None } else { self.with_flags(cookie, answer, Look::OfItself).changed() }
    }

    fn with_flags<'l>(&self, cookie: SetCookie<'l>, answer: &Answer, look: Look) -> SetCookie<'l> {
        let mut hardened = cookie;
        if self.makes_secure(&cookie, answer) {
            hardened = hardened.with_secure();
        }
        if self.makes_http_only(&cookie, answer, look) {
            hardened = hardened.with_http_only();
        }
        if self.makes_lax(&cookie, answer) {
            hardened = hardened.with_same_site(SameSite::Lax);
        }
        hardened
    }

    fn makes_secure(&self, cookie: &SetCookie<'_>, answer: &Answer) -> bool {
        match self.secure {
            AddSecure::OnHttps => answer.over_https || is_bound_to_https(cookie.name()),
            AddSecure::Always => true,
            AddSecure::Never => false,
        }
    }

    fn makes_http_only(&self, cookie: &SetCookie<'_>, answer: &Answer, look: Look) -> bool {
        match self.http_only {
            AddHttpOnly::Always => !session::is_for_scripts(cookie.name()),
            AddHttpOnly::Sessions => {
                look == Look::Disguised || session::is_session(cookie, answer.has_signature_of(cookie.name()))
            }
            AddHttpOnly::Never => false,
        }
    }

    fn makes_lax(&self, cookie: &SetCookie<'_>, answer: &Answer) -> bool {
        let is_open = cookie.same_site().is_none() && !cookie.is_partitioned();
        is_open
            && match self.same_site {
                AddSameSite::Always => true,
                AddSameSite::OnSite => !answer.leads_off_site,
                AddSameSite::Never => false,
            }
    }

    /// How the visitor came, as far as his cookies go: those of somebody in the clear are none of somebody's over TLS.
    fn scheme(&self, visit: &Visit) -> Scheme {
        match self.secure {
            AddSecure::OnHttps => visit.scheme,
            AddSecure::Always => Scheme::Https,
            AddSecure::Never => Scheme::Http,
        }
    }

    fn disguise(&self) -> Option<&Disguise> {
        let make = || {
            Arc::new(Disguise {
                rules: disguise::rules(&self.rename, &self.seal),
                site: self.site.clone(),
                seal: self.sealing.clone(),
                until: self.accept_plain_until,
                kept_out: Tally::default(),
                kept_in: Tally::default(),
            })
        };
        self.renames_or_seals().then(|| &**self.disguise.get_or_init(make))
    }

    fn checked(mut self) -> Result<Self, SettingError> {
        self.disguise = OnceLock::new();
        self.check_together()?;
        Ok(self)
    }

    /// What one setting cannot tell alone.
    fn check_together(&self) -> Result<(), SettingError> {
        let rules = disguise::rules(&self.rename, &self.seal);
        disguise::check(&rules)?;
        if let Some(rule) = rules.iter().find(|rule| self.exempt.iter().any(|name| **name == *rule.own)) {
            return Err(SettingError::new(
                format!("`{}` is exempt, and can then not be renamed or sealed", rule.own),
                "take it out of `exempt`, or out of `rename` and `seal`",
            ));
        }
        let prefixed = || {
            rules
                .iter()
                .map(|rule| rule.name(Scheme::Https, true).1)
                .find(|name| is_bound_to_https(name.as_bytes()))
        };
        if self.secure == AddSecure::Never
            && let Some(name) = prefixed()
        {
            return Err(SettingError::new(
                format!(
                    "browsers take `{name}` with `Secure` alone, and `secure = \"never\"` leaves that out"
                ),
                "leave `secure` out, or write a name without prefix",
            ));
        }
        Ok(())
    }
}

impl Policy for Cookies {
    const PRACTICE: Practice = Practice::Cookies;

    fn in_front() -> Self {
        Self::default().same_site(AddSameSite::OnSite).http_only(AddHttpOnly::Sessions)
    }

    fn summary(&self) -> String {
        let flags = [
            ("Secure", self.secure != AddSecure::Never),
            ("SameSite", self.same_site != AddSameSite::Never),
            ("HttpOnly", self.http_only != AddHttpOnly::Never),
        ];
        let flags = flags.into_iter().filter(|(_, added)| *added).map(|(flag, _)| flag.to_owned());
        let named = [("renamed", self.rename.len()), ("sealed", self.seal.len())];
        let named =
            named.into_iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}"));
        flags.chain(named).collect::<Vec<_>>().join(", ")
    }

    fn check(guard: &Guard<Self>) -> Result<(), SettingError> {
        match guard {
            Guard::Observe(cookies) if cookies.renames_or_seals() => Err(SettingError::new(
                "a cookie that is renamed or sealed is so for browsers and app both, which cannot be watched only",
                "leave `mode` out; `accept_plain_until` lets the cookies from before pass for a while",
            )),
            Guard::On(cookies) | Guard::Observe(cookies) => cookies.check_together(),
            Guard::Off => Ok(()),
        }
    }
}

/// Whether a cookie leaves as the app set it, or under another name or sealed: then no script of the page knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    OfItself,
    Disguised,
}

/// What counts for all cookies of an answer.
#[derive(Debug)]
struct Answer {
    over_https: bool,
    leads_off_site: bool,
    signatures: Vec<HeaderValue>,
}

impl Answer {
    fn has_signature_of(&self, name: &[u8]) -> bool {
        self.signatures.iter().any(|line| {
            let signature = SetCookie::parse(line.as_bytes());
            signature.and_then(|signature| session::signs(signature.name())) == Some(name)
        })
    }
}

/// The lines that are signatures of other cookies. No memory is taken where there are none.
fn signatures(headers: &HeaderMap) -> Vec<HeaderValue> {
    let is_signature = |line: &&HeaderValue| {
        SetCookie::parse(line.as_bytes()).is_some_and(|cookie| session::signs(cookie.name()).is_some())
    };
    headers.get_all(SET_COOKIE).iter().filter(is_signature).cloned().collect()
}

/// Browsers take these names only with `Secure`, and in any case (RFC 6265bis §4.1.3).
fn is_bound_to_https(name: &[u8]) -> bool {
    [&b"__Host-"[..], b"__Secure-"]
        .iter()
        .any(|prefix| name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix)))
}

/// What keys are derived for.
const PURPOSE: &str = "panoply cookie";

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;
    use crate::{Connection, RequestId, TrustedProxies};

    /// The lines of an answer as they leave, to a visitor of us.example.
    fn hardened(cookies: &Cookies, scheme: Scheme, location: Option<&str>, lines: &[&str]) -> Vec<String> {
        let (request, ()) = Request::get("/").header("host", "us.example").body(()).unwrap().into_parts();
        let connection = Connection { scheme, ..Connection::unknown() };
        let (client, scheme) = TrustedProxies::default().client(&connection, &request.headers);
        let visit = Visit::new(&request, connection, client, scheme, RequestId(0));
        let mut response = Response::builder().status(if location.is_some() { 302 } else { 200 });
        for line in lines {
            response = response.header(SET_COOKIE, *line);
        }
        if let Some(location) = location {
            response = response.header("location", location);
        }
        let (mut response, ()) = response.body(()).unwrap().into_parts();
        cookies.finish(&visit, &mut response, &World::default());
        let lines = response.headers.get_all(SET_COOKIE).iter();
        lines.map(|line| line.as_bytes().escape_ascii().to_string()).collect()
    }

    fn over_https(cookies: &Cookies, line: &str) -> String {
        hardened(cookies, Scheme::Https, None, &[line]).concat()
    }

    #[test]
    fn an_app_of_ours_gets_every_flag_it_left_out() {
        for (line, expected) in [
            ("a=b", "a=b; Secure; HttpOnly; SameSite=Lax"),
            ("a=b; Path=/; Priority=High", "a=b; Path=/; Priority=High; Secure; HttpOnly; SameSite=Lax"),
            ("a=b; Secure; HttpOnly; SameSite=Strict", "a=b; Secure; HttpOnly; SameSite=Strict"),
            ("a=b; path=/; samesite=none", "a=b; path=/; samesite=none; Secure; HttpOnly"), // the app's own choice
            ("a=b; SameSite=yes", "a=b; SameSite=yes; Secure; HttpOnly; SameSite=Lax"), // no choice to browsers
            ("a=b; Partitioned", "a=b; Partitioned; Secure; HttpOnly"),
            ("XSRF-TOKEN=a", "XSRF-TOKEN=a; Secure; SameSite=Lax"), // scripts read it
            ("csrftoken=a", "csrftoken=a; Secure; SameSite=Lax"),
            ("a=; Max-Age=0", "a=; Max-Age=0; Secure; HttpOnly; SameSite=Lax"), // deleted as it was set
            ("__Host-sid=1; Path=/", "__Host-sid=1; Path=/; Secure; HttpOnly; SameSite=Lax"),
            (" = ; Path=/", " = ; Path=/"), // browsers ignore it
        ] {
            assert_eq!(over_https(&Cookies::default(), line), expected, "{line}");
        }
    }

    #[test]
    fn in_front_of_an_unknown_app_only_sessions_get_http_only() {
        for (line, expected) in [
            ("connect.sid=s%3Aabc", "connect.sid=s%3Aabc; Secure; HttpOnly; SameSite=Lax"),
            (
                "connect.sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
                "connect.sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly; SameSite=Lax",
            ),
            (
                "t=4f9c1e8a7b2d3c6f5a0e9d8c7b1a2f3e",
                "t=4f9c1e8a7b2d3c6f5a0e9d8c7b1a2f3e; Secure; HttpOnly; SameSite=Lax",
            ),
            ("theme=dark", "theme=dark; Secure; SameSite=Lax"),
            (
                "_csrf=4f9c1e8a7b2d3c6f5a0e9d8c7b1a2f3e",
                "_csrf=4f9c1e8a7b2d3c6f5a0e9d8c7b1a2f3e; Secure; SameSite=Lax",
            ),
        ] {
            assert_eq!(over_https(&Cookies::in_front(), line), expected, "{line}");
        }
    }

    #[test]
    fn a_signature_beside_a_cookie_makes_both_http_only() {
        let lines = ["theme=dark", "cart=e30=; path=/", "cart.sig=abc; path=/; httponly"];
        assert_eq!(
            hardened(&Cookies::in_front(), Scheme::Http, None, &lines),
            [
                "theme=dark; SameSite=Lax",
                "cart=e30=; path=/; HttpOnly; SameSite=Lax",
                "cart.sig=abc; path=/; httponly; SameSite=Lax"
            ],
        );
    }

    #[test]
    fn in_the_clear_only_names_that_demand_it_get_secure() {
        for (secure, line, is_secure) in [
            (AddSecure::OnHttps, "a=b", false),
            (AddSecure::OnHttps, "a=b; SameSite=None", false),
            (AddSecure::OnHttps, "__Host-a=b", true),
            (AddSecure::OnHttps, "__secure-a=b", true),
            (AddSecure::OnHttps, "__Hosts=b", false),
            (AddSecure::Always, "a=b", true),
            (AddSecure::Never, "__Host-a=b", false),
        ] {
            let line = hardened(&Cookies::default().secure(secure), Scheme::Http, None, &[line]).concat();
            assert_eq!(line.contains("; Secure"), is_secure, "{line}");
        }
    }

    #[test]
    fn on_the_way_to_another_site_the_choice_of_same_site_is_left_open_in_front_of_an_unknown_app() {
        for (location, in_front, within) in [
            (
                Some("https://idp.example/authorize"),
                "sid=1; Secure; HttpOnly",
                "sid=1; Secure; HttpOnly; SameSite=Lax",
            ),
            (Some("//idp.example"), "sid=1; Secure; HttpOnly", "sid=1; Secure; HttpOnly; SameSite=Lax"),
            (
                Some("/account"),
                "sid=1; Secure; HttpOnly; SameSite=Lax",
                "sid=1; Secure; HttpOnly; SameSite=Lax",
            ),
            (
                Some("https://www.us.example/"),
                "sid=1; Secure; HttpOnly; SameSite=Lax",
                "sid=1; Secure; HttpOnly; SameSite=Lax",
            ),
            (None, "sid=1; Secure; HttpOnly; SameSite=Lax", "sid=1; Secure; HttpOnly; SameSite=Lax"),
        ] {
            assert_eq!(
                hardened(&Cookies::in_front(), Scheme::Https, location, &["sid=1"]),
                [in_front],
                "{location:?}"
            );
            assert_eq!(
                hardened(&Cookies::default(), Scheme::Https, location, &["sid=1"]),
                [within],
                "{location:?}"
            );
        }
    }

    #[test]
    fn no_line_is_lost_and_their_order_stays() {
        let lines = ["b=1", "", "a=2; Secure", ";;;", "b=3", "nameless"];
        let left = hardened(&Cookies::default(), Scheme::Http, None, &lines);
        assert_eq!(
            left,
            [
                "b=1; HttpOnly; SameSite=Lax",
                "",
                "a=2; Secure; HttpOnly; SameSite=Lax",
                ";;;",
                "b=3; HttpOnly; SameSite=Lax",
                "nameless; HttpOnly; SameSite=Lax"
            ],
        );
    }

    #[test]
    fn an_exempt_name_is_left_as_it_is() {
        let cookies = Cookies::default().exempt("theme");
        for (line, expected) in [
            ("theme=dark", "theme=dark"),
            ("Theme=dark", "Theme=dark; Secure; HttpOnly; SameSite=Lax"),
            ("theme2=dark", "theme2=dark; Secure; HttpOnly; SameSite=Lax"),
        ] {
            assert_eq!(over_https(&cookies, line), expected, "{line}");
        }
    }

    #[test]
    fn hardening_twice_is_hardening_once() {
        for cookies in [Cookies::default(), Cookies::in_front()] {
            for line in ["a=b", "sid=1; SameSite=None", "sid=1; samesite=x; ;", "a=b; Partitioned", "csrf=1"]
            {
                let once = over_https(&cookies, line);
                assert_eq!(over_https(&cookies, &once), once, "{line}");
            }
        }
    }

    #[test]
    fn a_table_of_settings_starts_from_the_gateways_defaults() {
        for (toml, cookies) in [
            ("", Cookies::in_front()),
            ("exempt = ['theme']", Cookies::in_front().exempt("theme")),
            (
                "secure = 'always'\nsame_site = 'never'\nhttp_only = 'always'",
                Cookies::default().secure(AddSecure::Always).same_site(AddSameSite::Never),
            ),
        ] {
            let read = toml::from_str::<Cookies>(toml).unwrap();
            assert_eq!(format!("{read:?}"), format!("{cookies:?}"), "{toml}");
        }
    }
}
