//! JSON, with every value of a name that comes twice.

use std::borrow::Cow;

use super::fields::{Descent, enter};

/// Shows every text, number and boolean with what the names above it say. `None`: from some place on it is no JSON;
/// what stood before was shown.
///
/// serde_json sees less: it stops at half a surrogate pair, at a number beyond 64 bits and 128 levels down, all of
/// which JavaScript takes, and whoever reads on sees a login that we would not have seen. What no JSON parser takes
/// but some do all the same, such as a comma too much, is taken too. There is no recursion; a level costs a few
/// bytes, and takes at least one of the input.
pub(super) fn walk<D: Descent>(
    json: &str,
    root: &D,
    seen: &mut impl FnMut(&D, &[Cow<'_, str>]),
) -> Option<()> {
    // One BOM, as Express does.
    let mut reader = Reader { rest: json.strip_prefix('\u{feff}').unwrap_or(json) };
    let mut open: Vec<Open<D>> = Vec::new();
    let mut here = root.clone();
    loop {
        match reader.peek()? {
            b'{' => {
                reader.skip();
                open.push(Open { is_object: true, here });
            }
            b'[' => {
                reader.skip();
                open.push(Open { is_object: false, here });
            }
            b'"' => seen(&here, &[reader.string()?]),
            _ => reader.scalar(&here, seen)?,
        }
        // To where the next value begins.
        here = loop {
            let Some(around) = open.last() else { return reader.peek().is_none().then_some(()) };
            match reader.peek()? {
                b',' => reader.skip(),
                b'}' | b']' => {
                    reader.skip();
                    open.pop();
                }
                b'"' if around.is_object => {
                    let name = reader.string()?;
                    reader.take(b':')?;
                    break enter(&around.here, &name);
                }
                _ if around.is_object => return None,
                _ => break around.here.clone(),
            }
        };
    }
}

/// An object or an array that is not over.
struct Open<D> {
    is_object: bool,
    here: D,
}

struct Reader<'j> {
    rest: &'j str,
}

impl<'j> Reader<'j> {
    /// What comes next but for white space.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.rest.as_bytes().first().copied()
    }

    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.skip())
    }

    /// The text between this quote and the next, with its escapes undone; half a surrogate pair is U+FFFD.
    fn string(&mut self) -> Option<Cow<'j, str>> {
        self.skip();
        let mut out = String::new();
        loop {
            let at = self.rest.find(['"', '\\'])?;
            let (plain, behind) = self.rest.split_at_checked(at)?;
            self.rest = behind.get(1..)?;
            if behind.starts_with('"') {
                if out.is_empty() {
                    return Some(Cow::Borrowed(plain));
                }
                out.push_str(plain);
                return Some(Cow::Owned(out));
            }
            out.push_str(plain);
            out.push(self.escaped()?);
        }
    }

    /// What stands behind a backslash (RFC 8259 §7).
    fn escaped(&mut self) -> Option<char> {
        let (escape, behind) = (self.rest.chars().next()?, self.rest);
        self.rest = behind.get(escape.len_utf8()..)?;
        Some(match escape {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.unit()?;
                let second = self.rest.strip_prefix("\\u").and_then(unit).filter(|unit| is_low(*unit));
                match (first, second) {
                    (0xd800..0xdc00, Some(second)) => {
                        self.rest = self.rest.get("\\uXXXX".len()..)?;
                        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?
                    }
                    _ => char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER),
                }
            }
            '"' | '\\' | '/' => escape,
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u32> {
        let unit = unit(self.rest)?;
        self.rest = self.rest.get(4..)?;
        Some(unit)
    }

    /// A number or a literal; `null` is no value. A number is shown as it is written, and as JavaScript has it:
    /// `1e2` is a user called 100.
    fn scalar<D>(&mut self, here: &D, seen: &mut impl FnMut(&D, &[Cow<'_, str>])) -> Option<()> {
        let end = self.rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(self.rest.len());
        let (word, behind) = self.rest.split_at_checked(end)?;
        let is_number = word.starts_with(|first: char| first.is_ascii_digit() || first == '-');
        if word == "null" {
            self.rest = behind;
            return Some(());
        }
        if !is_number && !matches!(word, "true" | "false") {
            return None;
        }
        self.rest = behind;
        match word.parse::<f64>() {
            Ok(number) if is_number => {
                let number = if number == 0.0 { 0.0 } else { number };
                let mut buffer = ryu_js::Buffer::new();
                let shown = buffer.format(number);
                if shown == word {
                    seen(here, &[Cow::Borrowed(word)]);
                } else {
                    seen(here, &[Cow::Borrowed(word), Cow::Borrowed(shown)]);
                }
            }
            Err(_) if is_number => return None,
            _ => seen(here, &[Cow::Borrowed(word)]),
        }
        Some(())
    }
}

/// Four hexadecimal digits at the beginning of `text`.
fn unit(text: &str) -> Option<u32> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

fn is_low(unit: u32) -> bool {
    (0xdc00..0xe000).contains(&unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::fields::Way;
    use super::*;

    /// Each value with its way, and whether all of it is JSON.
    fn read(json: &str) -> (Vec<String>, bool) {
        let mut read = Vec::new();
        let is_json = walk(json, &Way::default(), &mut |way, values| {
            read.push(way.to(values));
        });
        (read, is_json.is_some())
    }

    #[test]
    fn every_value_is_shown_with_the_names_above_it() {
        for (json, expected) in [
            (r#"{"user":"tim","password":"x"}"#, &["user=tim", "password=x"][..]),
            (r#"{"user":"a","user":"b"}"#, &["user=a", "user=b"]),
            (r#" { "user" : { "name" : "tim" , "n" : 1 } } "#, &["user/name=tim", "user/n=1"]),
            (r#"{"user":["a",["b"],{"name":"c"}]}"#, &["user=a", "user=b", "user/name=c"]),
            (r#"[{"user":"a"},{"user":"b"}]"#, &["user=a", "user=b"]),
            (r#"{"a":true,"b":false,"c":null,"d":-1.50}"#, &["a=true", "b=false", "d=-1.50|-1.5"]),
            (r#"{"user":1e2,"n":1e999,"z":-0}"#, &["user=1e2|100", "n=1e999|Infinity", "z=-0|0"]),
            (r#"{"__proto__":{"user":"a"}}"#, &["__proto__/user=a"]),
            (r#"{"us\u0065r":"t\u0069m\n\"\\\/"}"#, &["user=tim\n\"\\/"]),
            (
                r#"{"a":"\ud83d\ude00","b":"\ud83d","c":"\ude00x\ud83d\u0041"}"#,
                &["a=😀", "b=\u{fffd}", "c=\u{fffd}x\u{fffd}A"],
            ),
            ("\u{feff}{\"a\":\"\"}", &["a="]),
            (r#"{"user.name":"a","user":{"$eq":"b"}}"#, &["user/name=a", "user=b"]),
            (r#"{"a":1,}"#, &["a=1"]), // some take it
            ("{}", &[]),
            (r#""x""#, &["=x"]),
        ] {
            assert_eq!(read(json), (expected.iter().map(ToString::to_string).collect(), true), "{json}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_and_what_stood_before_is_shown() {
        for (json, expected) in [
            ("", &[][..]),
            ("user=tim", &[]),
            ("{", &[]),
            (r#"{"a":1"#, &["a=1"]),
            (r#"{"a":1}}"#, &["a=1"]),
            (r#"{"a":1} {"b":1}"#, &["a=1"]),
            (r#"{"a":"b"#, &[]),
            (r#"{"a":"\x"}"#, &[]),
            (r#"{"a":"\u12"}"#, &[]),
            (r#"{"a" "b"}"#, &[]),
            ("{'a':1}", &[]),
            ("{a:1}", &[]),
            (r#"{"a":nul}"#, &[]),
            (r#"{"a":1x}"#, &[]),
        ] {
            assert_eq!(read(json), (expected.iter().map(ToString::to_string).collect(), false), "{json}");
        }
    }

    #[test]
    fn depth_costs_nothing_but_its_bytes() {
        let deep = format!("{}{}{}", "[".repeat(30_000), r#"{"user":"a"}"#, "]".repeat(30_000));
        assert_eq!(read(&deep), (vec!["user=a".to_owned()], true));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-c\"\\\\\u{1}é😀]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"\\\\é]{1,3}", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    fn leaves(value: &Value, way: &str, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                map.iter().for_each(|(name, value)| leaves(value, &format!("{way}/{name}"), out));
            }
            Value::Array(all) => all.iter().for_each(|value| leaves(value, way, out)),
            Value::String(text) => out.push(format!("{way}={text}")),
            Value::Null => {}
            _ => out.push(way.to_owned()),
        }
    }

    proptest! {
        #[test]
        fn what_serde_sees_is_shown(value in value()) {
            let mut expected = Vec::new();
            leaves(&value, "", &mut expected);
            let mut shown = Vec::new();
            let is_json = walk(&value.to_string(), &Way::default(), &mut |way, values| {
                let is_text = |text: &str| text.parse::<f64>().is_err() && !matches!(text, "true" | "false");
                shown.push(match values { [text] if is_text(text) => format!("{}={text}", way.0), _ => way.0.clone() });
            });
            prop_assert_eq!((is_json, shown), (Some(()), expected));
        }
    }
}
