//! What a system gets when panoply is installed on it: manual pages, completions, the Debian package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::client::Client;
use crate::gateway::{Gateway, panoply};
use crate::recorder::Recorder;
use crate::scratch::Scratch;

#[test]
fn every_command_has_a_manual_page_that_mandoc_and_man_accept() {
    let folder = Scratch::new();
    let (code, _, stderr) = panoply(&["man", folder.path().to_str().unwrap()]);
    assert_eq!(code, Some(0), "{stderr}");
    let mut commands = vec![vec![]];
    while let Some(command) = commands.pop() {
        let name = ["panoply"].iter().chain(&command).copied().collect::<Vec<_>>().join("-");
        let page = folder.path().join(format!("{name}.1"));
        // It is a warning that lines which start an item are followed by one that breaks the line.
        let lint = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&page).output();
        let lint = lint.expect("mandoc is installed: run scripts/test");
        assert!(lint.status.success(), "{name}: {}", String::from_utf8_lossy(&lint.stdout));
        let text = plain(&output(Command::new("mandoc").args(["-T", "ascii"]).arg(&page)));
        for part in ["NAME", "SYNOPSIS", "Example:", concat!("panoply ", env!("CARGO_PKG_VERSION"))] {
            assert!(text.contains(part), "{name} has no {part}:\n{text}");
        }
        for below in subcommands(&command) {
            commands.push([command.clone(), vec![Box::leak(below.into_boxed_str())]].concat());
        }
    }
    let (code, _, stderr) = panoply(&["man", "/no/such/folder"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("/no/such/folder") && stderr.contains("hint: "), "{stderr}");
}

#[test]
fn every_shell_accepts_its_completions_and_they_know_every_command() {
    let folder = Scratch::new();
    for (shell, look) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let (code, script, stderr) = panoply(&["completions", shell]);
        assert_eq!(code, Some(0), "{shell}: {stderr}");
        let file = folder.path().join(shell);
        fs::write(&file, &script).unwrap();
        let looked = Command::new(shell).arg(look).arg(&file).output();
        let looked = looked.unwrap_or_else(|_| panic!("{shell} is installed: run scripts/test"));
        assert!(looked.status.success(), "{shell}: {}", String::from_utf8_lossy(&looked.stderr));
        for command in subcommands(&[]) {
            assert!(script.contains(&command), "{shell} does not know `{command}`");
        }
    }
    // What bash does when somebody presses the tab key.
    let ask = "source \"$1\"; COMP_WORDS=(panoply comp); COMP_CWORD=1; _panoply panoply comp panoply; \
               printf '%s' \"${COMPREPLY[*]}\"";
    let completed = output(Command::new("bash").args(["-c", ask, "-"]).arg(folder.path().join("bash")));
    assert_eq!(completed, "completions");
}

#[test]
fn systemd_accepts_the_units_and_finds_little_that_they_leave_open() {
    let (folder, units) = (Scratch::new(), repository().join("packaging/systemd"));
    let mut copies = Vec::new();
    for unit in fs::read_dir(units).unwrap() {
        let unit = unit.unwrap().path();
        let copy = folder.path().join(unit.file_name().unwrap());
        // The program has to be where the unit says.
        let text =
            fs::read_to_string(&unit).unwrap().replace("/usr/bin/panoply", env!("CARGO_BIN_EXE_panoply"));
        fs::write(&copy, text).unwrap();
        copies.push(copy);
    }
    assert_eq!(copies.len(), 3, "{copies:?}");
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&copies).output();
    let verified = verified.expect("systemd-analyze is installed: run scripts/test");
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("panoply"), "{said}");
    let judge = ["security", "--offline=yes", "--threshold=15", "--no-pager"];
    let judged =
        Command::new("systemd-analyze").args(judge).arg(folder.path().join("panoply.service")).output();
    let judged = judged.unwrap();
    assert!(judged.status.success(), "1.5 at most: {}", String::from_utf8_lossy(&judged.stdout));
}

