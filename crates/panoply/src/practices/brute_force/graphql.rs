//! Passwords within the text of a GraphQL query: `mutation { login(email: "…", password: "…") { token } }`.
//!
//! Well-behaved clients send them as variables, which are JSON; who guesses can write them into the text, or give the
//! variables names of his own. Only arguments are looked for, wherever they stand: what is no GraphQL has none.

use std::borrow::Cow;

use super::fields::Nothing;
use super::json;

/// What an argument is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given<'d> {
    Text(Cow<'d, str>),
    /// The value of the variable that is called so.
    Variable(&'d str),
}

/// Shows the arguments that are given a text, a number or a variable, in one pass.
pub(super) fn walk<'d>(document: &'d str, seen: &mut impl FnMut(&'d str, Given<'d>)) {
    let mut rest = document;
    // The word before, and, where a colon followed, the argument that it names.
    let (mut word, mut argument) = (None, None);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => rest.find(['\n', '\r']).unwrap_or(rest.len()),
            '"' => {
                let (text, length) = text(rest);
                if let Some(argument) = argument {
                    seen(argument, Given::Text(text));
                }
                length
            }
            '$' => {
                let name = name(rest.get(1..).unwrap_or_default());
                if let Some(argument) = argument.take() {
                    seen(argument, Given::Variable(name));
                }
                word = None;
                1 + name.len()
            }
            '0'..='9' | '-' => {
                let length = rest.find(|char: char| !matches!(char, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'));
                let length = length.unwrap_or(rest.len());
                if let (Some(argument), Some(number)) = (argument, rest.get(..length)) {
                    seen(argument, Given::Text(Cow::Borrowed(number)));
                }
                length
            }
            ':' => {
                argument = word.take();
                1
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let name = name(rest);
                (word, argument) = (Some(name), None);
                name.len()
            }
            // A list of one is taken for its element.
            '[' | ',' | ' ' | '\t' | '\n' | '\r' | '\u{feff}' => first.len_utf8(),
            _ => {
                (word, argument) = (None, None);
                first.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
}

fn name(text: &str) -> &str {
    let end = text.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// The text that `rest` begins with, and its length with its quotation marks.
fn text(rest: &str) -> (Cow<'_, str>, usize) {
    if let Some(block) = rest.strip_prefix(BLOCK) {
        let end = block.find(BLOCK).unwrap_or(block.len());
        return (block.get(..end).unwrap_or_default().trim().into(), end + 2 * BLOCK.len());
    }
    let mut is_escaped = true; // the first one opens it
    let end = rest.bytes().position(|byte| match byte {
        _ if std::mem::take(&mut is_escaped) => false,
        b'\\' => {
            is_escaped = true;
            false
        }
        byte => byte == b'"',
    });
    let end = end.unwrap_or(rest.len());
    let quoted = rest.get(..=end).unwrap_or(rest);
    // Its escapes are JSON's (GraphQL §2.9.4), but for `\u{…}`, which is left as it is.
    let mut text = None;
    let _ = json::walk(quoted, &Nothing, &mut |_, values| text = values.first().map(ToString::to_string));
    let raw = || Cow::Borrowed(quoted.trim_matches('"'));
    (text.map_or_else(raw, Cow::Owned), quoted.len())
}

const BLOCK: &str = "\"\"\"";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(document: &str) -> Vec<String> {
        let mut read = Vec::new();
        walk(document, &mut |argument, given| {
            read.push(match given {
                Given::Text(text) => format!("{argument}={text}"),
                Given::Variable(name) => format!("{argument}=${name}"),
            });
        });
        read
    }

    #[test]
    fn arguments_are_found_wherever_they_stand() {
        for (document, expected) in [
            (r#"mutation{login(email:"a",password:"b"){token}}"#, &["email=a", "password=b"][..]),
            ("mutation { login ( email : \"a\" password : \"\" ) }", &["email=a", "password="]),
            (r#"{a:login(p:"1"){t}b:login(p:"2"){t}}"#, &["p=1", "p=2"]),
            (
                r#"mutation($p:String!="x"){login(input:{email:"a",password:$p})}"#,
                &["email=a", "password=$p"],
            ),
            (r#"{login(user:["a"],id:-5,ok:true)}"#, &["user=a", "id=-5"]),
            ("{login(p:\"\"\" a \" b \"\"\",q:1)}", &["p=a \" b", "q=1"]),
            (r#"{login(p:"\u0061\"\\",q:"x\u{61}")}"#, &["p=a\"\\", r"q=x\u{61}"]),
            ("# password:\"x\"\n{login(p:#\"no\"\n\"yes\")}", &["p=yes"]),
            ("{login(p:\"open", &["p=open"]),
            ("shoes", &[]),
            ("", &[]),
        ] {
            assert_eq!(read(document), expected, "{document}");
        }
    }

    proptest! {
        #[test]
        fn whatever_it_is_it_ends(document in "(\"|\"\"\"|\\\\|[a-z]|:|\\$|#|\n|é|-|\\PC){0,40}") {
            let _ = read(&document);
        }
    }
}
