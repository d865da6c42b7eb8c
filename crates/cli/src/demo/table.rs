//! Two sights side by side, in a terminal of a hundred columns.

use std::fmt::Write as _;
use std::io::{IsTerminal, stdout};
use std::iter;
use std::net::SocketAddr;

use super::visit::{Finding, Sight};

/// Whether the output understands colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// A file, a pipe, or somebody who wants none.
    Plain,
    /// A terminal.
    Ansi,
}

impl Paint {
    /// What stdout understands; `NO_COLOR` turns colours off.
    pub(crate) fn of_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if wanted && stdout().is_terminal() { Self::Ansi } else { Self::Plain }
    }

    fn lay(self, colour: &str, text: &str) -> String {
        match self {
            Self::Ansi if !text.is_empty() => format!("\x1b[{colour}m{text}\x1b[0m"),
            _ => text.into(),
        }
    }
}

/// What a stranger sees, question by question, and how many of them end well.
pub(crate) fn table(findings: &[Finding], paint: Paint) -> String {
    let mut table = String::new();
    let heading = ["practice", "a stranger tries to", "the shop alone", "behind panoply"];
    line(&mut table, heading.map(|text| (text, BOLD)), paint);
    table.push_str(&paint.lay(FAINT, &"─".repeat(WIDTH)));
    table.push('\n');
    let mut before = "";
    for Finding { practice, what, naked, shielded } in findings {
        let cells = [
            wrapped(if *practice == before { "" } else { practice }, PRACTICE),
            wrapped(what, WHAT),
            wrapped(&marked(naked), SIGHT),
            wrapped(&marked(shielded), SIGHT),
        ];
        before = practice;
        let colours = [BOLD, "0", colour(naked), colour(shielded)];
        for at in 0..cells.iter().map(Vec::len).max().unwrap_or_default() {
            let mut texts = cells.iter().map(|lines| lines.get(at).map_or("", String::as_str)).zip(colours);
            line(&mut table, std::array::from_fn(|_| texts.next().unwrap_or_default()), paint);
        }
    }
    let safe = |side: fn(&Finding) -> &Sight| findings.iter().filter(|finding| side(finding).safe).count();
    let [naked, shielded] = [safe(|finding| &finding.naked), safe(|finding| &finding.shielded)]
        .map(|safe| format!("{safe} of {} are safe", findings.len()));
    table.push_str(&paint.lay(FAINT, &"─".repeat(WIDTH)));
    table.push('\n');
    line(&mut table, [("", "0"), ("", "0"), (&naked, BOLD), (&shielded, BOLD)], paint);
    table
}

/// Where to look for oneself: the addresses for a browser, and lines for a shell.
pub(crate) fn invitation(naked: SocketAddr, shielded: SocketAddr, paint: Paint) -> String {
    let (naked, shielded) = (format!("http://{naked}"), format!("https://localhost:{}", shielded.port()));
    let mut invitation = String::new();
    for (title, lines) in [
        (
            "in a browser (it asks about a certificate that was made on this machine: that is ours)",
            vec![format!("{naked}/"), format!("{shielded}/")],
        ),
        (
            "in a shell",
            [
                "/product?id=99'",
                "/nope'",
                "/' -H 'Host: evil.example'",
                "/cart' -d id=1 -b connect.sid=1 -H 'Sec-Fetch-Site: cross-site' -H 'Sec-Fetch-Mode: no-cors'",
            ]
            .iter()
            .map(|rest| format!("curl -ik '{shielded}{rest}"))
            .chain([format!("curl -i '{naked}/product?id=99'   # and so on, without the shield")])
            .collect(),
        ),
    ] {
        let _ = writeln!(invitation, "{}", paint.lay(BOLD, title));
        for line in lines {
            let _ = writeln!(invitation, "  {line}");
        }
    }
    invitation
}

/// For those who see no colours.
fn marked(Sight { said, safe }: &Sight) -> String {
    format!("{} {said}", if *safe { '✓' } else { '✗' })
}

fn colour(sight: &Sight) -> &'static str {
    if sight.safe { GREEN } else { RED }
}

/// One line of the terminal. Blanks go outside of colours, and none to the end.
fn line(table: &mut String, cells: [(&str, &str); 4], paint: Paint) {
    let mut blanks = 0;
    for ((text, colour), width) in cells.into_iter().zip([PRACTICE, WHAT, SIGHT, SIGHT]) {
        if !text.is_empty() {
            table.extend(iter::repeat_n(' ', blanks));
            table.push_str(&paint.lay(colour, text));
            blanks = 0;
        }
        blanks += width.saturating_sub(text.chars().count()) + GAP;
    }
    table.push('\n');
}

