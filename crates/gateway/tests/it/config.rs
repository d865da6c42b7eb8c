//! The configuration file: what it accepts, what it refuses, and in which words.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail the test")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use panoply::{Guard, Policies, Practice};
use panoply_gateway::config::{Config, HostName};
use proptest::prelude::*;

/// `golden/*.toml` holds what is wrong, `*.txt` what is said about it. `PANOPLY_BLESS=1` writes the latter.
#[test]
fn a_mistake_is_answered_with_its_place_and_its_mend() {
    let bless = std::env::var_os("PANOPLY_BLESS").is_some();
    let mut different = String::new();
    let mut seen = 0;
    for file in golden() {
        let text = fs::read_to_string(&file).unwrap();
        let said = match Config::parse(&text) {
            Ok(_) => "no error\n".to_owned(),
            Err(error) => format!("{error}\n"),
        };
        let expected_in = file.with_extension("txt");
        if bless {
            fs::write(&expected_in, &said).unwrap();
        }
        let expected = fs::read_to_string(&expected_in).unwrap_or_default();
        if said != expected {
            let name = file.file_name().unwrap().to_string_lossy();
            writeln!(different, "{name}:\n{}", diff(&expected, &said)).unwrap();
        }
        seen += 1;
    }
    assert!(different.is_empty(), "PANOPLY_BLESS=1 accepts what is new:\n{different}");
    assert!(seen >= 25, "{seen} golden files are not all of them");
}

#[test]
fn no_answer_shows_a_key() {
    for file in golden() {
        let Err(error) = Config::parse(&fs::read_to_string(&file).unwrap()) else { continue };
        for secret in ["9XHhfsRAjzEzJXqwJ3hmzFmoEd8MoEDP0kq6iWXAymA=", "keyboard cat", "12345678901234567"] {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(secret), "{}: {shown}", file.display());
        }
    }
    let config = Config::parse("keys = ['9XHhfsRAjzEzJXqwJ3hmzFmoEd8MoEDP0kq6iWXAymA=']").unwrap();
    assert!(format!("{config:?}").contains("Keys(1 key, [secret])"), "{config:?}");
}

#[test]
fn every_answer_says_where_what_and_how_to_mend_it() {
    for file in golden() {
        let Err(error) = Config::parse(&fs::read_to_string(&file).unwrap()) else { continue };
        let name = file.display();
        assert!(!error.message().is_empty() && !error.hint().is_empty(), "{name}");
        assert!(!error.message().ends_with('.') && !error.hint().ends_with('.'), "{name}");
        assert!(!error.message().starts_with(char::is_uppercase), "{name}");
        assert_eq!(error.to_string().lines().count(), 2, "{name}: {error}");
        let elsewhere = error.in_file(Path::new("/etc/shop.toml")).to_string();
        assert!(elsewhere.starts_with("error: /etc/shop.toml:"), "{name}: {elsewhere}");
    }
}

/// The crate ships the file of the repository: within it stands a link, which packaging follows.
#[test]
fn the_example_is_the_file_at_the_root() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../panoply.example.toml");
    assert_eq!(fs::read_to_string(root).unwrap(), Config::EXAMPLE);
}

#[test]
fn the_example_holds_every_default() {
    let example = Config::parse(Config::EXAMPLE).unwrap_or_else(|error| panic!("{error}"));
    let mut default = Config::default();
    default.shield = as_by_default();
    assert_eq!(format!("{example:#?}"), format!("{default:#?}"));
    for practice in in_the_file() {
        assert!(Config::EXAMPLE.contains(&format!("\n{practice} = ")) || has_table(practice), "{practice}");
    }
}

#[test]
fn the_example_is_still_right_when_all_of_it_is_taken() {
    let config = Config::parse(&uncommented()).unwrap_or_else(|error| panic!("{error}"));
    assert!(config.http.is_some() && config.tls.cert.is_some() && config.state.is_some());
    assert!(
        matches!(config.sites.as_slice(), [site] if site.upstream.len() == 2 && site.rules[0].upstream.len() == 1)
    );
}

