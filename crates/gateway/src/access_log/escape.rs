//! What visitors sent, as it may stand in a line: ASCII alone, and not more than there is room for.

/// Writes at most so many bytes of `value` as the inside of a JSON string. What is cut ends in `…`.
///
/// All that is no printable ASCII is escaped, and not only what JSON asks for: a line is read in terminals, which take
/// C1 controls for commands, and by people, whom signs that turn the direction of writing deceive. Which signs do such
/// things is for Unicode's next version to say; that ASCII does not is certain.
pub(super) fn escaped(out: &mut Vec<u8>, value: &[u8], most: usize) {
    let (kept, is_cut) = cut(value, most);
    if kept.iter().all(|byte| is_plain(*byte)) {
        out.extend_from_slice(kept);
    } else {
        for chunk in kept.utf8_chunks() {
            chunk.valid().chars().for_each(|c| character(out, c));
            if !chunk.invalid().is_empty() {
                character(out, char::REPLACEMENT_CHARACTER);
            }
        }
    }
    if is_cut {
        out.extend_from_slice(CUT.as_bytes());
    }
}

fn cut(value: &[u8], most: usize) -> (&[u8], bool) {
    let Some(kept) = value.get(..most).filter(|_| value.len() > most) else { return (value, false) };
    // Not within a character: at most three bytes more belong to the last one.
    let is_inside = |byte: &u8| byte & 0xc0 == 0x80;
    let after = value.get(most).is_some_and(is_inside);
    let inside = kept.iter().rev().take(3).take_while(|byte| is_inside(byte)).count();
    let end = if after { most.saturating_sub(inside + 1) } else { most };
    (kept.get(..end).unwrap_or(kept), true)
}

fn character(out: &mut Vec<u8>, c: char) {
    match u8::try_from(c) {
        Ok(byte) if is_plain(byte) => out.push(byte),
        Ok(byte @ (b'"' | b'\\')) => out.extend([b'\\', byte]),
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                let digit = |place: u16| match u8::try_from(*unit >> place & 0xf).unwrap_or(0) {
                    digit @ 0..=9 => b'0' + digit,
                    digit => b'a' + digit - 10,
                };
                out.extend([12, 8, 4, 0].map(digit));
            }
        }
    }
}

/// Whether it stands in a JSON string as it is.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// What stands for what was left out.
pub(super) const CUT: &str = "…";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_sent_ends_the_line_or_commands_a_terminal() {
        for (sent, most, written) in [
            (&b"/shop"[..], 99, "/shop"),
            (b"a\"b\\c", 99, r#"a\"b\\c"#),
            (b"a\nb\r\0\x7f", 99, r"a\u000ab\u000d\u0000\u007f"),
            (b"\x1b[2J", 99, r"\u001b[2J"),
            ("\u{9b}2J".as_bytes(), 99, r"\u009b2J"), // C1: a command in one character
            ("\u{202e}gpj.exe".as_bytes(), 99, r"\u202egpj.exe"),
            ("\u{2028}\u{2066}\u{feff}".as_bytes(), 99, r"\u2028\u2066\ufeff"),
            ("für 💰".as_bytes(), 99, r"f\u00fcr \ud83d\udcb0"),
            (b"\xff\xfea\xc3", 99, r"\ufffd\ufffda\ufffd"),
            (b"abcdef", 6, "abcdef"),
            (b"abcdefg", 6, "abcdef…"),
            ("ab💰".as_bytes(), 5, "ab…"), // no half of a character
            ("ab💰".as_bytes(), 6, r"ab\ud83d\udcb0"),
            ("aü".as_bytes(), 2, "a…"),
            (b"", 0, ""),
        ] {
            let mut out = Vec::new();
            escaped(&mut out, sent, most);
            assert_eq!(String::from_utf8(out).unwrap(), written, "{}", sent.escape_ascii());
        }
    }
}
