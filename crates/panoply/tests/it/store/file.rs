use std::env;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use panoply::store::{File, Store, StoreError, conformance};
use panoply::{Clock, Size};
use tokio::task::JoinSet;

use super::LONG;
use super::server::Scratch;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_every_promise() {
    let scratch = Scratch::new();
    let clock = Clock::manual();
    let file = File::with_clock(scratch.path().join("sessions"), clock.clone()).unwrap();
    conformance(Arc::new(file), async |time| clock.advance(time)).await;
}

#[tokio::test]
async fn who_was_told_that_it_is_saved_finds_it_after_kill_9() {
    if let Some(path) = env::var_os(OF_CHILD) {
        return write_until_killed(path.into()).await;
    }
    let scratch = Scratch::new();
    let path = scratch.path().join("sessions");
    for round in 0..3 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "store::file::who_was_told_that_it_is_saved_finds_it_after_kill_9",
                "--nocapture",
            ])
            .env(OF_CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut saved: Vec<String> =
            lines.by_ref().filter(|line| line.starts_with("id-")).take(200).collect();
        let second = File::open(&path).unwrap_err();
        assert!(second.hint().contains("another process"), "{second} {}", second.hint());
        child.kill().unwrap();
        child.wait().unwrap();
        saved.extend(lines.filter(|line| line.starts_with("id-")));
        assert!(saved.len() >= 200, "round {round}: {}", saved.len());

        let file = File::open(&path).unwrap();
        for id in saved {
            // A line that the kill cut short names nobody.
            let whole = id.len() == "id-".len() + 32;
            assert!(!whole || file.load(&id).await.unwrap().is_some(), "{id} was lost");
        }
    }
}

/// Sixteen at a time, as visitors come.
async fn write_until_killed(path: PathBuf) {
    let file = Arc::new(File::open(path).unwrap());
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let file = Arc::clone(&file);
        tasks.spawn(async move {
            loop {
                let id = format!("id-{:032x}", rand::random::<u128>());
                file.create(&id, "{}", LONG).await.unwrap();
                println!("{id}");
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn it_is_this_users_alone() {
    let scratch = Scratch::new();
    let path = scratch.path().join("sessions");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    drop(File::open(&path).unwrap());
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    drop(File::open(&path).unwrap());
    assert_eq!(mode(), 0o600, "what a copy had opened to others is closed again");
}

#[tokio::test]
async fn what_is_no_store_is_an_error_that_names_it_and_stays_as_it_was() {
    let scratch = Scratch::new();
    let path = scratch.path().join("notes.txt");
    fs::write(&path, "a reminder\n".repeat(1_000)).unwrap();
    let error = File::open(&path).unwrap_err();
    assert!(error.to_string().contains("notes.txt") && error.hint().contains("move it away"), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a reminder\n".repeat(1_000));
    let error = File::open(scratch.path().join("nowhere/sessions")).unwrap_err();
    assert!(error.hint().contains("folder"), "{error:?}");
}

#[tokio::test]
async fn a_flood_takes_no_more_than_the_capacity_and_leaves_who_has_more_time() {
    let scratch = Scratch::new();
    let path = scratch.path().join("sessions");
    let file = File::open(&path).unwrap().capacity(Size::mib(1));
    file.create("member", "{}", 100 * LONG).await.unwrap();
    file.bind("ann", "member", LONG).await.unwrap();
    let text = format!("\"{}\"", "a".repeat(60_000));
    for n in 0..100 {
        file.create(&format!("flood-{n}"), &text, LONG).await.unwrap();
    }
    assert_eq!(file.load("member").await.unwrap().as_deref(), Some("{}"));
    assert_eq!(file.load("flood-0").await.unwrap(), None);
    assert!(file.load("flood-99").await.unwrap().is_some());
    let size = fs::metadata(&path).unwrap().len();
    assert!(size < 4 << 20, "{size} bytes");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room_and_reads_go_on() {
    if let Some(path) = env::var_os(OF_CHILD) {
        return write_until_full(path.into()).await;
    }
    let scratch = Scratch::new();
    // A limit on the size of files is the disk that a test can fill: 2 MiB, in blocks of 512 bytes.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "store::file::a_full_disk_refuses_writes_until_there_is_room_and_reads_go_on"])
        .env(OF_CHILD, scratch.path().join("sessions"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

async fn write_until_full(path: PathBuf) {
    let file = File::open(path).unwrap();
    let text = format!("\"{}\"", "a".repeat(10_000));
    let mut written = 0;
    let refused = loop {
        match file.create(&written.to_string(), &text, LONG).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Refused(_)) && written > 20, "{written}: {refused:?}");
    for _ in 0..3 {
        assert!(file.load("0").await.unwrap().is_some());
        assert!(file.load(&written.to_string()).await.unwrap().is_none());
        assert!(file.create("more", &text, LONG).await.is_err());
    }
    let file = file.capacity(Size::kib(400));
    for n in 0..20 {
        file.destroy(&n.to_string()).await.unwrap();
    }
    file.create("more", &text, LONG).await.unwrap();
    assert!(file.load("more").await.unwrap().is_some());
}

#[tokio::test]
async fn a_restart_keeps_sessions_their_time_and_their_users() {
    let scratch = Scratch::new();
    let path = scratch.path().join("sessions");
    let clock = Clock::manual();
    let file = File::with_clock(&path, clock.clone()).unwrap();
    file.create("id", "{}", LONG).await.unwrap();
    file.bind("ann", "id", LONG).await.unwrap();
    file.create("brief", "{}", Duration::from_secs(1)).await.unwrap();
    drop(file);
    clock.advance(Duration::from_secs(2));
    let file = File::with_clock(&path, clock.clone()).unwrap();
    assert_eq!(file.load("id").await.unwrap().as_deref(), Some("{}"));
    assert_eq!(file.load("brief").await.unwrap(), None);
    assert_eq!(file.destroy_all("ann", None).await.unwrap(), 1);
}

const OF_CHILD: &str = "PANOPLY_TEST_SESSIONS";
