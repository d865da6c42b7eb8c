//! The package on a machine that boots: systemd as its first process, in namespaces of its own and a clean Debian.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::package::{Removed, as_root, debian, output, package};
use crate::scratch::Scratch;

#[test]
fn systemd_starts_reloads_restarts_and_upgrades_it_and_no_visitor_is_refused() {
    let machine = Machine::boot();
    let app = machine
        .beside("python3", &["-m", "http.server", "3000", "--bind", "127.0.0.1", "--directory"])
        .arg(machine.www.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _app = Ended(app.unwrap());
    machine.run(&["dpkg", "-i", "/panoply.deb"]);
    assert_eq!(machine.property("ActiveState"), "inactive", "where the app is, only the operator knows");

    machine.run(&["systemctl", "enable", "--now", HTTPS, HTTP, SERVICE]);
    assert_eq!(machine.property("StatusText"), "serving https on [::]:443");
    let answer = machine.ask("https://127.0.0.1/");
    assert!(
        answer.contains(" 200") && answer.contains("x-frame-options") && answer.ends_with("hello"),
        "{answer}"
    );
    assert!(machine.ask("http://127.0.0.1/").contains(" 301"));
    // The journal is written beside.
    machine.until("the sandbox is told", || {
        machine.run(&["journalctl", "--unit", SERVICE]).contains("sandbox: Landlock ABI ")
    });

    // What is refused on a reload is told, and served is what was before.
    let (file, main) = (machine.root.join("etc/panoply/panoply.toml"), machine.property("MainPID"));
    let good = fs::read_to_string(&file).unwrap();
    for (text, status) in [
        (format!("{good}nonsense = 1\n"), "the new configuration is refused"),
        (good, "serving https on [::]:443"),
    ] {
        fs::write(&file, text).unwrap();
        machine.run(&["systemctl", "reload", SERVICE]);
        machine.until(status, || machine.property("StatusText").starts_with(status));
        assert_eq!(machine.property("MainPID"), main);
        assert!(machine.ask("https://127.0.0.1/").ends_with("hello"));
    }

    let visitor = machine.beside("bash", &["-c", VISITOR]).stdout(Stdio::piped()).spawn();
    let mut visitor = Ended(visitor.unwrap());
    for command in [&["systemctl", "restart", SERVICE][..], &["dpkg", "-i", "/panoply.deb"]] {
        let main = machine.property("MainPID");
        machine.run(command);
        assert_ne!(machine.property("MainPID"), main, "{command:?} starts it anew");
        sleep(Duration::from_secs(1));
    }
    fs::write(machine.www.path().join("leave"), "").unwrap();
    let mut met = String::new();
    visitor.0.stdout.take().unwrap().read_to_string(&mut met).unwrap();
    let met: Vec<u32> = met.split_whitespace().map(|count| count.parse().unwrap()).collect();
    assert!(met[0] > 5 && met[1] == 0, "answered, refused: {met:?}");

    // One that hangs is ended and started anew.
    let folder = machine.root.join("etc/systemd/system/panoply.service.d");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("own.conf"), "[Service]\nWatchdogSec=5s\n").unwrap();
    machine.run(&["systemctl", "daemon-reload"]);
    machine.run(&["systemctl", "restart", SERVICE]);
    machine.run(&["systemctl", "kill", "--kill-who=main", "--signal=STOP", SERVICE]);
    machine.until("a new start", || machine.property("NRestarts") == "1");
    machine.until("it serves again", || machine.property("StatusText").starts_with("serving"));
    assert!(machine.ask("https://127.0.0.1/").ends_with("hello"));
    fs::remove_dir_all(&folder).unwrap();

    machine.run(&["dpkg", "-P", "panoply"]);
    assert_eq!(machine.run(&["systemctl", "list-units", "--all", "--legend=no", "panoply*"]), "");
    assert_eq!(machine.run(&["find", "/etc", "-name", "*panoply*"]), "");
    assert_eq!(machine.run(&["systemctl", "is-system-running"]), "running\n");
}

