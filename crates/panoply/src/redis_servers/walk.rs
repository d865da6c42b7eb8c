use std::collections::HashMap;

use redis::cmd;

use super::{Question, Servers};
use crate::store::StoreError;

/// Goes through the keys that match a glob on every server that has keys of its own, a batch at a time.
///
/// A key that stands there all the while comes once or more often; one that comes or goes meanwhile, perhaps.
pub(crate) struct Walk<'a> {
    servers: &'a Servers,
    glob: String,
    /// Which servers are not at their end, and where the next batch begins; none of them was asked yet where it is
    /// none.
    open: Option<Vec<(String, u64)>>,
    steps: usize,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(servers: &'a Servers, start: &str) -> Self {
        Self { servers, glob: begins_with(start), open: None, steps: 0 }
    }

    /// The next keys, perhaps none of those that were looked at; `None` after the last, or when it was enough.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<String>>, StoreError> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Ok(None);
        }
        let next = match &mut self.open {
            None => None,
            Some(open) => match open.pop() {
                None => return Ok(None),
                next => next,
            },
        };
        let (server, cursor) = next.map_or((None, 0), |(server, cursor)| (Some(server), cursor));
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&self.glob).arg("COUNT").arg(AT_ONCE);
        let batches: HashMap<String, (u64, Vec<Vec<u8>>)> =
            self.servers.ask(Question::OfServers(scan, server)).await?;
        let (open, mut found) = (self.open.get_or_insert_default(), Vec::new());
        for (server, (cursor, keys)) in batches {
            if cursor != 0 {
                open.push((server, cursor));
            }
            // What is no text is none of ours.
            found.extend(keys.into_iter().filter_map(|key| String::from_utf8(key).ok()));
        }
        Ok(Some(found))
    }
}

/// A glob as Redis has it.
fn begins_with(start: &str) -> String {
    let mut glob = String::with_capacity(start.len() + 1);
    for letter in start.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
            glob.push('\\');
        }
        glob.push(letter);
    }
    glob.push('*');
    glob
}

/// So many keys are looked at in one step: a millisecond of the server's, in which it does nothing else.
const AT_ONCE: usize = 1_000;
/// Ten million keys, some ten seconds.
const MOST_STEPS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_prefix_is_a_pattern() {
        for (start, glob) in
            [("login:", "login:*"), ("a*b?[c]\\:", r"a\*b\?\[c\]\\:*"), ("", "*"), ("^-änn:", "^-änn:*")]
        {
            assert_eq!(begins_with(start), glob);
        }
    }
}
