//! What `panoply serve` takes from itself. That all else goes on working in the sandbox is what the other tests show: it
//! is on in each of them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::{Client, get};
use crate::gateway::{Gateway, command, panoply};
use crate::node::Node;
use crate::scratch::Scratch;

#[tokio::test]
async fn every_thread_is_in_the_sandbox_and_the_log_says_what_is_in_force() {
    let shop = Node::start("shop.js");
    let gateway = Gateway::serve(shop.address(), &[]);
    gateway.logged("sandbox: Landlock ABI ");
    gateway.logged(&format!("(writes only in {})", gateway.state().path().display()));
    gateway.logged(" system calls refused, no new privileges");
    assert_eq!(gateway.client().get("/").await.status, 200);
    let threads = threads(gateway.pid());
    assert!(threads.len() > 1, "those that serve are there");
    for status in threads {
        assert!(status.contains("\nNoNewPrivs:\t1\n") && status.contains("\nSeccomp:\t2\n"), "{status}");
    }
}

/// Who broke into the app, or into anything else of the same user, has the keys of neither.
#[test]
fn no_process_of_the_same_user_reads_the_gateways_memory() {
    // Of root it is asked without the capabilities that let him read whatever he likes (mm_access in kernel/fork.c).
    let is_root = low_port().1;
    let less: &[&str] =
        if is_root { &["--bounding-set", "-sys_ptrace,-sys_admin,-perfmon"] } else { &["--nnp"] };
    let reads = |who: &[&str], process: u32| {
        let file = format!("/proc/{process}/environ");
        let read = Command::new("setpriv").args(who).args(["head", "-c", "1", &file]).output().unwrap();
        let denied = String::from_utf8_lossy(&read.stderr).contains("Permission denied");
        assert!(read.status.success() != denied, "{read:?}");
        read.status.success()
    };
    let start = |arguments: &[&str]| {
        let state = Arc::new(Scratch::new());
        let command = command(arguments, &state);
        let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut lesser = Command::new("setpriv");
        lesser.args(less).args(words).current_dir(crate::node::folder()).env("STATE_DIRECTORY", state.path());
        Gateway::of(&mut lesser, state)
    };
    let mut asleep = Command::new("setpriv").args(less).args(["sleep", "60"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !reads(less, asleep.id()) {
        assert!(Instant::now() < deadline, "who does nothing about it can be read");
        std::thread::sleep(Duration::from_millis(20));
    }
    asleep.kill().unwrap();
    asleep.wait().unwrap();

    let serve = ["serve", "--to", "http://127.0.0.1:1", "--https", "127.0.0.1:0"];
    let gateway = start(&serve);
    gateway.logged("no new privileges, memory closed to other processes");
    assert!(!reads(less, gateway.pid()));
    let gateway = start(&["run", "--https", "127.0.0.1:0", "--", "node", "shop.js"]);
    gateway.logged("memory closed to other processes");
    assert!(!reads(less, gateway.pid()));
    if is_root {
        // Who becomes another user could be read again.
        let folder = Scratch::new();
        let file = write(&folder, "user = 'nobody'\nsandbox = 'off'\n");
        let gateway = start(&[&serve[..], &["--config", &file]].concat());
        gateway.logged("root was given up for good");
        assert!(!reads(&["--reuid=65534", "--regid=65534", "--clear-groups"], gateway.pid()));
    }
}

#[test]
fn the_sandbox_can_be_left_out_but_no_privileges_are_ever_gained() {
    let folder = Scratch::new();
    let file = write(&folder, "sandbox = 'off'\n");
    let gateway = Gateway::serve(([127, 0, 0, 1], 1).into(), &["--config", &file]);
    gateway.logged("sandbox: off, as the configuration says");
    for status in threads(gateway.pid()) {
        assert!(status.contains("\nNoNewPrivs:\t1\n") && status.contains("\nSeccomp:\t0\n"), "{status}");
    }
}

#[tokio::test]
async fn a_reload_that_names_another_folder_asks_for_a_restart_and_one_that_does_not_is_taken() {
    let shop = Node::start("shop.js");
    let (folder, other) = (Scratch::new(), Scratch::new());
    let file = write(&folder, "");
    fs::write(folder.path().join("proxies"), "192.0.2.1\n").unwrap();
    fs::write(other.path().join("proxies"), "192.0.2.1\n").unwrap();
    let gateway = Gateway::serve(shop.address(), &["--config", &file]);
    write(&folder, &format!("trusted_proxies_file = '{}/proxies'\n", other.path().display()));
    gateway.logged(&format!(
        "is in `{}`, where the sandbox of this process does not reach",
        other.path().display()
    ));
    gateway.logged("hint: restart panoply: its sandbox is made of");
    write(&folder, &format!("trusted_proxies_file = '{}/proxies'\n", folder.path().display()));
    gateway.logged("the configuration was read again and holds from now on");
    assert_eq!(gateway.client().get("/").await.status, 200);
}

/// Only a restart gives the file back: whoever is told to write a new one looks in the wrong place.
#[test]
fn a_configuration_that_moved_out_of_reach_asks_for_a_restart() {
    let (folder, other) = (Scratch::new(), Scratch::new());
    let file = write(&folder, "");
    let gateway = Gateway::serve(([127, 0, 0, 1], 1).into(), &["--config", &file]);
    write(&other, "connections = {}\n");
    fs::remove_file(&file).unwrap();
    symlink(other.path().join("panoply.toml"), &file).unwrap();
    gateway.logged(&format!(
        "cannot read `{file}`: Permission denied (os error 13); hint: restart panoply: its sandbox"
    ));
    fs::remove_file(&file).unwrap();
    write(&folder, "connections = {}\n");
    gateway.logged("the configuration was read again and holds from now on");
}

/// Nobody expects that a file of settings beside his keys opens the keys.
#[test]
fn of_a_home_only_the_files_that_are_needed_are_in_reach() {
    let home = Scratch::new();
    let file = write(&home, &format!("access_log = '{}/access.log'\n", home.path().display()));
    fs::write(home.path().join("secret"), "192.0.2.1\n").unwrap();
    let variables = [("HOME", home.path().to_str().unwrap())];
    let arguments = ["serve", "--to", "http://127.0.0.1:1", "--https", "127.0.0.1:0", "--config", &file];
    let gateway = Gateway::start(&arguments, &variables);
    for name in ["panoply.toml", "access.log"] {
        gateway.logged(&format!(
            "it lies in a home, of which the sandbox leaves this one file: what replaces it is out of reach\n\
             hint: move it into a folder of its own, or restart panoply after each change \
             file={}/{name}",
            home.path().display()
        ));
    }
    assert!(!gateway.log().contains("all of that can be read"), "{}", gateway.log());
    // The same file with other words is taken, and what these name is not.
    write(&home, &format!("trusted_proxies_file = '{}/secret'\n", home.path().display()));
    gateway.logged(&format!(
        "is in `{}`, where the sandbox of this process does not reach",
        home.path().display()
    ));
    fs::write(home.path().join("new"), "\n").unwrap();
    fs::rename(home.path().join("new"), &file).unwrap();
    gateway.logged("Permission denied (os error 13); hint: restart panoply: its sandbox");
}

/// That one of his certificates could not be renewed would be worse.
#[test]
fn a_home_that_a_certificate_opens_is_named() {
    let home = Scratch::new();
    let (cert, key) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    write_pair(&cert, &key);
    let variables = [("HOME", home.path().to_str().unwrap())];
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let arguments =
        ["serve", "--to", "http://127.0.0.1:1", "--https", "127.0.0.1:0", "--cert", cert, "--key", key];
    let gateway = Gateway::start(&arguments, &variables);
    gateway.logged(&format!(
        "lies in a home, so all of that can be read from the sandbox\nhint: move the file into a folder of its own \
         home={}",
        home.path().display()
    ));
}

/// Who has been the user of the gateway for a moment must not become root at its next start.
#[test]
fn root_opens_nothing_that_its_user_has_laid_elsewhere() {
    let (folder, logs, roots) = (Scratch::new(), Scratch::new(), Scratch::new());
    let log = logs.path().join("access.log");
    let file = write(&folder, &format!("user = 'nobody'\naccess_log = '{}'\n", log.display()));
    let arguments = ["serve", "--to", "http://127.0.0.1:1", "--https", "127.0.0.1:0", "--config", &file];
    if !low_port().1 {
        let (code, _, stderr) = panoply(&arguments);
        return assert!(code == Some(2) && stderr.contains("start panoply as root for it"), "{stderr}");
    }
    // His folder, as after the first start.
    chown(logs.path(), Some(65534), Some(65534)).unwrap();
    let shadow = roots.path().join("shadow");
    for is_there in [true, false] {
        if is_there {
            fs::write(&shadow, "root\n").unwrap();
            fs::set_permissions(&shadow, fs::Permissions::from_mode(0o600)).unwrap();
        }
        symlink(&shadow, &log).unwrap();
        let stderr = refused(&arguments, &Scratch::new());
        assert!(stderr.contains(&format!("cannot write `{}`: Permission denied", log.display())), "{stderr}");
        assert_eq!(shadow.exists(), is_there);
        fs::remove_file(&log).unwrap();
        let _ = fs::remove_file(&shadow);
    }
    // Nor a key.
    let state = Scratch::new();
    symlink("/etc/shadow", state.path().join("self-made.key")).unwrap();
    lchown(state.path().join("self-made.key"), Some(65534), None).unwrap();
    let stderr = refused(&arguments, &state);
    assert!(stderr.contains("is a link of `nobody`'s, which root would follow"), "{stderr}");

    // What root made itself before there was a `user` becomes his; and he makes the next one.
    fs::write(&log, "").unwrap();
    for _ in 0..2 {
        drop(Gateway::start(&arguments, &[]));
        let made = fs::metadata(&log).unwrap();
        assert_eq!(made.uid(), 65534);
        fs::remove_file(&log).unwrap();
    }
}

/// Only root can become somebody else: whoever is not is told.
#[tokio::test]
async fn root_becomes_the_user_of_the_configuration_and_nobody_else_can() {
    let shop = Node::start("shop.js");
    let folder = Scratch::new();
    let keys = folder.path().join("keys");
    fs::write(&keys, "9XHhfsRAjzEzJXqwJ3hmzFmoEd8MoEDP0kq6iWXAymA=\n").unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    let key = folder.path().join("key.pem");
    write_pair(&folder.path().join("cert.pem"), &key);
    let log = folder.path().join("access.log");
    let (port, is_root) = low_port();
    let file = write(
        &folder,
        &format!(
            "user = 'nobody'\nhttp = '127.0.0.1:{port}'\naccess_log = '{}'\nkeys.file = '{}'\n\
             tls.cert = '{}/cert.pem'\ntls.key = '{}'\n",
            log.display(),
            keys.display(),
            folder.path().display(),
            key.display()
        ),
    );
    let app = format!("http://{}", shop.address());
    let arguments = ["serve", "--to", &app, "--https", "127.0.0.1:0", "--config", &file];
    if !is_root {
        let (code, _, stderr) = panoply(&arguments);
        assert_eq!(code, Some(2));
        assert!(stderr.contains("start panoply as root for it"), "{stderr}");
        return;
    }
    let gateway = Gateway::start(&arguments, &[]);
    gateway.logged("root was given up for good");
    gateway.logged("was read as root, but `nobody` cannot"); // the keys
    let nobody = fs::read_to_string("/etc/passwd").unwrap();
    let nobody = nobody.lines().find_map(|line| line.strip_prefix("nobody:")).unwrap();
    let user = nobody.split(':').nth(1).unwrap();
    for status in threads(gateway.pid()) {
        let (all, none) = (format!("\nUid:\t{user}\t{user}\t{user}\t{user}\n"), "0000000000000000");
        assert!(status.contains(&all), "{status}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert!(status.contains(&format!("\n{set}:\t{none}\n")), "{set}: {status}");
        }
        assert!(status.lines().any(|line| line.starts_with("Groups:") && !line.contains(" 0 ")), "{status}");
    }
    let owner = |path: &Path| fs::metadata(path).unwrap().uid().to_string();
    for path in [gateway.state().path(), &log] {
        assert_eq!(owner(path), user, "{}", path.display());
    }
    assert_eq!(owner(&keys), "0", "what is the operator's stays his");
    let client = Client::trusting(&folder.path().join("cert.pem"), gateway.https());
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(client.ask(get("/etag")).await.status, 200);
    // What he has no right to is told with its mend, and nothing ends.
    let hint = |file: &Path| {
        format!("hint: this process is `nobody`, who may not read it: `chown nobody {}`", file.display())
    };
    write_pair(&folder.path().join("cert.pem"), &key);
    gateway.logged(&format!(
        "cannot read `{}`: what was there before stays in use\n{}",
        key.display(),
        hint(&key)
    ));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    chown(&key, Some(user.parse().unwrap()), None).unwrap();
    gateway.logged("a new certificate is shown from now on");
    gateway.signal("HUP");
    gateway.logged(&format!(
        "cannot read `{}`: Permission denied (os error 13); {}",
        keys.display(),
        hint(&keys)
    ));
    let client = Client::trusting(&folder.path().join("cert.pem"), gateway.https());
    assert_eq!(client.get("/").await.status, 200);
}

/// What one says that does not start; one that does is ended after a while.
fn refused(arguments: &[&str], state: &Scratch) -> String {
    let mut ended = Command::new("timeout");
    ended.arg("60").arg(env!("CARGO_BIN_EXE_panoply")).args(arguments);
    let ended = ended.env("STATE_DIRECTORY", state.path()).output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(2), "{stderr}");
    stderr
}

/// A port that only root can have, and whether we can.
fn low_port() -> (u16, bool) {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let free = (600..1024).rev().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    (free.unwrap_or(1023), is_root)
}

/// A certificate and its key, which only its owner can read.
pub(crate) fn write_pair(cert: &Path, key: &Path) {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(cert, pair.cert.pem()).unwrap();
    fs::write(key, pair.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
}

fn write(folder: &Scratch, text: &str) -> String {
    let file = folder.path().join("panoply.toml");
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

/// What the kernel says of each (proc_pid_status(5)).
fn threads(process: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    // One that has just ended has none any more.
    tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok()).collect()
}
