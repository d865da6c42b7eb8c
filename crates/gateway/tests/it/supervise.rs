//! With real children of `node` and `sh`: what `panoply run` needs of an app, and what it refuses.
#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, that is how it fails")]

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use panoply_gateway::supervise::{App, AppError, Command, Proof, Signal, exit_code, free_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(10);

/// A folder of its own for each test, with a blank and a quote in its name: `NODE_OPTIONS` must bear them.
fn state(test: &str) -> PathBuf {
    let state =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("supervise {test} \"{}\"", std::process::id()));
    let _ = fs::remove_dir_all(&state);
    state
}

fn node(test: &str, code: &str) -> Command {
    Command::new("node", ["-e", code], state(test))
}

fn sh(test: &str, code: &str) -> Command {
    Command::new("sh", ["-c", code], state(test))
}

fn start(command: Command) -> App {
    App::start(command, free_port().unwrap()).expect("`node` and `sh` must be installed for this test")
}

/// What the app answers to a request with these header lines.
async fn ask(app: &App, headers: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", app.port())).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Reads what a child wrote to `file`, once it is there.
async fn written(file: &Path) -> String {
    for _ in 0..3_000 {
        match fs::read_to_string(file) {
            Ok(text) if text.ends_with('\n') => return text.trim().into(),
            _ => sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("nothing was written to {}", file.display())
}

fn runs(id: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
}

async fn ends(id: &str) -> bool {
    for _ in 0..1_500 {
        if !runs(id) {
            return true;
        }
        sleep(Duration::from_millis(20)).await;
    }
    false
}

const EVERYWHERE: &str =
    "require('http').createServer((_, res) => res.end('hello')).listen(process.env.PORT)";

#[tokio::test]
async fn an_app_that_others_reach_directly_is_refused() {
    for (host, expected) in [("undefined", "[::]"), ("'0.0.0.0'", "0.0.0.0")] {
        let code = format!("require('net').createServer().listen(process.env.PORT, {host})");
        let app = start(Command { preload: false, ..node("public", &code) });
        let Err(AppError::PublicPort(address)) = app.ready(PATIENCE).await else {
            panic!("{host} was let pass")
        };
        // Without IPv6 on this machine, Node's own choice is IPv4 too.
        assert!(
            [expected, "0.0.0.0"].map(|ip| format!("{ip}:{}", app.port())).contains(&address.to_string())
        );
        assert!(app.proof().is_none());
    }
}

#[tokio::test]
async fn an_app_that_others_reach_directly_is_served_where_that_is_wanted() {
    let app = start(Command { preload: false, allow_public_port: true, ..node("allowed", EVERYWHERE) });
    app.ready(PATIENCE).await.unwrap();
    assert!(ask(&app, "").await.ends_with("hello"));
}

#[tokio::test]
async fn the_preload_binds_an_app_to_loopback_and_shows_it_the_visitor() {
    let code = "require('http').createServer((req, res) => \
                res.end(req.socket.remoteAddress + ' ' + req.socket.encrypted)).listen(process.env.PORT)";
    let app = start(node("preload", code));
    assert!(app.proof().is_none(), "nobody has said hello yet");
    assert_eq!(app.ready(PATIENCE).await.unwrap(), ([127, 0, 0, 1], app.port()).into());

    let proof = app.proof().expect("the preload says hello");
    let claim = proof.vouch_for("[2001:db8::7]:50123".parse().unwrap());
    let claim = format!("{}: {}\r\n", Proof::HEADER, claim.to_str().unwrap());
    assert!(ask(&app, &claim).await.ends_with("2001:db8::7 true"));
    assert!(ask(&app, "").await.ends_with("127.0.0.1 undefined"));
    assert!(!format!("{app:?}").contains(claim.split(' ').nth(1).unwrap()), "Debug shows the secret");
}

#[tokio::test]
async fn the_preload_reaches_what_the_command_starts() {
    // As `npm start` does: a shell that starts Node.
    let mut command = sh("nested", "node -e \"$0\"; exit $?");
    command.args.push(OsString::from(EVERYWHERE));
    let app = start(command);
    app.ready(PATIENCE).await.unwrap();
    assert!(app.proof().is_some());
}

#[tokio::test]
async fn an_app_that_read_no_preload_is_served_without_proof() {
    // A Node that drops our options before it serves, as a start script with its own NODE_OPTIONS does.
    let code = "const serve = \"require('http').createServer().listen(process.env.PORT, '127.0.0.1')\"; \
                const options = { env: { PORT: process.env.PORT }, stdio: 'inherit' }; \
                require('child_process').spawn(process.execPath, ['-e', serve], options)";
    let app = start(node("unproven", code));
    app.ready(PATIENCE).await.unwrap();
    assert!(app.proof().is_none());
}

#[tokio::test]
async fn only_this_user_may_change_what_the_app_reads_first() {
    let command = node("modes", EVERYWHERE);
    let state = command.state.clone();
    let app = start(command);
    app.ready(PATIENCE).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("preload.cjs")), 0o600);
    assert_eq!(app.stop(GRACE).await, 143);
    drop(app);
    let left: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["preload.cjs"]);
}

