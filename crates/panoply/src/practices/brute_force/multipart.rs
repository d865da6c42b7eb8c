//! `multipart/form-data` (RFC 7578), as browsers and their `FormData` write it.
//!
//! PHP, Django, Rails and Spring read it wherever they read a form, and Express does with multer; so a login is a
//! login in this spelling too. Readers disagree about everything that no browser writes (line feeds alone, two names of
//! a part, names in RFC 2231's form, transfer codings, texts in front): whatever has some of that is not read at all.

use std::borrow::Cow;

use super::fields::{Descent, enter};
use super::form::without_remainders;

/// Shows every part: what its name says, and its value, files among them, since a file to one reader is a value to
/// another. `None`: it is not as browsers write it; what stood before was shown.
pub(super) fn walk<D: Descent>(
    body: &[u8],
    boundary: &str,
    root: &D,
    seen: &mut impl FnMut(&D, &[Cow<'_, str>]),
) -> Option<()> {
    let delimiter = format!("--{boundary}");
    let delimiter = delimiter.as_bytes();
    let mut rest = body.strip_prefix(delimiter)?;
    loop {
        if let Some(end) = rest.strip_prefix(b"--") {
            return matches!(end, b"" | b"\r\n").then_some(());
        }
        let part = rest.strip_prefix(b"\r\n")?;
        let at = find(part, delimiter)?;
        // Behind a line feed alone some see a delimiter as well, and some none.
        let (part, behind) = (part.get(..at)?.strip_suffix(b"\r\n")?, part.get(at + delimiter.len()..)?);
        let at = find(part, b"\r\n\r\n")?;
        let name = name(str::from_utf8(part.get(..at)?).ok()?)?;
        let value = String::from_utf8_lossy(part.get(at + 4..)?);
        let values = std::slice::from_ref(&value);
        seen(&enter(root, name), values);
        if let Some(name) = without_remainders(name) {
            seen(&enter(root, &name), values);
        }
        rest = behind;
    }
}

/// The boundary that a `Content-Type` names; `None`: none, several, or one that readers may see in two ways.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let mut boundaries = content_type.split(';').skip(1).filter(|parameter| {
        parameter
            .get(..parameter.len().min(64))
            .is_none_or(|begin| begin.to_ascii_lowercase().contains("boundary"))
    });
    let (Some(parameter), None) = (boundaries.next(), boundaries.next()) else { return None };
    let (name, value) = parameter.split_once('=')?;
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    let is_one = name.trim().eq_ignore_ascii_case("boundary")
        && (1..=LONGEST_BOUNDARY).contains(&value.len())
        && value.bytes().all(is_plain);
    is_one.then_some(value)
}

/// The name in a part's head.
fn name(head: &str) -> Option<&str> {
    let mut name = None;
    for line in head.split("\r\n") {
        if line.contains(['\r', '\n', '\0']) || line.starts_with([' ', '\t']) {
            return None;
        }
        let (field, value) = line.split_once(':')?;
        let is = |known: &str| field.eq_ignore_ascii_case(known);
        if is("content-disposition") {
            if name.is_some() {
                return None;
            }
            name = Some(name_in(value)?);
        } else if is("content-transfer-encoding")
            || (is("content-type") && value.to_ascii_lowercase().contains("charset") && !is_utf_8(value))
        {
            return None;
        }
    }
    name
}

/// `form-data; name="user"; filename="…"`, without escapes; a browser writes a quotation mark as `%22`.
fn name_in(disposition: &str) -> Option<&str> {
    let mut rest = disposition.trim().strip_prefix("form-data")?;
    let mut name = None;
    while let Some(parameter) = rest.trim_start().strip_prefix(';') {
        let (key, value) = parameter.split_once('=')?;
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_at_checked(value.find([';', ' ', '\t', '"']).unwrap_or(value.len()))?,
        };
        if value.contains('\\')
            || !key.bytes().all(|byte| byte.is_ascii_alphabetic() || b" \t*".contains(&byte))
        {
            return None;
        }
        let key = key.trim().to_ascii_lowercase();
        match &*key {
            "name" if name.is_none() => name = Some(value),
            "name" | "name*" => return None,
            _ => {}
        }
        rest = behind;
    }
    name.filter(|_| rest.trim().is_empty())
}