/// The lines of a cell, of at most `width` characters: a longer word is cut, and what follows a mark stays clear of
/// it.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let indent = if text.starts_with(['✓', '✗']) { "  " } else { "" };
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let word: Vec<char> = word.chars().collect();
        for piece in word.chunks(width - indent.len()) {
            if line.is_empty() {
                line.extend(piece);
            } else if line.chars().count() + 1 + piece.len() <= width {
                line.push(' ');
                line.extend(piece);
            } else {
                lines.push(std::mem::replace(&mut line, indent.to_owned()));
                line.extend(piece);
            }
        }
    }
    lines.push(line);
    lines
}

const PRACTICE: usize = 11;
const WHAT: usize = 26;
const SIGHT: usize = 28;
const GAP: usize = 2;
const WIDTH: usize = PRACTICE + WHAT + 2 * SIGHT + 3 * GAP;

const BOLD: &str = "1";
const FAINT: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(practice: &'static str, what: &'static str, naked: &str, shielded: &str) -> Finding {
        let sight = |said: &str, safe| Sight { said: said.into(), safe };
        Finding { practice, what, naked: sight(naked, false), shielded: sight(shielded, true) }
    }

    fn findings() -> Vec<Finding> {
        vec![
            finding("tls", "read along on the way", "all in the clear", "TLS 1.3, X25519MLKEM768"),
            finding("errors", "ask for a page that is not there", "404, and Express's own page", "404"),
            finding(
                "errors",
                "make its code fail",
                "500, and a stack trace: /srv/shop/routes/product.js:17:31",
                "500, and nothing else",
            ),
        ]
    }

    #[test]
    fn two_sights_stand_side_by_side() {
        let rule = "─".repeat(99);
        let expected = format!(
            "practice     a stranger tries to         the shop alone                behind panoply\n\
             {rule}\n\
             tls          read along on the way       ✗ all in the clear            ✓ TLS 1.3, X25519MLKEM768\n\
             errors       ask for a page that is not  ✗ 404, and Express's own      ✓ 404\n\
             \x20            there                         page\n\
             \x20            make its code fail          ✗ 500, and a stack trace:     ✓ 500, and nothing else\n\
             \x20                                          /srv/shop/routes/product.j\n\
             \x20                                          s:17:31\n\
             {rule}\n\
             \x20                                        0 of 3 are safe               3 of 3 are safe\n"
        );
        assert_eq!(table(&findings(), Paint::Plain), expected);
    }

    #[test]
    fn colours_change_nothing_else() {
        let painted = table(&findings(), Paint::Ansi);
        assert!(painted.contains("\x1b[31m✗ all in the clear\x1b[0m"), "{painted}");
        assert!(painted.contains("\x1b[32m✓ TLS 1.3, X25519MLKEM768\x1b[0m"), "{painted}");
        let mut plain = painted;
        for colour in ["0", BOLD, FAINT, RED, GREEN] {
            plain = plain.replace(&format!("\x1b[{colour}m"), "");
        }
        assert_eq!(plain, table(&findings(), Paint::Plain));
    }

    #[test]
    fn no_line_is_wider_than_the_table() {
        let long = "a".repeat(84);
        let words = "ab ".repeat(28);
        for said in [long.as_str(), words.as_str(), "", "  ", "é è ê"] {
            let table = table(&[finding("fingerprint", "x", said, said)], Paint::Plain);
            for line in table.lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
                assert_eq!(line, line.trim_end(), "{line}");
            }
        }
    }

    #[test]
    fn an_invitation_names_both_addresses() {
        let (naked, shielded) = ("127.0.0.1:41234".parse().unwrap(), "[::]:8443".parse().unwrap());
        let invitation = invitation(naked, shielded, Paint::Plain);
        for line in [
            "  http://127.0.0.1:41234/",
            "  https://localhost:8443/",
            "  curl -ik 'https://localhost:8443/product?id=99'",
            "  curl -ik 'https://localhost:8443/' -H 'Host: evil.example'",
            "  curl -i 'http://127.0.0.1:41234/product?id=99'   # and so on, without the shield",
        ] {
            assert!(invitation.lines().any(|found| found == line), "{line}\n{invitation}");
        }
    }
}
