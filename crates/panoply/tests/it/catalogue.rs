//! One word per practice, everywhere: the folder, the enum, the keys of the file and the README's table agree.

use std::fs;
use std::path::Path;

use panoply::{Policies, Practice};

#[test]
fn a_practice_has_one_word_everywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut words: Vec<_> = Practice::ALL.iter().map(ToString::to_string).collect();

    let readme = fs::read_to_string(root.join("../../README.md")).unwrap();
    let table: Vec<_> = readme
        .lines()
        .skip_while(|line| !line.starts_with("| practice |"))
        .skip(2)
        .map_while(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(word, _)| word.to_owned())
        .collect();
    assert_eq!(table, words, "the README's table, in the order of the enum");

    for word in &words {
        let read = toml::from_str::<Policies>(&format!("{word} = \"on\""));
        match read {
            Ok(_) => assert_ne!(word, "sessions"),
            Err(error) => {
                assert!(
                    error.to_string().contains("write `Shield::sessions`"),
                    "{word} is a key of [shield]: {error}"
                );
            }
        }
    }

    words.sort();
    let mut files: Vec<_> = fs::read_dir(root.join("src/practices"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".rs").map(ToOwned::to_owned))
        .filter(|name| name != "mod")
        .collect();
    files.sort();
    assert_eq!(files, words, "the files in src/practices");

    for word in &words {
        assert!(root.join(format!("tests/it/{word}.rs")).exists(), "{word} has its tests under its name");
    }
}