/// A setting that is added to a struct has to be added to the example, too.
#[test]
fn the_example_shows_every_setting_there_is() {
    let shown: toml::Table = uncommented().parse().unwrap();
    for (header, path) in [
        ("", ""),
        ("[connections]", "connections"),
        ("[tls]", "tls"),
        ("[tls.acme]", "tls.acme"),
        ("[[site]]\n[site.tls]", "site.tls"),
        ("[store]", "store"),
        ("[shield]", "shield"),
        ("[[site]]", "site"),
        ("[[site]]\n[site.upstreams]", "site.upstreams"),
        ("[[site]]\n[site.maintenance]", "site.maintenance"),
        ("[[site]]\n[[site.rule]]", "site.rule"),
    ] {
        assert_eq!(keys_at(&shown, path), settings_of(header), "{header}");
    }
    for practice in in_the_file() {
        let path = format!("shield.{practice}");
        let mut keys = keys_at(&shown, &path);
        keys.remove("mode");
        assert_eq!(keys, settings_of(&format!("[{path}]")), "[{path}]");
    }
}

#[test]
fn a_file_says_what_is_served() {
    let config = Config::parse(
        r#"
        https = "[::]:443"
        http = "0.0.0.0:80"
        trusted_proxies = ["10.0.0.0/8", "192.0.2.1"]
        state = "/var/lib/panoply"

        [tls]
        cert = "shop.pem"
        key = "shop.key"

        [shield]
        csrf = "observe"

        [[site]]
        hosts = ["Shop.example", "*.shop.example"]
        upstream = ["http://127.0.0.1:3000", "http://app"]

        [[site.rule]]
        path = "/API/*"
        upstream = ["http://127.0.0.1:3100", "http://127.0.0.1:3101"]
        shield.csrf.mode = "off"

        [[site]]
        hosts = ["blog.example"]
        upstream = "http://[::1]:4000"
        "#,
    )
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.https.to_string(), "[::]:443");
    assert_eq!(config.http.map(|http| http.addr().port()), Some(80));
    assert_ne!(config.trusted_proxies, panoply::TrustedProxies::default());
    assert_eq!(config.state.as_deref(), Some(Path::new("/var/lib/panoply")));
    assert_eq!(config.tls.cert.as_deref(), Some(Path::new("shop.pem")));
    assert_eq!(config.shield.csrf.as_ref().map(Guard::state), Some("observe"));
    let [shop, blog] = config.sites.as_slice() else { panic!("{:?}", config.sites) };
    assert_eq!(
        shop.hosts.iter().map(HostName::as_str).collect::<Vec<_>>(),
        ["shop.example", "*.shop.example"]
    );
    assert_eq!(shop.upstream.len(), 2);
    assert_eq!(shop.rules[0].path.to_string(), "/API/*");
    assert_eq!(shop.rules[0].upstream[1].port(), 3101);
    assert_eq!(shop.rules[0].shield.csrf.as_ref().map(Guard::state), Some("off"));
    assert_eq!((blog.upstream[0].host(), blog.upstream[0].port()), ("::1", 4000));
}

