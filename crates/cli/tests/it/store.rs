use std::process::{Command, Output};

use crate::scratch::Scratch;

fn panoply(arguments: &[&str], environment: Option<&str>) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panoply"));
    command.arg("store").args(arguments).env_remove("PANOPLY_STORE");
    let Output { status, stdout, stderr } =
        command.envs(environment.map(|url| ("PANOPLY_STORE", url))).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_store_that_works_is_told_from_one_that_does_not_and_no_password_is_shown() {
    let scratch = Scratch::new();
    let file = format!("file:{}", scratch.path().join("sessions").display());
    for (url, code, said) in [
        ("memory", 0, "a session was written, changed, read and destroyed"),
        (&file, 0, "a session was written, changed, read and destroyed"),
        ("redis://:hunter2@127.0.0.1:1", 2, "hint: does it run"),
        ("postgres://ann:hunter2@127.0.0.1:1/shop", 2, "hint: does it run"),
        ("postgres://ann:hunter2@127.0.0.1:1/shop?sslmode=prefer", 2, "hint: write sslmode=verify-full"),
        ("mongodb://ann:hunter2@127.0.0.1", 2, "hint: write memory"),
        ("file:/nowhere/sessions", 2, "hint: name a file in a folder that is there"),
        ("", 2, "hint: write its URL, or set PANOPLY_STORE"),
    ] {
        for (ended, stdout, stderr) in [panoply(&["check", url], None), panoply(&["check"], Some(url))] {
            assert_eq!(ended, Some(code), "{url}: {stdout}{stderr}");
            let (out, silent) = if code == 0 { (&stdout, &stderr) } else { (&stderr, &stdout) };
            assert!(out.contains(said) && silent.is_empty(), "{url}: {stdout}{stderr}");
            assert!(!stderr.contains("hunter2"), "{url}: {stderr}");
        }
    }
}

#[test]
fn the_sql_of_a_migration_can_be_read_before_it_is_run() {
    let url = "postgres://ann:hunter2@127.0.0.1:1/shop";
    let (code, sql, _) = panoply(&["migrate", "--print", "--schema", "web", "--table", "logins", url], None);
    assert_eq!(code, Some(0));
    for part in [
        r#"CREATE TABLE IF NOT EXISTS "web"."logins" ("#,
        r#""expire" timestamp(6) NOT NULL"#,
        r#"REFERENCES "web"."logins" ("sid") ON DELETE CASCADE"#,
    ] {
        assert!(sql.contains(part), "{part}: {sql}");
    }
    let (code, _, stderr) = panoply(&["migrate", url], None);
    assert_eq!((code, stderr.contains("hunter2")), (Some(2), false), "{stderr}");
    assert_eq!(panoply(&["migrate", "memory"], None).0, Some(0));
}
