//! What cannot be is refused at once: one error with the place and the mend, exit code 2, nothing half started.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::gateway::panoply;
use crate::scratch::Scratch;

#[test]
fn each_wrong_start_is_one_error_with_the_mend() {
    let folder = Scratch::new();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &str, mode: u32| {
        fs::write(path(name), text).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    write("empty.pem", "", 0o600);
    write("open.key", "", 0o644);
    write("unknown.toml", "[shield]\ncsfr = \"on\"\n", 0o600);
    write("sites.toml", "[[site]]\nhosts = [\"a.example\"]\nupstream = \"http://127.0.0.1:1\"\n", 0o600);
    write("keys.toml", "keys = { env = 'SHOP_KEYS_NOBODY_SET' }\nshield.cookies = { seal = ['sid'] }", 0o600);
    write("no_keys.toml", "keys = { file = '/no/such/keys' }\nshield.cookies = { seal = ['sid'] }", 0o600);
    write("user.toml", "user = 'nobody_knows_him'", 0o600);
    write("nobody.toml", "user = 'nobody'", 0o600);
    write("group.toml", "group = 'nogroup'", 0o600);
    write("root.toml", "user = 'root'", 0o600);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let app = "http://127.0.0.1:1";

    for (arguments, says) in [
        (vec!["serve"], "nothing says where the app is"),
        (vec!["serve", "--to", "localhost:3000"], "--to"),
        (vec!["serve", "--to", "ftp://localhost"], "--to"),
        (vec!["serve", "--to", app, "--https", "nowhere"], "--https"),
        (vec!["serve", "--to", app, "--https", &taken], "cannot listen on"),
        (vec!["serve", "--to", app, "--host", "https://shop.example"], "--host"),
        (
            vec![
                "serve",
                "--to",
                app,
                "--https",
                "127.0.0.1:0",
                "--cert",
                &path("none"),
                "--key",
                &path("empty.pem"),
            ],
            "none",
        ),
        (
            vec![
                "serve",
                "--to",
                app,
                "--https",
                "127.0.0.1:0",
                "--cert",
                &path("empty.pem"),
                "--key",
                &path("empty.pem"),
            ],
            "is empty",
        ),
        (
            vec![
                "serve",
                "--to",
                app,
                "--https",
                "127.0.0.1:0",
                "--cert",
                &path("empty.pem"),
                "--key",
                &path("open.key"),
            ],
            "that others can read",
        ),
        (vec!["serve", "--config", &path("unknown.toml")], "did you mean `csrf`"),
        (vec!["serve", "--to", app, "--config", &path("keys.toml")], "`SHOP_KEYS_NOBODY_SET` is not set"),
        (vec!["serve", "--to", app, "--config", &path("no_keys.toml")], "`/no/such/keys` cannot be read"),
        (vec!["serve", "--to", app, "--config", &path("sites.toml")], "every site of the file has its own"),
        (vec!["serve", "--to", app, "--config", &path("user.toml")], "there is no user `nobody_knows_him`"),
        (vec!["config", "check", &path("group.toml")], "without a `user`"),
        (vec!["config", "check", &path("root.toml")], "the user `root` is root"),
        (vec!["config", "check", &path("unknown.toml")], "did you mean `csrf`"),
        (vec!["config", "check", &path("none.toml")], "cannot read"),
        (vec!["run", "--config", &path("nobody.toml"), "--", "true"], "`user` is for `panoply serve`"),
        (vec!["run", "--https", "127.0.0.1:0", "--", "/no/such/program"], "/no/such/program"),
        (vec!["run", "--https", &taken, "--", "true"], "cannot listen on"),
    ] {
        let (code, stdout, stderr) = panoply(&arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert_eq!(stdout, "", "{arguments:?}");
        assert_eq!(stderr.matches("error: ").count(), 1, "{arguments:?}: {stderr}");
        assert_eq!(stderr.matches("hint: ").count(), 1, "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_certificate_goes_with_its_key() {
    for given in ["--cert", "--key"] {
        let (code, _, stderr) = panoply(&["serve", "--to", "http://127.0.0.1:1", given, "x.pem"]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("--cert") && stderr.contains("--key"), "{stderr}");
    }
}

#[test]
fn the_default_file_is_right_and_every_command_has_an_example() {
    let folder = Scratch::new();
    let (code, text, _) = panoply(&["config", "default"]);
    assert_eq!(code, Some(0));
    let file = folder.path().join("panoply.toml");
    fs::write(&file, text).unwrap();
    assert_eq!(panoply(&["config", "check", file.to_str().unwrap()]).0, Some(0));

    for command in [
        &[][..],
        &["demo"],
        &["run"],
        &["serve"],
        &["config"],
        &["config", "check"],
        &["config", "default"],
        &["explain"],
        &["replay"],
        &["completions"],
        &["man"],
    ] {
        let (code, help, _) = panoply(&[command, &["--help"]].concat());
        assert_eq!(code, Some(0), "{command:?}");
        assert!(help.contains("Example:\n"), "{command:?}: {help}");
    }
}

#[test]
fn a_practice_is_explained_by_its_own_word() {
    for practice in panoply::Practice::ALL {
        let (code, text, stderr) = panoply(&["explain", practice.name()]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{practice}");
        let table = format!("\n[shield.{practice}]\nmode = ");
        for part in ["**Stops**", "**Leaves**", "**Defaults", "\nin front of an app o"] {
            assert!(text.contains(part), "{practice} {part}: {text}");
        }
        // An app's sessions are set in its code.
        assert_eq!(text.contains(&table), !practice.is_set_in_code_alone(), "{practice}: {text}");
        assert!(!text.contains("]("), "{practice}: {text}");
    }
    let (code, stdout, stderr) = panoply(&["explain", "helmet"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("headers"), "the words that there are: {stderr}");
}
