//! The text of a `yarn.lock`, old or new: names and what lies indented below them.
//!
//! Yarn writes a small part of YAML (berry) or something like it (version 1), a line a fact. Both are read here, and
//! nothing else of YAML: no anchors, no folded text, no tags.

use std::borrow::Cow;
use std::collections::HashSet;
use std::iter::Peekable;

use super::fault::Fault;

/// A name with a value, or with names below it.
#[derive(Debug)]
pub(super) struct Node<'a> {
    /// One name, or several with commas between them.
    pub(super) keys: Vec<Cow<'a, str>>,
    pub(super) line: usize,
    pub(super) value: Option<Cow<'a, str>>,
    pub(super) inside: Vec<Node<'a>>,
}

impl<'a> Node<'a> {
    pub(super) fn key(&self) -> &str {
        self.keys.first().map_or("", |key| key)
    }

    /// What lies below under this name.
    pub(super) fn get(&self, name: &str) -> Option<&Node<'a>> {
        self.inside.iter().find(|node| node.key() == name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.value.as_deref()
    }

    /// The names and values of a list below.
    pub(super) fn list(&self, name: &str) -> impl Iterator<Item = (&str, &str)> {
        let inside = self.get(name).map(|node| node.inside.as_slice()).unwrap_or_default();
        inside.iter().map(|node| (node.key(), node.value.as_deref().unwrap_or_default()))
    }
}

/// Yarn nests three.
const DEEPEST: usize = 8;

pub(super) fn parse(text: &str) -> Result<Vec<Node<'_>>, Fault> {
    let lines = text.lines().enumerate().filter_map(|(number, line)| {
        let trimmed = line.trim_start_matches(' ');
        let facts = !trimmed.trim_end().is_empty() && !trimmed.starts_with('#');
        facts.then(|| Line {
            number: number + 1,
            indent: line.len() - trimmed.len(),
            text: trimmed.trim_end(),
        })
    });
    block(&mut lines.peekable(), 0)
}

struct Line<'a> {
    number: usize,
    indent: usize,
    text: &'a str,
}

/// The lines that are indented by `depth` twice, each with what lies below it.
fn block<'a>(
    lines: &mut Peekable<impl Iterator<Item = Line<'a>>>,
    depth: usize,
) -> Result<Vec<Node<'a>>, Fault> {
    let mut nodes: Vec<Node<'_>> = Vec::new();
    let mut seen = HashSet::new();
    while let Some(line) = lines.next_if(|line| line.indent == depth * 2) {
        let mut node = node(&line)?;
        // `? a key that is too long for a line of its own`, and its colon in the next.
        if node.value.is_none() && line.text.starts_with("? ") {
            lines
                .next_if(|next| next.indent == line.indent && next.text == ":")
                .ok_or_else(|| Fault::at(line.number, "a key without a `:` below it"))?;
        }
        for key in &node.keys {
            if !seen.insert(key.clone()) {
                return Err(Fault::at(line.number, format!("`{key}` is here twice")));
            }
        }
        if let Some(below) = lines.peek().filter(|below| below.indent > line.indent) {
            if node.value.is_some() || below.indent != line.indent + 2 || depth == DEEPEST {
                return Err(Fault::at(below.number, "this line is indented more than it can be"));
            }
            node.inside = block(lines, depth + 1)?;
        }
        nodes.push(node);
    }
    match lines.peek() {
        Some(line) if depth == 0 || line.indent > depth * 2 || line.indent % 2 == 1 => {
            Err(Fault::at(line.number, "this line is indented as none above it"))
        }
        _ => Ok(nodes),
    }
}

