//! `Set-Cookie` lines on their way out: the app's names become those for browsers, and values are sealed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{Entry, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::disguise::{Disguise, Rule, Spelling};
use super::{Answer, Cookies, Look, SetCookie};
use crate::keys::Context;
use crate::{Scheme, Visit, World};

/// Where an answer goes.
pub(super) struct Outward<'v> {
    pub(super) scheme: Scheme,
    pub(super) visit: &'v Visit,
    pub(super) world: &'v World,
}

impl Disguise {
    /// Rewrites the lines of cookies that have a rule, and hardens all of them. The lines stay in order; behind them
    /// comes what clears up.
    pub(super) fn outward(
        &self,
        cookies: &Cookies,
        answer: &Answer,
        way: &Outward<'_>,
        headers: &mut HeaderMap,
    ) {
        let Entry::Occupied(lines) = headers.entry(SET_COOKIE) else { return };
        let (_, lines) = lines.remove_entry_mult();
        let mut left: Vec<HeaderValue> = Vec::new();
        let mut set: Vec<(usize, Spelling, HeaderValue)> = Vec::new();
        for line in lines {
            let name = SetCookie::name_in(line.as_bytes());
            match self.of_own(name) {
                Some((index, rule)) => match self.disguised(rule, cookies, answer, way, line.as_bytes()) {
                    Ok((spelling, disguised)) => {
                        set.push((index, spelling, disguised.clone()));
                        left.push(disguised);
                    }
                    Err(reason) => self.keep_in(name, reason, way.world),
                },
                None if self.is_taken(name) => self.keep_in(name, TAKEN, way.world),
                None => left.push(cookies.hardened(&line, answer).unwrap_or(line)),
            }
        }
        left.extend(self.deletions(&set, way.visit));
        for line in left {
            headers.append(SET_COOKIE, line);
        }
    }

    /// The line for browsers, and which name it has; or why there is none.
    fn disguised(
        &self,
        rule: &Rule,
        cookies: &Cookies,
        answer: &Answer,
        way: &Outward<'_>,
        line: &[u8],
    ) -> Result<(Spelling, HeaderValue), &'static str> {
        let cookie = SetCookie::parse(line).ok_or(TOO_LONG)?;
        let mut hardened = cookies.with_flags(cookie, answer, Look::Disguised);
        let path = hardened.attribute("Path").filter(|path| path.starts_with(b"/"));
        let is_for_all_paths =
            path.map_or_else(|| is_default_for_all(way.visit.uri.path()), |path| path == b"/");
        let is_for_host = is_for_all_paths && hardened.attribute("Domain").is_none_or(<[u8]>::is_empty);
        let (spelling, name) = rule.name(way.scheme, is_for_host);
        if spelling == Spelling::Host {
            // Where nothing is said, browsers take the path of the page (RFC 6265bis §5.1.4); the prefix has to be told.
            hardened = hardened.with_root_path();
        } else if spelling == Spelling::Secure && rule.name(way.scheme, true).0 == Spelling::Host {
            rule.tell_of_fallback(name);
        }
        let sealed;
        let mut disguised = hardened.with_name(name.as_bytes());
        if rule.is_sealed && !(cookie.value().is_empty() && is_expired(&cookie, way.world.unix_time())) {
            let seal = self.seal.as_ref().ok_or("there are no keys to seal it with")?;
            let context = Context { site: &self.site, name: &rule.own };
            sealed = seal.seal(&context, cookie.value(), way.world.unix_time());
            disguised = disguised.with_value(sealed.as_bytes());
        }
        if disguised.is_too_long() {
            return Err(TOO_LONG);
        }
        let line = HeaderValue::from_maybe_shared(bytes::Bytes::from(disguised.print()));
        line.map(|line| (spelling, line)).map_err(|_| "it is no header")
    }

    /// For each cookie that was set, an end to those that the browser has under its other names: one that was set
    /// before the app changed `Path` or `Domain`, in the clear, or before it was renamed. They would compete.
    fn deletions(&self, set: &[(usize, Spelling, HeaderValue)], visit: &Visit) -> Vec<HeaderValue> {
        let mut deletions = Vec::new();
        for (place, (index, _, line)) in set.iter().enumerate() {
            let is_last = set.iter().skip(place + 1).all(|(later, ..)| later != index);
            let (Some(rule), Some(cookie), true) =
                (self.rules.get(*index), SetCookie::parse(line.as_bytes()), is_last)
            else {
                continue;
            };
            for spelling in visit.cookies.of(*index) {
                if !set.iter().any(|(of, said, _)| of == index && *said == spelling) {
                    deletions.extend(deletion(rule.spelt(spelling), spelling, &cookie));
                }
            }
        }
        deletions
    }

    fn keep_in(&self, name: &[u8], reason: &str, world: &World) {
        if let Some(count) = self.kept_in.add(1, world.now()) {
            let last = name.escape_ascii();
            tracing::error!(count, %last, reason, "a cookie of the app did not leave: browsers keep the one they have");
        }
    }
}