/// In a Debian that has nothing else, made once and kept in target/tmp.
#[tokio::test(flavor = "multi_thread")]
async fn the_package_installs_serves_and_goes_without_a_trace() {
    let package = package();
    let listed = output(Command::new("dpkg-deb").arg("-c").arg(package));
    for (path, mode) in PROMISED {
        let line = listed.lines().find(|line| line.split_whitespace().nth(5) == Some(&format!("./{path}")));
        let line = line.unwrap_or_else(|| panic!("{path} is not in the package:\n{listed}"));
        assert!(line.starts_with(mode) && line.contains(" root/root "), "{mode}: {line}");
    }
    let conffiles = output(Command::new("dpkg-deb").args(["-I"]).arg(package).arg("conffiles"));
    assert_eq!(conffiles, "/etc/logrotate.d/panoply\n/etc/panoply/panoply.toml\n");

    let folder = Scratch::new();
    let root = folder.path().join("root");
    output(as_root("cp").arg("-a").arg(debian()).arg(&root));
    let _removed = Removed(root.clone());
    output(as_root("cp").arg(package).arg(root.join("panoply.deb")));
    let inside = |arguments: &[&str]| output(as_root("chroot").arg(&root).args(arguments));
    let before = files(&root);
    inside(&["dpkg", "-i", "/panoply.deb"]);
    let settings = "/etc/panoply/panoply.toml";
    assert_eq!(inside(&["stat", "-c", "%U:%G %a", settings]), "root:panoply 640\n");
    inside(&["chmod", "0660", settings]);
    assert_eq!(inside(&["dpkg", "--verify", "panoply"]), "", "its sums are those of its files");
    inside(&["dpkg", "-i", "/panoply.deb"]); // an upgrade
    assert_eq!(inside(&["panoply", "--version"]), concat!("panoply ", env!("CARGO_PKG_VERSION"), "\n"));
    inside(&["panoply", "config", "check", "/etc/panoply/panoply.toml"]);
    for (path, rights) in [
        ("/var/lib/panoply", "panoply:panoply 700\n"),
        ("/var/log/panoply", "panoply:adm 750\n"),
        (settings, "root:panoply 660\n"),
    ] {
        assert_eq!(inside(&["stat", "-c", "%U:%G %a", path]), rights, "{path}");
    }

    // As the unit starts it, but for ports that are free on every machine.
    let mut serve = as_root("chroot");
    serve.arg("--userspec=panoply:panoply").arg(&root).args(["panoply", "serve"]);
    serve.args(["--config", "/etc/panoply/panoply.toml", "--https", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let gateway = Gateway::of(&mut serve, Scratch::new().into());
    gateway.logged("sandbox: Landlock ABI ");
    gateway.logged("writes only in /var/lib/panoply, /var/log/panoply");
    let app = Recorder::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    let file = root.join("etc/panoply/panoply.toml");
    let text = fs::read_to_string(&file).unwrap();
    let own = text.replace("http://127.0.0.1:3000", &format!("http://{}", app.address()));
    assert_ne!(text, own);
    fs::write(&file, own).unwrap();
    gateway.logged("the configuration was read again and holds from now on");
    let client = Client::trusting(&root.join("var/lib/panoply/self-made.crt"), gateway.https());
    let answer = client.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "hello"));
    assert_eq!(answer.header("x-frame-options"), "SAMEORIGIN");
    drop(gateway);
    assert!(fs::read_to_string(root.join("var/log/panoply/access.log")).unwrap().contains("\"status\":200"));

    inside(&["dpkg", "-r", "panoply"]);
    assert!(file.exists(), "what the operator wrote stays until he wants it gone");
    assert!(root.join("var/lib/panoply/self-made.key").exists());
    inside(&["dpkg", "-P", "panoply"]);
    let left: Vec<_> = files(&root).into_iter().filter(|file| !before.contains(file)).collect();
    assert_eq!(left, [""; 0], "purged");
    assert!(!fs::read_to_string(root.join("etc/passwd")).unwrap().contains("panoply"));
}

/// Of this build, which the tests have made anyway.
pub(crate) fn package() -> &'static Path {
    static MADE: LazyLock<PathBuf> = LazyLock::new(|| {
        let mut script = Command::new(repository().join("scripts/package"));
        let told = output(script.args(["--binary", env!("CARGO_BIN_EXE_panoply")]));
        repository().join(told.trim_end())
    });
    &MADE
}

