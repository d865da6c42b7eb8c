//! JSON as JavaScript's `JSON.stringify` writes it, so that Node, reading and writing it again, changes nothing.

use std::borrow::Cow;
use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

use super::SessionError;

/// `value` as JavaScript would write it.
pub(super) fn stringify<T: Serialize + ?Sized>(value: &T) -> Result<Box<str>, SessionError> {
    let mut text = Vec::with_capacity(64);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, JavaScript))?;
    let text =
        String::from_utf8(text).map_err(|error| SessionError::Value(serde::ser::Error::custom(error)))?;
    let ordered = match in_order(&text)? {
        Cow::Borrowed(_) => text,
        Cow::Owned(ordered) => ordered,
    };
    Ok(ordered.into_boxed_str())
}

/// Whether JavaScript keeps a property of this name before all others, in numeric order: a whole number below
/// 2^32 − 1, written as it prints (ECMA-262 §6.1.7, array index).
pub(super) fn index(key: &str) -> Option<u32> {
    let is_canonical = key == "0" || !key.starts_with('0') && key.bytes().all(|byte| byte.is_ascii_digit());
    is_canonical.then(|| key.parse().ok()).flatten().filter(|index| *index < u32::MAX)
}

/// Numbers in JavaScript's form; all else is the same in both.
struct JavaScript;

impl Formatter for JavaScript {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        // JSON.stringify(-0) is 0.
        let value = if value == 0.0 { 0.0 } else { value };
        writer.write_all(ryu_js::Buffer::new().format(value).as_bytes())
    }

    fn write_f32<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        self.write_f64(writer, f64::from(value))
    }

    fn write_i64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        exact(value.unsigned_abs().into())?;
        write!(writer, "{value}")
    }

    fn write_u64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        exact(value.into())?;
        write!(writer, "{value}")
    }

    fn write_i128<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: i128) -> io::Result<()> {
        exact(value.unsigned_abs())?;
        write!(writer, "{value}")
    }

    fn write_u128<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: u128) -> io::Result<()> {
        exact(value)?;
        write!(writer, "{value}")
    }

    /// What an app has as text already, but for its white space.
    fn write_raw_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        let (mut is_string, mut is_escaped) = (false, false);
        let is_said = |byte: &u8| {
            let is_blank = !is_string && byte.is_ascii_whitespace();
            is_string ^= *byte == b'"' && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            !is_blank
        };
        writer.write_all(&text.bytes().filter(is_said).collect::<Vec<u8>>())
    }
}

/// JavaScript would round a larger number as it reads it.
fn exact(number: u128) -> io::Result<()> {
    if number > LARGEST_EXACT {
        return Err(io::Error::other("a number beyond 2^53 loses digits in JavaScript: keep it as a string"));
    }
    Ok(())
}

/// Number.MAX_SAFE_INTEGER.
const LARGEST_EXACT: u128 = (1 << 53) - 1;

