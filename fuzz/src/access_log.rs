use std::time::Duration;

use panoply_gateway::Config;
use panoply_gateway::replay::{Line, Replay, read_line};

/// A log is read to its end whatever it holds: each line is a request, or none, or is said to be unreadable.
pub fn access_log(input: &[u8]) {
    let lines = input.split(|byte| *byte == b'\n').collect::<Vec<_>>();
    for line in &lines {
        if let Ok(Line::Request(asked)) = read_line(line) {
            assert!(asked.at < FAR, "{asked:?}");
            assert!(asked.status.is_none_or(|status| (100..1_000).contains(&status)), "{asked:?}");
            assert_eq!(asked.client, asked.client.to_canonical());
        }
    }
    let report = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let mut replay = Replay::new(&Config::default(), None).expect("the defaults can be");
            replay.read("log", input, |_, _| {}).await.map(|()| replay.report())
        })
    });
    // What is compressed is not read at all.
    let Ok(report) = report else { return assert!(input.starts_with(&[0x1f, 0x8b])) };
    let report = RUNTIME.with(|runtime| runtime.block_on(report));
    let empty = lines.iter().filter(|line| matches!(line, [] | [b'\r'])).count() as u64;
    let told = report.judged + report.no_request + report.unreadable + report.late;
    assert!((told..=told + empty).contains(&report.lines), "{report:?}");
    assert!(report.refused <= report.judged && report.complaints.len() <= 20, "{report:?}");
}

/// The year 10,000.
const FAR: Duration = Duration::from_secs(253_402_300_800);

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime without a socket");
}