impl Rule {
    fn tell_of_fallback(&self, name: &str) {
        if !self.fell_back.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                cookie = &*self.own,
                "`__Host-` is for cookies with `Path=/` and no `Domain`: it is `{name}` to browsers"
            );
        }
    }
}

/// The line that ends the cookie `name`, which was set with the attributes of `like`. Under `__Host-` there is one of a
/// name, and its `Path` and `Domain` are known.
fn deletion(name: &str, spelling: Spelling, like: &SetCookie<'_>) -> Option<HeaderValue> {
    let is_host = spelling == Spelling::Host;
    let mut line = format!("{name}=").into_bytes();
    let is_kept = |said: &[u8]| {
        let is = |name: &str| said.eq_ignore_ascii_case(name.as_bytes());
        !is("Max-Age") && !is("Expires") && !(is_host && (is("Path") || is("Domain")))
    };
    for (said, value) in like.attributes().filter(|(said, _)| is_kept(said)) {
        line.extend_from_slice(b"; ");
        line.extend_from_slice(said);
        if !value.is_empty() {
            line.push(b'=');
            line.extend_from_slice(value);
        }
    }
    line.extend_from_slice(if is_host { b"; Path=/; Max-Age=0" } else { b"; Max-Age=0" });
    HeaderValue::from_maybe_shared(bytes::Bytes::from(line)).ok()
}

/// Whether a cookie without `Path` that is set at `path` is for all paths (RFC 6265bis §5.1.4).
fn is_default_for_all(path: &str) -> bool {
    !path.starts_with('/') || path.rfind('/') == Some(0)
}

/// Whether browsers delete the cookie. `Max-Age` goes before `Expires` (RFC 6265bis §5.7). A date in a form that is not
/// read here counts as one to come: the cookie is then sealed, and deleted all the same.
fn is_expired(cookie: &SetCookie<'_>, now: Duration) -> bool {
    let text = |name: &str| cookie.attribute(name).and_then(|value| str::from_utf8(value).ok());
    match text("Max-Age").and_then(|seconds| seconds.parse::<i64>().ok()) {
        Some(seconds) => seconds <= 0,
        None => text("Expires")
            .and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok())
            .is_some_and(|date| date <= OffsetDateTime::UNIX_EPOCH + now),
    }
}

