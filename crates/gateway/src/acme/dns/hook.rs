//! A program of the operator's that knows his provider.

use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{ChildStderr, Command};

use crate::acme::trouble::shown;

/// What it said on stderr, where it did not end well.
pub(super) async fn run(
    program: &str,
    arguments: &[String],
    deadline: Duration,
    words: [&str; 3],
) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("`{program}` cannot be started: {error}"))?;
    let mut said = Vec::new();
    let stderr = child.stderr.take();
    let ended = async {
        let mut listening = pin!(listen(stderr, &mut said));
        tokio::select! {
            status = child.wait() => {
                // What it left running may hold the pipe for long: what it said itself is in there by now.
                let _ = tokio::time::timeout(LAST_WORDS, listening).await;
                status
            }
            () = listening.as_mut() => child.wait().await,
        }
    };
    let ended = tokio::time::timeout(deadline, ended).await;
    let said = || shown(String::from_utf8_lossy(&said).trim());
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("`{program}` ended with {status}: {}", said())),
        Ok(Err(error)) => Err(format!("`{program}` cannot be waited for: {error}")),
        Err(_) => Err(format!("`{program}` was not done within {} s", deadline.as_secs_f32())),
    }
}

async fn listen(stderr: Option<ChildStderr>, said: &mut Vec<u8>) {
    let Some(stderr) = stderr else { return };
    let mut some = stderr.take(LONGEST_SAID);
    while some.read_buf(said).await.is_ok_and(|read| read > 0) {}
    // Who writes more must not stand still for it.
    let _ = tokio::io::copy(&mut some.into_inner(), &mut tokio::io::sink()).await;
}

/// In bytes.
const LONGEST_SAID: u64 = 4 * 1024;
const LAST_WORDS: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hook_is_told_what_to_place_and_is_waited_for_so_long() {
        let says = |script: &str| vec!["-c".to_owned(), script.to_owned(), "hook".to_owned()];
        for (program, script, found) in [
            ("sh", "test \"$1 $2 $3\" = 'present _acme-challenge.shop.example a b;c'", ""),
            ("sh", "exit 0", ""),
            ("sh", "printf 'no such zone\\033[2J' >&2; exit 3", "exit status: 3: no such zone [2J"),
            ("sh", "head -c 300000 /dev/zero >&2; exit 1", "exit status: 1"),
            ("sh", "sleep 60", "not done within 0.5 s"),
            ("sh", "sleep 50 & exit 0", ""),
            ("sh", "echo 'no such zone' >&2; sleep 50 & exit 3", "exit status: 3: no such zone"),
            ("there/is/no/such/program", "", "cannot be started"),
        ] {
            let arguments = says(script);
            // On a busy machine a shell takes its time, too.
            let patience = Duration::from_millis(if found.starts_with("not done") { 500 } else { 40_000 });
            let ended =
                run(program, &arguments, patience, ["present", "_acme-challenge.shop.example", "a b;c"]);
            match ended.await {
                Ok(()) => assert_eq!(found, "", "{script}"),
                Err(error) => assert!(!found.is_empty() && error.contains(found), "{script}: {error}"),
            }
        }
    }
}
