//! `application/x-www-form-urlencoded`, as all who may read it behind us do.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::fields::{Descent, enter};

/// Shows every field of a form, or of a query: what its names say, and its value.
///
/// Readers disagree about forms that no browser sends, so whatever one of them reads is shown: qs parts a field at
/// `]=` where there is one and all others at the first `=`; Rack 2 takes `;` for `&`; JavaScript gives up on a text
/// with one bad escape, and others decode the rest of it. One pass, and each byte is looked at a fixed number of times. `None`: there are
/// more fields than anybody reads, and nothing was shown.
pub(super) fn walk<D: Descent>(
    form: &str,
    charset: Charset,
    root: &D,
    seen: &mut impl FnMut(&D, &[Cow<'_, str>]),
) -> Option<()> {
    if form.bytes().filter(|byte| matches!(byte, b'&' | b';')).count() >= MOST_FIELDS {
        return None;
    }
    // Express drops a BOM and Node does not; names are compared without it in any case.
    for field in form.trim_start_matches('\u{feff}').split('&') {
        show(field, charset, root, seen);
        if field.contains(';') {
            field.split(';').for_each(|field| show(field, charset, root, seen));
        }
    }
    Some(())
}

/// As many as Rack reads, which reads the most: Express, PHP and Django stop at 1,000.
const MOST_FIELDS: usize = 4_096;

/// How a form says that its bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Utf8,
    /// As Express reads it too where `Content-Type` says so. Who does not look there reads UTF-8.
    Latin1,
}

impl Charset {
    /// The text of a body; bytes that are none of it are U+FFFD, as they are in Node.
    pub(super) fn decode(self, body: &[u8]) -> Cow<'_, str> {
        match self {
            Self::Latin1 if !body.is_ascii() => Cow::Owned(body.iter().copied().map(char::from).collect()),
            _ => String::from_utf8_lossy(body),
        }
    }
}

fn show<D: Descent>(field: &str, charset: Charset, root: &D, seen: &mut impl FnMut(&D, &[Cow<'_, str>])) {
    let at_equals = field.split_once('=').unwrap_or((field, ""));
    show_halves(at_equals, charset, root, seen);
    let at_bracket =
        ["]=", "%5D=", "%5d="].iter().filter_map(|end| Some((field.find(end)?, end.len()))).min();
    if let Some((at, length)) = at_bracket
        && let (Some(name), Some(value)) = (field.get(..at), field.get(at + length..))
        && name.len() + length > at_equals.0.len() + 1
    {
        show_halves((name, value), charset, root, seen);
    }
}

fn show_halves<D: Descent>(
    (name, value): (&str, &str),
    charset: Charset,
    root: &D,
    seen: &mut impl FnMut(&D, &[Cow<'_, str>]),
) {
    let values = readings(value, charset);
    for name in readings(name, charset) {
        // Behind a NUL PHP reads no further.
        for name in [Some(&*name), name.split_once('\0').map(|(name, _)| name)].into_iter().flatten() {
            seen(&enter(root, name), &values);
            if let Some(name) = without_remainders(name) {
                seen(&enter(root, &name), &values);
            }
        }
    }
}

/// The name as qs and PHP read it, who overlook what stands between a `]` and the next `[`, or the end; Rack does not.
pub(super) fn without_remainders(name: &str) -> Option<String> {
    let mut groups = name.split(']');
    let first = groups.next().filter(|first| first.contains('['))?;
    let rest: Vec<&str> =
        groups.map(|rest| rest.find('[').and_then(|at| rest.get(at..)).unwrap_or_default()).collect();
    let short = format!("{first}]{}", rest.join("]"));
    (short.trim_end_matches(']') != name.trim_end_matches(']')).then_some(short)
}

/// What `text` may be read as; in most cases that is one.
fn readings(text: &str, charset: Charset) -> Vec<Cow<'_, str>> {
    let text = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    if !text.contains('%') {
        return vec![text];
    }
    let bytes: Vec<u8> = percent_decode_str(&text).collect();
    let mut readings = match String::from_utf8(bytes) {
        // As decodeURIComponent, unless it throws for a `%` that is none.
        Ok(decoded) if escapes_are_whole(&text) => vec![Cow::Owned(decoded)],
        Ok(decoded) => vec![Cow::Owned(decoded), text.clone()],
        Err(error) => {
            vec![Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()), text.clone()]
        }
    };
    if charset == Charset::Latin1 {
        readings.push(Cow::Owned(unescaped(&text)));
    }
    readings
}

/// As JavaScript's `unescape`: each escape is a character.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        match behind.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte.into());
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                out.push('%');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

fn escapes_are_whole(text: &str) -> bool {
    let mut behind = text.split('%').skip(1);
    behind.all(|part| matches!(part.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::super::fields::Way;
    use super::*;

    fn read(form: &str, charset: Charset) -> Vec<String> {
        let mut read = Vec::new();
        let walked = walk(form, charset, &Way::default(), &mut |way, values| {
            read.push(way.to(values));
        });
        assert!(walked.is_some(), "{form}");
        read
    }

    #[test]
    fn every_reading_of_a_field_is_shown() {
        for (form, expected) in [
            ("user=tim&password=a+b", &["user=tim", "password=a b"][..]),
            ("u%73er=t%69m", &["user=tim"]),
            ("user[name]=tim&user%5bmail%5D=a", &["user/name=tim", "user/mail=a"]),
            ("user=a&user=b", &["user=a", "user=b"]),
            ("\u{feff}user=a", &["user=a"]),
            ("user", &["user="]),
            ("", &["="]),
            ("&&", &["=", "=", "="]),
            ("user=a=b", &["user=a=b"]),
            ("user=t%69m%", &["user=tim%|t%69m%"]),
            ("user=t%69m%ff", &["user=tim\u{fffd}|t%69m%ff"]),
            ("us%65r%=a", &["user%=a", "us%65r%=a"]),
            ("user=%C3%A9", &["user=é"]),
            ("a=b]=c", &["a=b]=c", "a=b=c"]), // qs: the name is `a=b]`
            ("user%00x=a", &["user\0x=a", "user=a"]),
            ("user[id]x=a", &["user/id/x=a", "user/id=a"]),
            ("user[]x[id]y=a", &["user/x/id/y=a", "user/id=a"]),
            ("x=1;user=a", &["x=1;user=a", "x=1", "user=a"]),
            ("user=%2B%26", &["user=+&"]),
        ] {
            assert_eq!(read(form, Charset::Utf8), expected, "{form}");
        }
        assert_eq!(read("user=%E9", Charset::Latin1), ["user=\u{fffd}|%E9|é"]);
        assert_eq!(Charset::Latin1.decode(b"user=\xe9"), "user=é");
        assert_eq!(Charset::Utf8.decode(b"user=\xe9"), "user=\u{fffd}");
    }
}
