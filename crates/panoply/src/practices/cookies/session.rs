//! Which cookies are sessions, told from outside: by name, by signature, by looking random.

use super::SetCookie;

/// Whether who holds this cookie may be its visitor, so that no script should read it.
///
/// `is_signed`: the same answer sets a signature for it, `<name>.sig`, as the npm package `cookies` does.
pub(crate) fn is_session(cookie: &SetCookie<'_>, is_signed: bool) -> bool {
    !is_for_scripts(cookie.name())
        && (is_signed
            || has_name_of_a_session(cookie.name())
            || has_signature(cookie.value())
            || looks_random(cookie.value()))
}

/// Whether a cookie that a browser brings is called like a session: its value says nothing, the browser can choose it.
pub(crate) fn names_a_session(name: &[u8]) -> bool {
    !is_for_scripts(name) && signs(name).is_none() && has_name_of_a_session(name)
}

/// Whether the page's own script has to read it: tokens against cross-site writes that come back in a header.
/// Out of its reach, every form of the page fails.
pub(super) fn is_for_scripts(name: &[u8]) -> bool {
    // `csrf` or `xsrf`, in any case.
    name.windows(4)
        .any(|part| matches!(part, [b'c' | b'C' | b'x' | b'X', b's' | b'S', b'r' | b'R', b'f' | b'F']))
}

/// Whether the name is that of a signature, and whose.
pub(crate) fn signs(name: &[u8]) -> Option<&[u8]> {
    name.strip_suffix(b".sig").filter(|signed| !signed.is_empty())
}

fn has_name_of_a_session(name: &[u8]) -> bool {
    let name =
        [&b"__Host-"[..], b"__Secure-"].iter().find_map(|prefix| name.strip_prefix(*prefix)).unwrap_or(name);
    let name = signs(name).unwrap_or(name);
    let ends = |end: &str| {
        name.len()
            .checked_sub(end.len())
            .and_then(|at| name.get(at..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
    };
    let begins =
        |begin: &str| name.get(..begin.len()).is_some_and(|head| head.eq_ignore_ascii_case(begin.as_bytes()));
    SESSION_NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        || SESSION_ENDS.iter().any(|end| ends(end))
        || SESSION_BEGINNINGS.iter().any(|begin| begins(begin))
}

/// The form that Express signs: `s:`, the value, a dot and 43 characters of base64 (HMAC-SHA-256).
fn has_signature(value: &[u8]) -> bool {
    let signed = value.strip_prefix(b"s:").or_else(|| value.strip_prefix(b"s%3A"));
    let signature = signed.and_then(|signed| signed.rsplit(|byte| *byte == b'.').next());
    signature.is_some_and(|signature| signature.len() >= 43 && Some(signature) != signed)
}

/// Whether the value has an unbroken run of 22 characters (128 bits of base64) or more that jumps between
/// digits, small and capital letters as only chance does: in random hexadecimal every second character is a
/// jump, in base64 three of five, in words and numbers hardly any.
///
/// Two things that are random pass, since scripts read them: UUIDs, by which analytics count visitors, and
/// what is JSON in base64 (`eyJ`), such as a JWT that tells a page who its visitor is.
fn looks_random(value: &[u8]) -> bool {
    let in_run = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'/');
    if value.starts_with(b"eyJ") || is_uuid(value) {
        return false;
    }
    value.split(|byte| !in_run(byte)).filter(|run| run.len() >= SHORTEST_RANDOM).any(|run| {
        let jumps = run.windows(2).filter(|pair| matches!(pair, [a, b] if kind(*a) != kind(*b))).count();
        jumps * 10 >= run.len() * 3
    })
}

fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn kind(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => 0,
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        _ => 3,
    }
}

/// 128 bits in base64, without padding.
const SHORTEST_RANDOM: usize = 22;