fn node<'a>(line: &Line<'a>) -> Result<Node<'a>, Fault> {
    let fault = |what: &str| Fault::at(line.number, what.to_owned());
    let long = line.text.strip_prefix("? ");
    let mut rest = long.unwrap_or(line.text);
    let mut keys = Vec::new();
    loop {
        let (key, after) = word(rest, &[':', ' ', ',']).ok_or_else(|| fault("a string without an end"))?;
        if key.is_empty() {
            return Err(fault("there is no name before the value"));
        }
        keys.push(key);
        match after.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => {
                rest = after;
                break;
            }
        }
    }
    let written = rest.strip_prefix(':').unwrap_or(rest).trim_start();
    if long.is_some() && !rest.is_empty() {
        return Err(fault("there is more than a key after `?`"));
    }
    // Version 1 writes `name value`, and `name:` where there is no value.
    if written.is_empty() && rest != ":" && long.is_none() {
        return Err(fault("there is neither a value nor a `:` after the name"));
    }
    let (value, after) = word(written, &[]).ok_or_else(|| fault("a string without an end"))?;
    if !after.is_empty() {
        return Err(fault("there is more after the value"));
    }
    let value = (!written.is_empty()).then_some(value);
    Ok(Node { keys, line: line.number, value, inside: Vec::new() })
}

/// A quoted string, or what comes before any of `ends`; and the rest. `None` where a quote does not end.
fn word<'a>(text: &'a str, ends: &[char]) -> Option<(Cow<'a, str>, &'a str)> {
    if !text.starts_with('"') {
        let (word, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
        return Some((Cow::Borrowed(word), rest));
    }
    let mut escaped = false;
    let end = text.bytes().enumerate().skip(1).find_map(|(at, byte)| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends.then_some(at)
    })?;
    let (quoted, rest) = text.split_at(end + 1);
    match quoted.get(1..end) {
        Some(plain) if !plain.contains('\\') => Some((Cow::Borrowed(plain), rest)),
        _ => Some((Cow::Owned(serde_json::from_str(quoted).ok()?), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(nodes: &[Node<'_>]) -> String {
        let node = |node: &Node<'_>| match &node.value {
            Some(value) => format!("{}={value}", node.keys.join("|")),
            None => format!("{}{{{}}}", node.keys.join("|"), shown(&node.inside)),
        };
        nodes.iter().map(node).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn both_ways_to_write_are_read() {
        for (text, read) in [
            ("a@^1, \"b@>=1 <2\":\n  version \"1.0\"\n", "a@^1|b@>=1 <2{version=1.0}"),
            (
                "\"a@npm:^1, a@npm:2\":\n  version: 1.0\n  bin:\n    x: y\n",
                "a@npm:^1, a@npm:2{version=1.0 bin{x=y}}",
            ),
            ("# c\n\na:\n  \"@s/b\" \"^1\"\n\nc:\n  d true\r\n", "a{@s/b=^1} c{d=true}"),
            ("? \"long\"\n:\n  version: 1\n", "long{version=1}"),
            ("a:\n  b: \"c\\\"d\"\n", "a{b=c\"d}"),
            ("a:\n  conditions: os=darwin & cpu=arm64\n", "a{conditions=os=darwin & cpu=arm64}"),
            ("", ""),
        ] {
            assert_eq!(parse(text).map(|nodes| shown(&nodes)).unwrap(), read, "{text}");
        }
    }

    #[test]
    fn what_yarn_does_not_write_has_a_line() {
        let nested: String = (0..10_000).map(|depth| format!("{}a:\n", "  ".repeat(depth))).collect();
        for (text, line) in [
            ("a:\n  b \"c\n", 2),
            ("a:\n   b c\n", 2),
            ("a:\n  b c\n    d e\n", 3),
            ("a:\n  b c\n  b d\n", 3),
            ("a:\n  b c\na:\n  b c\n", 3),
            ("a:\n  b\n", 2),
            ("  a:\n", 1),
            ("a:\n    b:\n  c:\n", 2),
            ("a:\n  b \"c\" d\n", 2),
            ("? a\n  b c\n", 1),
            (&nested, 10),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!(fault.line, line, "{text:.40}: {fault}");
        }
    }
}
