//! `panoply explain`: why a request was refused; or what a practice is for, and what it is set to.
//!
//! Nothing is told twice: the words are the documentation of the practice's module, the settings the example file's.

use std::process::ExitCode;

use http::Method;
use panoply::{Practice, RequestId, Shield};
use panoply_gateway::Config;
use panoply_gateway::admin::Explained;

use crate::args::{At, Format};
use crate::ask::{Gateway, shown};
use crate::trouble::Trouble;

/// Asks the gateway that refused it.
#[expect(clippy::print_stdout, reason = "the explanation is this command's data")]
pub(crate) async fn request(id: RequestId, at: At, format: Format) -> Result<ExitCode, Trouble> {
    let explained = Gateway::at(&at)?.ask::<Explained>(Method::GET, &format!("/refusals/{id}"), None).await?;
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&explained).unwrap_or_default()),
        Format::Text => print!("{}", text(&explained)),
    }
    Ok(ExitCode::SUCCESS)
}

/// What visitors sent is in it: nothing of that reaches the terminal as a command.
fn text(explained: &Explained) -> String {
    let mut lines = vec![("request", explained.id.clone())];
    lines.extend(explained.trace.clone().map(|trace| ("trace", trace)));
    lines.extend([
        ("when", explained.at.clone()),
        ("client", explained.client.clone()),
        ("asked", format!("{} {}{}", explained.method, explained.host, explained.path)),
        ("what", format!("{} with {} by {}", explained.what, explained.status, explained.practice)),
        ("because", explained.reason.clone()),
    ]);
    lines.extend(explained.rule.clone().map(|rule| ("rule", rule)));
    let counted = match (explained.count, explained.points) {
        (Some(count), Some(points)) => format!(": {count} of {points}"),
        _ => String::new(),
    };
    lines.extend(explained.key.as_ref().map(|key| ("key", format!("{key}{counted}"))));
    if let (Some(setting), Some(set_for)) = (&explained.setting, &explained.set_for) {
        lines.push(("rests on", format!("{setting}  ({set_for})")));
    }
    lines.extend(explained.exception.clone().map(|exception| ("to let pass", exception)));
    lines.into_iter().map(|(name, value)| format!("{name:<12} {}\n", shown(&value))).collect()
}

#[expect(clippy::print_stdout, reason = "the explanation is this command's data")]
pub(crate) fn practice(practice: Practice) {
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
    fn a_refusal_is_told_with_what_it_rests_on_and_what_lets_it_pass() {
        let mut explained = Explained::default();
        for (place, text) in [
            (&mut explained.id, "00f1"),
            (&mut explained.at, "2026-12-31 00:00:00 UTC"),
            (&mut explained.client, "192.0.2.1"),
            (&mut explained.method, "POST"),
            (&mut explained.host, "shop.example"),
            (&mut explained.path, "/login\u{9b}2J\u{1b}[2J"),
            (&mut explained.what, "refused"),
            (&mut explained.practice, "rate_limit"),
            (&mut explained.reason, "over `login`, 5/min"),
        ] {
            *place = text.to_owned();
        }
        explained.trace = Some("0af7".to_owned());
        explained.status = 429;
        (explained.rule, explained.key) = (Some("login".to_owned()), Some("192.0.2.1".to_owned()));
        (explained.count, explained.points) = (Some(6), Some(5));
        explained.setting = Some("[shield.rate_limit] limits.login".to_owned());
        explained.set_for = Some("all sites".to_owned());
        explained.exception = Some("shield.rate_limit.exempt = [\"192.0.2.1\"]".to_owned());
        assert_eq!(
            text(&explained),
            "request      00f1\n\
             trace        0af7\n\
             when         2026-12-31 00:00:00 UTC\n\
             client       192.0.2.1\n\
             asked        POST shop.example/login\\u{9b}2J\\u{1b}[2J\n\
             what         refused with 429 by rate_limit\n\
             because      over `login`, 5/min\n\
             rule         login\n\
             key          192.0.2.1: 6 of 5\n\
             rests on     [shield.rate_limit] limits.login  (all sites)\n\
             to let pass  shield.rate_limit.exempt = [\"192.0.2.1\"]\n"
        );
    }

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