/// The smallest Debian that boots, from wherever this machine has its own.
pub(crate) fn debian() -> &'static Path {
    static MADE: LazyLock<PathBuf> = LazyLock::new(make_debian);
    &MADE
}

fn make_debian() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-that-boots");
    let stamp = folder.with_extension("made");
    if stamp.exists() {
        return folder;
    }
    let format =
        ["indextargets", "--format", "$(SITE) $(CODENAME)", "Created-By: Packages", "Origin: Debian"];
    let sources = output(Command::new("apt-get").args(format));
    let main = sources.lines().filter_map(|line| line.split_once(' '));
    let mut found =
        main.filter(|(_, name)| !name.contains('-')).map(|(site, name)| (site.to_owned(), name.to_owned()));
    let (site, name) = found.next_back().expect("apt knows where Debian is: apt-get update");
    output(as_root("rm").arg("-rf").arg(&folder));
    let mut make = as_root("mmdebstrap");
    make.args(["--variant=essential", "--include=adduser,ca-certificates,systemd-sysv"])
        .arg(name)
        .arg(&folder)
        .arg(site);
    output(&mut make);
    fs::write(stamp, "").unwrap();
    folder
}

/// All there is but what dpkg and apt write about themselves, and copies that are kept of the list of users.
fn files(root: &Path) -> Vec<String> {
    let own = "( -path ./var/lib/dpkg -o -path ./var/cache -o -path ./var/log/dpkg.log -o -path ./etc/*- -o -path ./run ) -prune -o -print";
    let listed = output(as_root("find").current_dir(root).arg(".").args(own.split(' ')));
    let mut files: Vec<_> = listed.lines().map(str::to_owned).collect();
    files.sort();
    files
}

/// A folder with files of other users, gone with the test.
pub(crate) struct Removed(pub(crate) PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = as_root("rm").arg("-rf").arg(&self.0).status();
    }
}

/// Packages are for root to install.
pub(crate) fn as_root(program: &str) -> Command {
    use std::os::unix::fs::MetadataExt;
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The commands below `command`, as its help lists them.
fn subcommands(command: &[&str]) -> Vec<String> {
    let (code, help, stderr) = panoply(&[command, &["--help"]].concat());
    assert_eq!(code, Some(0), "{command:?}: {stderr}");
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| line.starts_with("  "));
    let words = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    words.filter(|word| !word.is_empty() && *word != "help").map(str::to_owned).collect()
}

/// Bold letters are written twice, with a backspace in between.
fn plain(page: &str) -> String {
    let mut plain = String::new();
    for letter in page.chars() {
        if letter == '\u{8}' {
            plain.pop();
        } else {
            plain.push(letter);
        }
    }
    plain
}

pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run scripts/test"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a package of panoply has, and with which rights.
const PROMISED: &[(&str, &str)] = &[
    ("usr/bin/panoply", "-rwxr-xr-x"),
    ("usr/lib/systemd/system/panoply.service", "-rw-r--r--"),
    ("usr/lib/systemd/system/panoply-https.socket", "-rw-r--r--"),
    ("usr/lib/systemd/system/panoply-http.socket", "-rw-r--r--"),
    ("etc/panoply/panoply.toml", "-rw-r--r--"),
    ("etc/logrotate.d/panoply", "-rw-r--r--"),
    ("usr/share/man/man1/panoply.1.gz", "-rw-r--r--"),
    ("usr/share/man/man1/panoply-serve.1.gz", "-rw-r--r--"),
    ("usr/share/bash-completion/completions/panoply", "-rw-r--r--"),
    ("usr/share/zsh/vendor-completions/_panoply", "-rw-r--r--"),
    ("usr/share/fish/vendor_completions.d/panoply.fish", "-rw-r--r--"),
    ("usr/share/doc/panoply/copyright", "-rw-r--r--"),
    ("usr/share/doc/panoply/changelog.Debian.gz", "-rw-r--r--"),
    ("usr/share/doc/panoply/LIBRARIES.gz", "-rw-r--r--"),
];