const TAKEN: &str = "browsers know another cookie of the app by that name";
const TOO_LONG: &str = "name and value are more than the 4,096 bytes that browsers take";

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;
    use crate::practices::cookies::AddSecure;
    use crate::{Connection, Keys, RequestId, TrustedProxies};

    #[test]
    fn browsers_see_the_strongest_name_that_fits() {
        for (scheme, path, set, left) in [
            (Https, "/", "sid=1; Path=/", "__Host-id=1; Path=/"),
            (Https, "/", " sid = 1 ;Path = / ; New=1;", " __Host-id = 1 ;Path = / ; New=1"),
            (Https, "/x", "sid=1", "__Host-id=1; Path=/"), // that is what browsers would take it for
            (Https, "/x/y", "sid=1", "__Secure-id=1"),
            (Https, "/x", "sid=1; Path=x", "__Host-id=1; Path=x; Path=/"),
            (Https, "/", "sid=1; Path=/; Path=/x", "__Secure-id=1; Path=/; Path=/x"),
            (Https, "/", "sid=1; Path=/; Domain=us.example", "__Secure-id=1; Path=/; Domain=us.example"),
            (Https, "/", "sid=1; Path=/; Domain=", "__Host-id=1; Path=/; Domain="),
            (Https, "/", "sid=; Path=/; Max-Age=0", "__Host-id=; Path=/; Max-Age=0"),
            (Https, "/", "sid.sig=1; Path=/; Partitioned", "__Host-id.sig=1; Path=/; Partitioned"),
            (Http, "/", "sid=1; Path=/", "id=1; Path=/"),
            (Http, "/", "sid=1; Path=/; Secure", "id=1; Path=/; Secure"),
            (Https, "/", "Sid=1; Path=/", "Sid=1; Path=/"),
            (Https, "/", "other=1", "other=1"),
            (Https, "/", "b=1; Domain=us.example", "plain=1; Domain=us.example"),
        ] {
            let cookies =
                Cookies::default().rename("sid", "__Host-id").unwrap().rename("b", "plain").unwrap();
            let lines = outward(&cookies, scheme, path, "", &[set]);
            let [line] = lines.as_slice() else { panic!("{set}: {lines:?}") };
            let flags = [
                ("; Secure", scheme == Https),
                ("; HttpOnly", true),
                ("; SameSite=Lax", !set.contains("Part")),
            ];
            let flags = flags.iter().filter(|(flag, is_added)| *is_added && !set.contains(flag));
            let mut rest = line.clone();
            for (flag, _) in flags {
                assert!(rest.contains(flag), "{set}: {line}");
                rest = rest.replacen(flag, "", 1);
            }
            assert_eq!(rest, left, "{scheme:?} {path} {set}");
        }
    }

    #[test]
    fn behind_an_undeclared_proxy_always_secure_means_https() {
        let cookies = Cookies::default().secure(AddSecure::Always).rename("sid", "__Host-id").unwrap();
        let lines = outward(&cookies, Http, "/", "__Host-id=1", &["sid=1; Path=/"]);
        assert_eq!(lines, ["__Host-id=1; Path=/; Secure; HttpOnly; SameSite=Lax"]);
    }

    #[test]
    fn what_is_sealed_opens_to_what_was_set_and_an_end_is_an_end() {
        let keys = Keys::new([Keys::generate()]).unwrap();
        let cookies = Cookies::default().seal(["sid"], &keys).unwrap().site("shop.example");
        for (set, plain) in [
            ("sid=s%3Aabc; Path=/; Expires=Thu, 01 Jan 2099 00:00:00 GMT", Some("s%3Aabc")),
            ("sid=\"a b\"; HttpOnly", Some("\"a b\"")),
            ("sid=", Some("")),
            ("sid=; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", Some("")),
            ("sid=; Expires=Thu, 01 Jan 2099 00:00:00 GMT", Some("")),
            ("sid=deleted; Max-Age=0", Some("deleted")),
            ("sid=; Max-Age=0", None),
            ("sid=; Max-Age=-1", None),
            ("sid=; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly", None),
            ("sid.sig=; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly", None),
        ] {
            let lines = outward(&cookies, Https, "/", "", &[set]);
            let [line] = lines.as_slice() else { panic!("{set}: {lines:?}") };
            let cookie = SetCookie::parse(line.as_bytes()).unwrap();
            let context = Context { site: "shop.example", name: "sid" };
            let opened =
                keys.seal("panoply cookie").open(&context, cookie.value()).map(|opened| opened.plain);
            assert_eq!(opened.as_deref(), plain.map(str::as_bytes), "{set}: {line}");
            assert_eq!(cookie.value().is_empty(), plain.is_none(), "{set}: {line}");
        }
    }

    #[test]
    fn what_cannot_be_sealed_does_not_leave() {
        let keys = Keys::new([Keys::generate()]).unwrap();
        let cookies = Cookies::default().seal(["sid"], &keys).unwrap();
        let longest = (4096 - "sid".len()) / 4 * 3 - 38;
        for (length, leaves) in [(longest, true), (longest + 3, false), (4090, false), (10_000, false)] {
            let lines = outward(&cookies, Https, "/", "", &[&format!("sid={}", "x".repeat(length)), "a=1"]);
            assert_eq!(lines.len(), 1 + usize::from(leaves), "{length}");
        }
        let without_keys: Cookies = toml::from_str("seal = ['sid']").unwrap();
        assert_eq!(outward(&without_keys, Https, "/", "", &["sid=1"]), [""; 0]);
    }

    #[test]
    fn the_app_cannot_set_what_browsers_know_another_cookie_by() {
        let cookies = Cookies::default().rename("sid", "__Host-id").unwrap();
        for set in ["__Host-id=1", "__Secure-id=1", "id=1", "id.sig=1"] {
            assert_eq!(outward(&cookies, Https, "/", "", &[set]), [""; 0], "{set}");
        }
    }

    #[test]
    fn what_a_browser_has_under_another_name_is_ended() {
        let renamed = || Cookies::default().rename("sid", "__Host-id").unwrap();
        for (scheme, sent, set, ended) in [
            (Https, "a=1", "sid=1; Path=/", &[][..]),
            (Https, "__Host-id=0", "sid=1; Path=/", &[]),
            (
                Https,
                "__Host-id=0",
                "sid=1; Path=/; Domain=us.example",
                &["__Host-id=; Secure; HttpOnly; SameSite=Lax; Path=/; Max-Age=0"],
            ),
            (
                Https,
                "__Host-id=0",
                "sid=1; Path=/x; Expires=Thu, 01 Jan 2099 00:00:00 GMT; SameSite=None",
                &["__Host-id=; SameSite=None; Secure; HttpOnly; Path=/; Max-Age=0"],
            ),
            (Https, "sid=0", "sid=1; Path=/", &["sid=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"]),
            (
                Https,
                "sid=0",
                "sid=; Path=/; Max-Age=0",
                &["sid=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"],
            ),
            (Https, "sid=0", "a=1", &[]),
            (
                Https,
                "id=0; id=1",
                "sid=1; Path=/",
                &["id=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"],
            ),
            (Http, "sid=0; id=1", "sid=1; Path=/", &["sid=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"]),
        ] {
            let lines = outward(&renamed(), scheme, "/", sent, &[set]);
            assert_eq!(&lines[1..], ended, "{scheme:?} {sent} {set}");
        }
        let both = ["sid=1; Path=/", "sid=2; Path=/x"];
        assert_eq!(outward(&renamed(), Https, "/", "__Host-id=0; sid=0", &both).len(), 3);
    }

    fn outward(cookies: &Cookies, scheme: Scheme, path: &str, sent: &str, set: &[&str]) -> Vec<String> {
        let request = Request::get(path).header("host", "us.example").header("cookie", sent);
        let (mut request, ()) = request.body(()).unwrap().into_parts();
        let connection = Connection { scheme, ..Connection::unknown() };
        let (client, scheme) = TrustedProxies::default().client(&connection, &request.headers);
        let mut visit = Visit::new(&request, connection, client, scheme, RequestId(0));
        let world = World::default();
        cookies.admit(&mut visit, &mut request, &world);
        let (mut response, ()) = Response::new(()).into_parts();
        for line in set {
            response.headers.append(SET_COOKIE, line.parse().unwrap());
        }
        cookies.finish(&visit, &mut response, &world);
        let lines = response.headers.get_all(SET_COOKIE).iter();
        lines.map(|line| line.to_str().unwrap().to_owned()).collect()
    }

    use Scheme::{Http, Https};
}