#[tokio::test]
async fn the_exit_code_of_the_app_is_passed_on() {
    for (code, expected) in [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)] {
        let app = start(sh("code", code));
        assert_eq!(exit_code(app.exited().await), expected, "{code}");
        assert_eq!(app.stop(GRACE).await, expected, "{code}: again, after it ended");
    }
}

#[tokio::test]
async fn an_app_that_ends_before_it_listens_is_an_error_with_its_exit_code() {
    for (code, expected) in [("exit 3", 3), ("sleep 0.2; exit 0", 0), ("/no/such/program", 127)] {
        let app = start(sh("early", code));
        let Err(AppError::Ended { status, port }) = app.ready(PATIENCE).await else { panic!("{code}") };
        assert_eq!((exit_code(status), port), (expected, app.port()), "{code}");
    }
}

#[test]
fn no_two_apps_are_told_one_port_and_no_connection_is_given_it() {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let first: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    let ports: HashSet<_> = (0..100).map(|_| free_port().unwrap()).collect();
    assert_eq!(ports.len(), 100, "{ports:?}");
    assert!(ports.iter().all(|port| *port < first), "{ports:?}, and connections begin at {first}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error_with_a_hint() {
    let error = App::start(Command::new("no-such-program", [""; 0], state("absent")), free_port().unwrap())
        .unwrap_err();
    assert_eq!(error.to_string(), "`no-such-program` could not be started");
    assert!(error.hint().contains("PATH"), "{}", error.hint());
}

#[tokio::test]
async fn an_app_on_another_port_is_told_where_to_look() {
    // What a `npm start` with a port of its own looks like: the listener is a child of the child.
    let mut command = sh("elsewhere", "node -e \"$0\"; exit $?");
    command.args.push("require('net').createServer().listen(0, '127.0.0.1')".into());
    let app = start(command);
    let error = app.ready(Duration::from_secs(12)).await.unwrap_err();
    let AppError::OtherPort { found, told } = error else { panic!("{error}") };
    assert_eq!(told, app.port());
    assert_ne!(found.port(), app.port());
    let hint = AppError::OtherPort { found, told }.hint();
    assert!(hint.contains(&format!("`panoply serve --to http://127.0.0.1:{}`", found.port())), "{hint}");
}

#[tokio::test]
async fn an_app_that_never_listens_is_an_error() {
    let app = start(sh("silent", "sleep 60"));
    let error = app.ready(Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, AppError::Silent { .. }), "{error}");
}

#[tokio::test]
async fn a_signal_is_passed_on() {
    let file = state("signal").with_extension("heard");
    let _ = fs::remove_file(&file);
    let code = format!(
        "process.on('SIGHUP', () => require('fs').writeFileSync({:?}, 'hup\\n')); {EVERYWHERE}",
        file.to_str().unwrap()
    );
    let app = start(node("signal", &code));
    app.ready(PATIENCE).await.unwrap();
    app.signal(Signal::HUP).unwrap();
    assert_eq!(written(&file).await, "hup");
    assert_eq!(app.stop(GRACE).await, 143);
}

#[tokio::test]
async fn an_app_may_choose_its_exit_code_when_it_is_asked_to_end() {
    let code = format!("process.on('SIGTERM', () => process.exit(5)); {EVERYWHERE}");
    let app = start(node("graceful", &code));
    app.ready(PATIENCE).await.unwrap();
    assert_eq!(app.stop(GRACE).await, 5);
}

#[tokio::test]
async fn what_does_not_end_is_killed_with_all_that_it_started() {
    let file = state("stubborn").with_extension("ids");
    let _ = fs::remove_file(&file);
    let code =
        "trap '' TERM; sh -c 'while :; do sleep 1; done' & echo $$ $! > \"$0\"; while :; do sleep 1; done";
    let mut command = sh("stubborn", code);
    command.args.push(file.clone().into());
    let app = start(command);
    let ids = written(&file).await;
    assert_eq!(app.stop(Duration::from_millis(300)).await, 137);
    for id in ids.split(' ') {
        assert!(ends(id).await, "{id} of {ids} still runs");
    }
}

#[tokio::test]
async fn what_an_app_leaves_behind_ends_with_it() {
    let file = state("orphan").with_extension("ids");
    let _ = fs::remove_file(&file);
    let mut command = sh("orphan", "sleep 600 & echo $! > \"$0\"; exit 4");
    command.args.push(file.clone().into());
    let app = start(command);
    assert_eq!(exit_code(app.exited().await), 4);
    let orphan = written(&file).await;
    assert!(runs(&orphan));
    assert_eq!(app.stop(GRACE).await, 4);
    assert!(ends(&orphan).await);
}

#[tokio::test]
async fn an_app_that_is_dropped_does_not_live_on() {
    let file = state("dropped").with_extension("ids");
    let _ = fs::remove_file(&file);
    let mut command = sh("dropped", "sleep 600 & echo $$ $! > \"$0\"; wait");
    command.args.push(file.clone().into());
    let app = start(command);
    let ids = written(&file).await;
    drop(app);
    for id in ids.split(' ') {
        assert!(ends(id).await, "{id} of {ids} still runs");
    }
}