struct Machine {
    root: PathBuf,
    /// What its app serves.
    www: Scratch,
    first: String,
    boot: Child,
    _folder: (Removed, Scratch),
}

impl Machine {
    fn boot() -> Self {
        let (folder, www) = (Scratch::new(), Scratch::new());
        let root = folder.path().join("root");
        output(as_root("cp").arg("-a").arg(debian()).arg(&root));
        output(as_root("cp").arg(package()).arg(root.join("panoply.deb")));
        fs::write(www.path().join("index.html"), "hello").unwrap();
        let mut boot = as_root("unshare");
        boot.args(["--mount", "sh", "-c", BOOT, "boot"]).arg(&root).arg(START);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut boot = boot.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(boot.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let first = first.trim().to_owned();
        let machine = Self { root: root.clone(), www, first, boot, _folder: (Removed(root), folder) };
        machine.until("it is up", || {
            let state = machine.inside(&["systemctl", "is-system-running"]).output().unwrap();
            state.stdout == b"running\n"
        });
        machine
    }

    fn inside(&self, command: &[&str]) -> Command {
        let mut inside = as_root("nsenter");
        inside.args(["--target", &self.first, "--all", "--root", "--wd=/", "env", "-i", PATH]).args(command);
        inside
    }

    /// In its network alone, with this machine's programs.
    fn beside(&self, program: &str, arguments: &[&str]) -> Command {
        let mut beside = as_root("nsenter");
        beside.args(["--target", &self.first, "--net", program]).args(arguments);
        beside
    }

    fn run(&self, command: &[&str]) -> String {
        output(&mut self.inside(command))
    }

    fn property(&self, name: &str) -> String {
        self.run(&["systemctl", "show", "--value", "--property", name, SERVICE]).trim().to_owned()
    }

    fn ask(&self, url: &str) -> String {
        output(&mut self.beside("curl", &["--silent", "--show-error", "--insecure", "--include", url]))
    }

    fn until(&self, what: &str, is: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(180);
        while !is() {
            let log = || fs::read_to_string(self.root.with_file_name("log")).unwrap();
            assert!(Instant::now() < deadline, "{what}: {}", log());
            sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // With the first process all others end.
        let _ = as_root("kill").args(["-s", "KILL", &self.first]).status();
        let _ = self.boot.wait();
    }
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SERVICE: &str = "panoply.service";
const HTTPS: &str = "panoply-https.socket";
const HTTP: &str = "panoply-http.socket";
const PATH: &str = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";

/// Prints the number of the first process, as this machine counts; leaves no group of processes behind.
const BOOT: &str = r#"
set -e
groups=$1/sys/fs/cgroup
mount -t sysfs sysfs "$1/sys"
mount -t cgroup2 cgroup2 "$groups"
mkdir "$groups/panoply-$$"
echo $$ >"$groups/panoply-$$/cgroup.procs"
unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child sh -c "$2" start "$1" &
until pgrep --parent $!; do sleep 0.1; done
wait || true
echo $$ >"$groups/cgroup.procs"
find "$groups/panoply-$$" -depth -type d -exec rmdir {} +
"#;

/// A root, and what the kernel shows of itself there; then systemd, which takes this for a container.
const START: &str = r#"
set -e
cd "$1"
mount --bind . .
cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
  : >dev/$device
  mount --bind /dev/$device dev/$device
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
ip link set lo up
mkdir -p old
pivot_root . old
umount -l /old
exec env -i container=panoply PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=console
"#;

/// One who comes again and again until he is told to leave, and counts who was there and who was not.
const VISITOR: &str = r#"
answered=0 refused=0
until curl -sk --max-time 30 https://127.0.0.1/leave --fail -o /dev/null; do
  if curl -sk --max-time 30 https://127.0.0.1/ --fail -o /dev/null; then answered=$((answered + 1)); else refused=$((refused + 1)); fi
done
echo $answered $refused
"#;
