//! `panoply bans`: who is kept out of a running gateway, and the way back in.

use std::process::ExitCode;

use http::Method;
use panoply::{Network, Period};
use panoply_gateway::admin::{Done, List, NewBan};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::args::{Bans, Format};
use crate::ask::{Gateway, shown};
use crate::front;
use crate::trouble::Trouble;

#[expect(clippy::print_stdout, reason = "the list, and what was done, are this command's data")]
pub(crate) async fn bans(command: Bans) -> Result<ExitCode, Trouble> {
    match command {
        Bans::List { at, format } => {
            let list: List = Gateway::at(&at)?.ask(Method::GET, "/bans", None).await?;
            match format {
                Format::Json => println!("{}", serde_json::to_string_pretty(&list).unwrap_or_default()),
                Format::Text => print!("{}", table(&list)),
            }
            warn(&list.notes);
        }
        Bans::Lift { who, at } => {
            let path = format!("/bans/{}", utf8_percent_encode(&who, NON_ALPHANUMERIC));
            let done: Done = Gateway::at(&at)?.ask(Method::DELETE, &path, None).await?;
            for lifted in &done.lifted {
                println!("lifted: {}", shown(lifted));
            }
            warn(&done.notes);
        }
        Bans::Add { network, time, because, at } => {
            let network: Network = front::parse("NETWORK", &network)?;
            let time: Option<Period> = time.map(|time| front::parse("--for", &time)).transpose()?;
            let seconds = time.map(|time| time.duration().as_secs().max(1));
            let ban = NewBan { network: network.to_string(), seconds, because };
            let body = serde_json::to_string(&ban).unwrap_or_default();
            let done: Done = Gateway::at(&at)?.ask(Method::POST, "/bans", Some(body)).await?;
            for banned in &done.banned {
                match time {
                    Some(time) => println!("kept out for {time}: {}", shown(banned)),
                    None => println!("kept out until it is lifted: {}", shown(banned)),
                }
            }
            warn(&done.notes);
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stderr, reason = "stdout is for the data")]
fn warn(notes: &[String]) {
    for note in notes {
        eprintln!("note: {}", shown(note));
    }
}

/// Columns as wide as what stands in them.
fn table(list: &List) -> String {
    let mut rows = vec![["KEY", "BY", "COUNT", "LEFT", "BECAUSE"].map(str::to_owned)];
    rows.extend(list.bans.iter().map(|ban| {
        let left = ban.left.map_or_else(|| "until lifted".to_owned(), time);
        [ban.network.clone(), "an operator".to_owned(), "-".to_owned(), left, ban.because.clone()]
    }));
    rows.extend(list.kept_out.iter().map(|one| {
        let left = one.left.map_or_else(|| "for ever".to_owned(), time);
        let by = format!("{} {}", one.practice, one.rule);
        [one.key.clone(), by, one.count.to_string(), left, String::new()]
    }));
    if rows.len() == 1 {
        return "nobody is kept out\n".to_owned();
    }
    let rows: Vec<_> = rows.into_iter().map(|row| row.map(|cell| shown(&cell))).collect();
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; 5]| {
        let cells: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        format!("{}\n", cells.trim_end())
    };
    rows.iter().map(line).collect()
}

/// In its two largest units: `2day 3h`, `59s`.
fn time(seconds: u64) -> String {
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, length) in [("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1)] {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use panoply_gateway::admin::{BanLine, KeptOutLine};

    use super::*;

    #[test]
    fn time_is_told_in_two_units() {
        for (seconds, told) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1min"),
            (3_599, "59min 59s"),
            (86_400, "1day"),
            (90_061, "1day 1h"),
        ] {
            assert_eq!(time(seconds), told);
        }
    }

    #[test]
    fn the_table_is_aligned_and_holds_no_commands_for_the_terminal() {
        let list = List {
            bans: vec![BanLine {
                network: "192.0.2.0/24".to_owned(),
                left: Some(90),
                because: "spam\u{1b}[2J".to_owned(),
            }],
            kept_out: vec![KeptOutLine {
                practice: "brute_force".to_owned(),
                rule: "login".to_owned(),
                key: "4f_192.0.2.1".to_owned(),
                count: 11,
                left: None,
            }],
            notes: Vec::new(),
        };
        assert_eq!(
            table(&list),
            "KEY           BY                 COUNT  LEFT      BECAUSE\n\
             192.0.2.0/24  an operator        -      1min 30s  spam\\u{1b}[2J\n\
             4f_192.0.2.1  brute_force login  11     for ever\n"
        );
        assert_eq!(table(&List::default()), "nobody is kept out\n");
    }
}
