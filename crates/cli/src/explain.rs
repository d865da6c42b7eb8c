//! `panoply explain`: what a practice is for, and what it is set to.
//!
//! Nothing is told twice: the words are the documentation of the practice's module, the settings the example file's.

use panoply::{Practice, Shield};
use panoply_gateway::Config;

#[expect(clippy::print_stdout, reason = "the explanation is this command's data")]
pub(crate) fn explain(practice: Practice) {
    println!("{practice}\n\n{}\n", without_links(&practice.explanation()));
    for (place, shield) in [("in a Rust app", Shield::default()), ("in front of an app", Shield::in_front())]
    {
        let (state, figure) = shield.state(practice);
        println!("{}", format!("{place:<18} {state:<7} {figure}").trim_end());
    }
    if let Some(settings) = settings(practice) {
        println!("\nIn panoply.toml, with the defaults in front of an app:\n\n{settings}");
    }
}

/// The paragraph of the example file that is the practice's table.
fn settings(practice: Practice) -> Option<&'static str> {
    let table = format!("[shield.{practice}]");
    Config::EXAMPLE.split("\n\n").find(|paragraph| paragraph.lines().any(|line| line == table))
}

/// Links lead to pages that a terminal has not; their text stays.
fn without_links(markdown: &str) -> String {
    let mut text = String::with_capacity(markdown.len());
    let mut in_code = false;
    let mut rest = markdown.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '[' if !in_code => {}
            ']' if !in_code => {
                if rest.next_if_eq(&'(').is_some() {
                    rest.by_ref().find(|end| *end == ')');
                }
            }
            _ => {
                in_code ^= next == '`';
                text.push(next);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_link_the_text_stays_and_code_stays_whole() {
        for (markdown, text) in [
            ("by [`trust`](Redirects::trust), or", "by `trust`, or"),
            ("it is [cautious](Headers::cautious).", "it is cautious."),
            ("[`target`] is", "`target` is"),
            ("`[[site]]` (a table)", "`[[site]]` (a table)"),
        ] {
            assert_eq!(without_links(markdown), text);
        }
    }

    #[test]
    fn every_practice_has_its_settings_in_the_example_file() {
        for practice in Practice::ALL {
            // Sessions are an app's to keep, and set in its code.
            assert_eq!(settings(practice).is_none(), practice.is_set_in_code_alone(), "{practice}");
        }
    }
}
