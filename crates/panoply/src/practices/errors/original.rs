/// What a masked page said, fit for a log: its first 8 KiB, secrets taken out, on one line.
///
/// Names and addresses of people stay: the operator may need to know whose request failed, and the log knows
/// the visitor's address anyway.
pub(super) fn readable(body: &[u8]) -> String {
    let head = body.get(..MOST_BYTES).unwrap_or(body);
    let cut = if head.len() < body.len() { "…" } else { "" };
    escaped(&redacted(&String::from_utf8_lossy(head))) + cut
}

/// Takes out what follows a telling name (`password=…`, `"api_key": "…"`), a scheme (`Bearer …`) or stands in a
/// URL before `@`.
fn redacted(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = rest.len() - rest.trim_start_matches(is_word).len();
        if word == 0 {
            let (mark, after) = rest.split_at(first.len_utf8());
            clean.push_str(mark);
            rest = after;
            continue;
        }
        let (name, after) = rest.split_at(word);
        rest = after;
        if name.starts_with("eyJ") && name.len() > 16 {
            clean.push_str(REDACTED); // a JSON web token, or one of its parts
            continue;
        }
        clean.push_str(name);
        let secret = secret_after(name, rest);
        if let Some((lead, secret)) = secret.filter(|(_, secret)| !secret.is_empty()) {
            clean.push_str(lead);
            clean.push_str(REDACTED);
            rest = rest.get(lead.len() + secret.len()..).unwrap_or_default();
        }
    }
    clean
}

/// What stands between the name and its secret, and the secret.
fn secret_after<'t>(name: &str, rest: &'t str) -> Option<(&'t str, &'t str)> {
    let lower = name.to_ascii_lowercase();
    if matches!(&*lower, "bearer" | "basic") {
        return split(rest, rest.len() - rest.trim_start_matches(' ').len(), |c| !is_token(c));
    }
    if let Some(authority) = rest.strip_prefix("://") {
        let end =
            authority.find(|c: char| c.is_whitespace() || "/\"'<>\\".contains(c)).unwrap_or(authority.len());
        let at = authority.get(..end)?.rfind('@')?;
        return Some((rest.get(..3)?, authority.get(..at)?));
    }
    if !TELLING.iter().any(|word| lower.contains(word)) {
        return None;
    }
    let separator = rest.trim_start_matches(['"', '\'', '\\', ' ']);
    let separator = separator.strip_prefix("&quot;").unwrap_or(separator);
    let value = ["=>", "=", ":", "%3D"].iter().find_map(|mark| separator.strip_prefix(mark))?;
    let value = value.trim_start_matches([' ', '"', '\'', '\\', '[']);
    let value = value.strip_prefix("&quot;").unwrap_or(value);
    let lead = rest.len() - value.len();
    let whole_line = lower.contains("cookie") || lower.contains("authorization");
    let quote = rest.get(..lead).and_then(|lead| lead.chars().next_back());
    split(rest, lead, |c| match (c, quote) {
        ('\n' | '\r' | '"' | '<' | '\\', _) => true,
        (_, Some('\'')) => c == '\'',
        (_, Some('"')) => false,
        _ => !whole_line && (c.is_whitespace() || "&;,'}])".contains(c)),
    })
}

fn split(rest: &str, lead: usize, ends: impl Fn(char) -> bool) -> Option<(&str, &str)> {
    let (lead, secret) = rest.split_at_checked(lead)?;
    secret.split_at_checked(secret.find(ends).unwrap_or(secret.len())).map(|(secret, _)| (lead, secret))
}

/// Nothing that moves a terminal's cursor, ends a line, or turns the direction of writing.
fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || turns {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// RFC 9110 §11.2: token68.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~+/=".contains(c)
}

const MOST_BYTES: usize = 8 * 1024;
const REDACTED: &str = "[redacted]";

/// Parts of names whose values are nobody's business, in lower case.
static TELLING: [&str; 16] = [
    "passw",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "private_key",
    "credential",
    "session",
    "cookie",
    "authorization",
    "csrf",
    "xsrf",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_reach_the_log() {
        for (body, logged) in [
            ("password=hunter2&user=ann", "password=[redacted]&user=ann"),
            (r#"{"api_key": "k-1", "user": "ann"}"#, r#"{"api_key": "[redacted]", "user": "ann"}"#),
            (r#"{\"token\":\"k-1\"}"#, r#"{\"token\":\"[redacted]\"}"#),
            ("DB_PASSWORD: 'p w'", "DB_PASSWORD: '[redacted]'"),
            ("'passwd' => 'p',", "'passwd' => '[redacted]',"),
            ("csrf-token&quot;: &quot;k&quot;", "csrf-token&quot;: &quot;[redacted]&quot;"),
            (r#"{"secret":"a, b; c"}"#, r#"{"secret":"[redacted]"}"#),
            ("_csrf=k-1&user=ann", "_csrf=[redacted]&user=ann"),
            ("Authorization: Basic dTpw and more", "Authorization: [redacted]"),
            ("got Bearer a.b-c, sorry", "got Bearer [redacted], sorry"),
            ("Cookie: sid=1; theme=dark\nHost: x", "Cookie: [redacted]\\nHost: x"),
            ("postgres://ann:p@ss@db:5432/till", "postgres://[redacted]@db:5432/till"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2ln", "jwt [redacted].[redacted].c2ln"),
            ("ann@shop.example at /app/a.js:1:2", "ann@shop.example at /app/a.js:1:2"),
            ("Unexpected token } in JSON", "Unexpected token } in JSON"),
            ("password=", "password="),
        ] {
            assert_eq!(readable(body.as_bytes()), logged, "{body}");
        }
    }

    #[test]
    fn the_log_stays_one_line_that_no_page_can_forge() {
        for (body, logged) in [
            (&b"a\nb\r\tc"[..], "a\\nb\\r\\tc"),
            (b"\x1b[31mred\x07\x00", "\\u{1b}[31mred\\u{7}\\u{0}"),
            ("\u{202e}txt\u{2028}".as_bytes(), "\\u{202e}txt\\u{2028}"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            ("Grüße".as_bytes(), "Grüße"),
        ] {
            assert_eq!(readable(body), logged);
        }
        let long = readable(&[b'x'; 2 * MOST_BYTES]);
        assert_eq!(long.len(), MOST_BYTES + "…".len());
    }

    #[test]
    fn any_bytes_are_readable() {
        proptest::proptest!(|(body: Vec<u8>)| {
            let line = readable(&body);
            proptest::prop_assert!(!line.contains(char::is_control));
        });
    }
}