proptest! {
    /// What is cut, doubled, swapped or overwritten in a good file is answered, never panicked at.
    #[test]
    fn any_text_is_answered(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..40usize, "[\\PC\\n]{0,6}"), 1..6),
    ) {
        let mut text: Vec<char> = uncommented().chars().collect();
        for (at, length, new) in edits {
            let start = at.index(text.len() + 1);
            let end = (start + length).min(text.len());
            text.splice(start..end, new.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = Config::parse(&text) {
            prop_assert!(error.line() <= text.lines().count().max(1) + 1);
            prop_assert_eq!(error.to_string().lines().count(), 2, "{}", error);
        }
    }

    #[test]
    fn any_value_is_answered(key in key(), value in value()) {
        let _ = Config::parse(&format!("{key} = {value}"));
        let _ = Config::parse(&format!("[[site]]\n{key} = {value}"));
        let _ = Config::parse(&format!("[[site]]\n[[site.rule]]\n{key} = {value}"));
    }
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "https",
        "http",
        "trusted_proxies",
        "tls",
        "tls.cert",
        "tls.key",
        "state",
        "keys",
        "admin",
        "admin_token",
        "store",
        "store.url",
        "store.machines",
        "shield",
        "shield.cookies.rename",
        "shield.cookies.seal",
        "shield.csrf",
        "shield.csrf.mode",
        "site",
        "hosts",
        "upstream",
        "upstreams",
        "upstreams.health",
        "upstreams.waiting",
        "maintenance",
        "maintenance.allow",
        "rule",
        "path",
        "shield.rate_limit",
        "x",
    ])
    .prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    let single = prop_oneof![
        "\"[a-z0-9:/.*%\\[\\]-]{0,20}\"",
        "'[^'\\n\\r]{0,12}'",
        any::<i64>().prop_map(|number| number.to_string()),
        any::<bool>().prop_map(|on| on.to_string()),
        Just("1979-05-27T07:32:00Z".to_owned()),
        Just("1.5".to_owned()),
    ];
    single.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            (key(), inner).prop_map(|(key, value)| format!("{{ {key} = {value} }}")),
        ]
    })
}

fn golden() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|ext| ext == "toml")).collect();
    files.sort();
    files
}

fn diff(expected: &str, said: &str) -> String {
    let lines = |text: &str, mark| text.lines().map(|line| format!("  {mark} {line}\n")).collect::<String>();
    format!("{}{}", lines(expected, '-'), lines(said, '+'))
}

/// The example with the settings that have no default: `#key = …` and `#[table]`, where prose has `# `.
fn uncommented() -> String {
    let is_setting = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    let line = |line: &str| match line.strip_prefix('#') {
        Some(setting) if is_setting(setting) => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    Config::EXAMPLE.lines().map(line).collect()
}

/// Each practice in its state of the default shield, with the settings that a missing key means.
fn as_by_default() -> Policies {
    let shield = panoply::Shield::in_front();
    let state = |practice| format!("{practice} = \"{}\"\n", shield.state(practice).0);
    let lines: String = in_the_file().map(state).collect();
    toml::from_str(&lines).unwrap()
}

/// An app's sessions are set in its code alone; the file's answer to the key says so.
fn in_the_file() -> impl Iterator<Item = Practice> {
    Practice::ALL.into_iter().filter(|practice| !practice.is_set_in_code_alone())
}

fn has_table(practice: Practice) -> bool {
    Config::EXAMPLE.contains(&format!("\n[shield.{practice}]\n"))
}

/// The keys of a table of the file; of a list of tables, those of the first.
fn keys_at(file: &toml::Table, path: &str) -> BTreeSet<String> {
    let mut table = file;
    for key in path.split('.').filter(|key| !key.is_empty()) {
        let value = match &table[key] {
            toml::Value::Array(items) => &items[0],
            value => value,
        };
        match value {
            toml::Value::Table(inner) => table = inner,
            _ => return BTreeSet::new(), // a practice in its short form
        }
    }
    table.keys().cloned().collect()
}

/// The settings there are in a table, as the error about one that is not tells.
fn settings_of(header: &str) -> BTreeSet<String> {
    let error = Config::parse(&format!("{header}\nno-such-setting = 0")).unwrap_err();
    assert_eq!(error.message(), "there is no such setting", "{error}");
    let Some(list) = error.hint().strip_prefix("there is `") else { return BTreeSet::new() };
    list.split('`').step_by(2).map(str::to_owned).collect()
}