fn is_utf_8(content_type: &str) -> bool {
    let charset = content_type.split_once('=').map_or("", |(_, value)| value);
    charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, what)
}

/// RFC 2046 §5.1.1.
const LONGEST_BOUNDARY: usize = 70;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fields::Way;
    use super::*;

    /// Each part with its way, and whether all of it is as browsers write it.
    fn read(body: &str) -> (Vec<String>, bool) {
        let mut read = Vec::new();
        let walked = walk(body.as_bytes(), "X", &Way::default(), &mut |way, values| {
            read.push(way.to(values));
        });
        (read, walked.is_some())
    }

    /// `HEAD` and `VALUE` of each part.
    fn body(parts: &[(&str, &str)]) -> String {
        let parts = parts.iter().map(|(head, value)| format!("--X\r\n{head}\r\n\r\n{value}\r\n"));
        format!("{}--X--\r\n", parts.collect::<String>())
    }

    #[test]
    fn a_form_with_parts_is_read_as_browsers_write_it() {
        for (parts, expected) in [
            (&[][..], &[][..]),
            (&[("Content-Disposition: form-data; name=\"user\"", "tim")], &["user=tim"]),
            (&[("content-disposition:form-data;name=user", "")], &["user="]),
            (&[("Content-Disposition: form-data; name=\"user[name]\"", "a\r\nb")], &["user/name=a\r\nb"]),
            (
                &[
                    (
                        "Content-Disposition: form-data; name=\"a\"; filename=\"a; name=b\"\r\nContent-Type: text/plain",
                        "x",
                    ),
                    ("Content-Disposition: form-data; name=\"a\"", "y"),
                ],
                &["a=x", "a=y"],
            ),
            (
                &[(
                    "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain; charset=UTF-8",
                    "x",
                )],
                &["a=x"],
            ),
        ] {
            let (found, is_whole) = read(&body(parts));
            assert_eq!(
                (&*found, is_whole),
                (&*expected.iter().map(ToString::to_string).collect::<Vec<_>>(), true),
                "{parts:?}"
            );
        }
    }

    #[test]
    fn what_readers_disagree_about_is_not_read() {
        let user = "Content-Disposition: form-data; name=\"user\"";
        let whole = body(&[(user, "tim")]);
        for text in [
            String::new(),
            "user=tim".to_owned(),
            format!("preamble\r\n{whole}"),
            format!("{whole}--X\r\n{user}\r\n\r\nann\r\n--X--"),
            whole.replace("\r\n", "\n"),
            whole.replace("tim\r\n", "tim\n"),
            whole.replace("--X--", "--X"),
            whole.replacen("--X\r\n", "--X \r\n", 1),
            body(&[("", "tim")]),
            body(&[("Content-Type: text/plain", "tim")]),
            body(&[(&format!("{user}\r\n{user}"), "tim")]),
            body(&[(&format!("{user}; name=\"x\""), "tim")]),
            body(&[(&format!("{user}; name*=utf-8''x"), "tim")]),
            body(&[(&format!("{user}; filename=\"\\\"; name=\"x\""), "tim")]),
            body(&[("Content-Disposition: form-data;\r\n name=\"user\"", "tim")]),
            body(&[("Content-Disposition: attachment; name=\"user\"", "tim")]),
            body(&[(&format!("{user}\r\nContent-Transfer-Encoding: base64"), "dGlt")]),
            body(&[(&format!("{user}\r\nContent-Type: text/plain; charset=utf-16"), "tim")]),
        ] {
            assert!(!read(&text).1, "{text:?}");
        }
    }

    #[test]
    fn a_boundary_is_one_and_plain() {
        for (written, expected) in [
            ("multipart/form-data; boundary=----WebKitFormBoundaryAbC", Some("----WebKitFormBoundaryAbC")),
            ("multipart/form-data; Boundary=\"x\"; charset=utf-8", Some("x")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=x; boundary=y", None),
            ("multipart/form-data; boundary=x; boundary*=utf-8''y", None),
            ("multipart/form-data; boundary=\"x\\y\"", None),
            ("multipart/form-data; boundary=x y", None),
        ] {
            assert_eq!(boundary(written), expected, "{written}");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_in_it_it_ends(text in "(--X|\r\n|\n|name=|form-data|;|\"|:|content-disposition|x){0,40}") {
            let _ = read(&text);
        }
    }
}