/// What frameworks call their sessions, in any case: Express, Koa, PHP, Java, ASP.NET, Django, Rack, Play, …
const SESSION_NAMES: [&str; 22] = [
    "connect.sid",
    "connect.sess",
    "express:sess",
    "koa.sess",
    "koa:sess",
    "koa.sid",
    "koa.sess.sid",
    "session",
    "sessionid",
    "session_id",
    "session-id",
    "sid",
    "sess",
    "PHPSESSID",
    "JSESSIONID",
    "ASP.NET_SessionId",
    ".ASPXAUTH",
    "rack.session",
    "PLAY_SESSION",
    "ci_session",
    "remember_token",
    "remember_user_token",
];

/// `laravel_session`, Rails' `_shop_session`, `next-auth.session-token`.
const SESSION_ENDS: [&str; 4] = ["_session", "-session", "session-token", ".sid"];

/// `.AspNetCore.Session`, `ASPSESSIONIDQABC`, `wordpress_logged_in_…`, Laravel's `remember_web_…`.
const SESSION_BEGINNINGS: [&str; 4] =
    [".AspNetCore.", "ASPSESSIONID", "wordpress_logged_in_", "remember_web_"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_told_by_name_signature_or_chance() {
        for (line, session) in [
            // by name
            ("connect.sid=1", true),
            ("session=1", true),
            ("sid=1", true),
            ("SID=1", true),
            ("PHPSESSID=1", true),
            ("JSESSIONID=1", true),
            ("ASP.NET_SessionId=1", true),
            ("laravel_session=1", true),
            ("_session=1", true),
            ("_shop_session=1", true),
            ("session.sig=1", true),
            ("__Host-sid=1", true),
            ("__Secure-next-auth.session-token=1", true),
            ("connect.sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", true), // deleted as it was set
            ("sessions_seen=1", false),
            ("inside=1", false),
            ("residence=1", false),
            // by signature
            ("user=s%3Atim.2h5rS0zVqS0G1R1d%2BTeUyYpUuDqYbFz3dQX9u5Vvw0A", true),
            ("user=s:tim.2h5rS0zVqS0G1R1d+TeUyYpUuDqYbFz3dQX9u5Vvw0A", true),
            ("user=s:tim.short", false),
            ("user=s:2h5rS0zVqS0G1R1dxTeUyYpUuDqYbFz3dQX9u5Vvw0A", true), // random all the same
            // by chance
            ("t=4f9c1e8a7b2d3c6f5a0e9d8c7b1a2f3e", true),
            ("t=Zk3pQ9xW2vB7nM4tR8yL1cH6sD0gJ5fA", true),
            ("t=aGVsbG8gd29ybGQgdGhpcyBpcyBiYXNlNjQ", true),
            ("t=4f9c1e8a7b2d3c6f5a0e", false), // too short
            ("lang=en-US", false),
            ("theme=dark-mode-with-high-contrast-letters", false),
            ("seen=12345678901234567890123456789012", false),
            ("cookieConsentGivenForMarketing=acceptedByTheVisitorHimself", false),
            ("_ga=GA1.2.1234567890.1700000000", false),
            ("visitor=9b2f6c1e-4a7d-4e3b-8c5a-1f0e9d8c7b6a", false), // analytics
            ("user=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", false),
            ("prefs=%7B%22a%22%3A1%2C%22language%22%3A%22en%22%7D", false),
            // never: scripts read them
            ("XSRF-TOKEN=4f9c1e8a7b2d3c6f5a0e9d8c7b1a2f3e", false),
            ("csrftoken=Zk3pQ9xW2vB7nM4tR8yL1cH6sD0gJ5fA", false),
            ("_csrf=s%3Atim.2h5rS0zVqS0G1R1dxTeUyYpUuDqYbFz3dQX9u5Vvw0A", false),
            ("csrf_session=1", false),
        ] {
            let cookie = SetCookie::parse(line.as_bytes()).unwrap();
            assert_eq!(is_session(&cookie, false), session, "{line}");
        }
    }

    #[test]
    fn a_cookie_with_a_signature_beside_it_is_a_session() {
        assert_eq!(signs(b"cart.sig"), Some(&b"cart"[..]));
        assert_eq!((signs(b".sig"), signs(b"cart"), signs(b"cart.sign")), (None, None, None));
        let cart = SetCookie::parse(b"cart=1").unwrap();
        assert!(is_session(&cart, true) && !is_session(&cart, false));
    }
}