/// The same JSON with the keys of each object in the order that JavaScript keeps them in. `text` is what serde
/// wrote: valid, without white space.
fn in_order(text: &str) -> Result<Cow<'_, str>, SessionError> {
    // A key that is a number is rare; without one nothing can be out of order.
    let bytes = text.as_bytes();
    let has_number = bytes.windows(3).any(
        |window| matches!(window, [before, b'"', digit] if matches!(before, b'{' | b',') && digit.is_ascii_digit()),
    );
    if !has_number {
        return Ok(Cow::Borrowed(text));
    }
    let mut reader = Reader { text, at: 0 };
    let mut out = String::with_capacity(text.len());
    reader.value(&mut out, DEEPEST)?;
    Ok(Cow::Owned(out))
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    /// Copies one value.
    fn value(&mut self, out: &mut String, depth: u8) -> Result<(), SessionError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(SessionError::Value(serde::ser::Error::custom("nested too deep")));
        };
        match self.peek() {
            Some(b'{') => self.object(out, depth),
            Some(b'[') => {
                out.push('[');
                self.at += 1;
                while self.peek().is_some_and(|byte| byte != b']') {
                    self.value(out, depth)?;
                    if self.peek() == Some(b',') {
                        out.push(',');
                        self.at += 1;
                    }
                }
                out.push(']');
                self.at += 1;
                Ok(())
            }
            Some(b'"') => {
                out.push_str(self.string());
                Ok(())
            }
            _ => {
                out.push_str(self.until(|byte| matches!(byte, b',' | b']' | b'}')));
                Ok(())
            }
        }
    }

    fn object(&mut self, out: &mut String, depth: u8) -> Result<(), SessionError> {
        let (mut indices, mut others) = (Vec::new(), String::new());
        self.at += 1;
        while self.peek() == Some(b'"') {
            let key = self.string();
            self.at += 1; // the colon
            let number = key.get(1..key.len().saturating_sub(1)).and_then(index);
            let mut member = format!("{key}:");
            self.value(&mut member, depth)?;
            match number {
                Some(number) => indices.push((number, member)),
                None => {
                    others.push(',');
                    others.push_str(&member);
                }
            }
            if self.peek() == Some(b',') {
                self.at += 1;
            }
        }
        self.at += 1;
        indices.sort_by_key(|(number, _)| *number);
        let indices: String = indices.into_iter().map(|(_, member)| format!(",{member}")).collect();
        let members = indices + &others;
        out.push('{');
        out.push_str(members.get(1..).unwrap_or_default());
        out.push('}');
        Ok(())
    }

    /// A string with its quotes.
    fn string(&mut self) -> &'t str {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn until(&mut self, end: impl Fn(u8) -> bool) -> &'t str {
        let start = self.at;
        while self.peek().is_some_and(|byte| !end(byte)) {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// As deep as serde_json reads.
const DEEPEST: u8 = 127;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        for (number, written) in [
            (1.0, "1"),
            (-0.0, "0"),
            (1e21, "1e+21"),
            (1e-7, "1e-7"),
            (0.1, "0.1"),
            (123_456_789.5, "123456789.5"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ] {
            assert_eq!(&*stringify(&number).unwrap(), written);
        }
        assert_eq!(&*stringify(&9_007_199_254_740_991_u64).unwrap(), "9007199254740991");
        for too_large in [9_007_199_254_740_992_i128, -9_007_199_254_740_992] {
            let error = stringify(&too_large).unwrap_err();
            assert!(error.to_string().contains("keep it as a string"), "{error}");
        }
    }

    #[test]
    fn keys_that_are_numbers_come_first() {
        for (value, written) in [
            (
                json!({"b": 1, "a": {"10": 1, "9": [{"z": 1, "0": "}"}], "01": 2}}),
                r#"{"a":{"9":[{"0":"}","z":1}],"10":1,"01":2},"b":1}"#,
            ),
            (json!({"4294967294": 1, "4294967295": 2, "-1": 3}), r#"{"4294967294":1,"-1":3,"4294967295":2}"#),
            (json!({"1": "a\\\"1\":{", "0": []}), r#"{"0":[],"1":"a\\\"1\":{"}"#),
            (json!(["1", {"1": {}}]), r#"["1",{"1":{}}]"#),
        ] {
            assert_eq!(&*stringify(&value).unwrap(), written);
        }
    }

    #[test]
    fn text_that_is_json_already_is_taken_without_its_white_space() {
        for (text, written) in [
            (
                r#"[ { "10" : 1, "9" : 2 } , { "a" : " \" b \\ " , "1":"\\"} ]"#,
                r#"[{"9":2,"10":1},{"1":"\\","a":" \" b \\ "}]"#,
            ),
            ("\t1.50\n", "1.50"),
            (r#"" a ""#, r#"" a ""#),
        ] {
            let raw: Box<serde_json::value::RawValue> = serde_json::from_str(text).unwrap();
            assert_eq!(&*stringify(&raw).unwrap(), written);
        }
    }

    proptest! {
        #[test]
        fn a_number_is_read_as_it_was_written(number in any::<f64>().prop_filter("is null", |number| number.is_finite())) {
            prop_assert_eq!(serde_json::from_str::<f64>(&stringify(&number).unwrap()).unwrap(), number);
        }

        #[test]
        fn order_changes_nothing_else(map in prop::collection::btree_map("[0-9a\"\\\\{,]{0,3}", "[0-9\"\\\\{},:\u{2028}]{0,6}", 0..8)) {
            let written = stringify(&map).unwrap();
            let read: BTreeMap<String, String> = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(read, map);
        }
    }
}
