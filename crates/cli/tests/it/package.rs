//! What a system gets when panoply is installed on it: manual pages, completions, the Debian package.

use std::fs;
use std::process::Command;

use crate::gateway::panoply;
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

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run scripts/test"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
