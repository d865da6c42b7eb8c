use percent_encoding::percent_decode_str;

/// Whether a page at `path` is a login, by the last word of its path: `/login`, `/users/sign_in`, `/wp-login.php`,
/// `/session/new`.
///
/// It is decoded, as routers do, and read without matrix parameters: to a browser without cookies Java writes
/// `/login;jsessionid=…`. The query is no part of it.
///
/// ```
/// use panoply::practices::brute_force::is_login;
///
/// assert!(is_login("/users/Sign-In/") && is_login("/login.php") && is_login("/sessions/new") && is_login("/%6Cogin"));
/// assert!(!is_login("/account") && !is_login("/login/help"));
/// ```
#[must_use]
pub fn is_login(path: &str) -> bool {
    let path = percent_decode_str(path).decode_utf8_lossy();
    let mut words = path.trim_end_matches('/').rsplit('/').map(word);
    let Some(last) = words.next() else { return false };
    is_name(&last) || (AGAIN.contains(&&*last) && words.next().is_some_and(|before| is_name(&before)))
}

/// A path as routers compare them: they decode it, fold its case, leave out `;v=1` (Java) and forgive a slash too many,
/// at the end or before.
pub(super) fn spelled(path: &str) -> impl Iterator<Item = u8> {
    let (mut is_apart, mut is_aside) = (false, false);
    percent_decode_str(path).flat_map(move |byte| {
        match byte {
            b'/' => (is_apart, is_aside) = (true, false),
            b';' => is_aside = true,
            _ if is_aside => {}
            _ => {
                let slash = std::mem::take(&mut is_apart).then_some(b'/');
                return [slash, Some(byte.to_ascii_lowercase())].into_iter().flatten();
            }
        }
        [None, None].into_iter().flatten()
    })
}

fn is_name(word: &str) -> bool {
    NAMES.contains(&word) || NAME_ENDS.iter().any(|end| word.ends_with(end))
}

/// Without the language that it is written in, case, hyphens and underscores. What is longer is no word.
fn word(segment: &str) -> String {
    let name = segment.split(['.', ';']).next().unwrap_or_default();
    let name = name.get(..name.len().min(LONGEST)).unwrap_or_default();
    name.chars().filter(|char| !matches!(char, '-' | '_')).map(|char| char.to_ascii_lowercase()).collect()
}

const NAMES: [&str; 4] = ["session", "sessions", "auth", "authenticate"];

/// `wp-login`, `user_login`, `admin-signin`.
const NAME_ENDS: [&str; 3] = ["login", "signin", "logon"];

/// Pages of the login itself: Rails' form, and where some lead after a failure.
const AGAIN: [&str; 6] = ["new", "index", "error", "failed", "failure", "form"];

/// In bytes.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_told_by_its_path() {
        for (path, expected) in [
            ("/login", true),
            ("/log-in", true),
            ("/Login/", true),
            ("/signin", true),
            ("/users/sign_in", true),
            ("/api/auth", true),
            ("/session", true),
            ("/sessions/new", true),
            ("/login/failed", true),
            ("/wp-login.php", true),
            ("/Account/LogOn.aspx", true),
            ("/authenticate", true),
            ("/%6Cogin", true),
            ("//login//", true),
            ("/login;jsessionid=1A2B", true),
            ("/", false),
            ("", false),
            ("/new", false),
            ("/plugin", false),
            ("/logins", false),
            ("/login/2fa", false),
            ("/account/login-history", false),
            ("/author", false),
        ] {
            assert_eq!(is_login(path), expected, "{path}");
        }
    }
}
