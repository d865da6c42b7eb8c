use panoply_inspect::audit::baseline::Baseline;
use panoply_inspect::audit::fix::manifest::Manifest;
use panoply_inspect::audit::fix::{Override, Raise};
use panoply_inspect::audit::ignore::Ignores;
use panoply_inspect::audit::pattern::Pattern;
use serde_json::Value;

use crate::text;

/// What somebody ignores is read or refused with a line that is there.
pub fn ignores(input: &[u8]) {
    let text = text(input);
    if let Err(error) = Ignores::parse(text) {
        assert!((1..=text.matches('\n').count() + 1).contains(&error.line), "{error}");
    }
    if let Ok(pattern) = text.parse::<Pattern>() {
        assert_eq!(pattern.to_string().parse::<Pattern>(), Ok(pattern));
    }
}

/// An earlier report, or something else.
pub fn baseline(input: &[u8]) {
    let _ = Baseline::parse(text(input));
}

/// A change of a manifest changes that, and leaves JSON.
pub fn manifest(input: &[u8]) {
    let before = text(input);
    let mut manifest = Manifest::new(before.to_owned());
    let one = Override { asker: "a".to_owned(), name: "z".to_owned(), to: "^1.3.0".to_owned() };
    if manifest.add_override(&one).is_ok() {
        let after: Value = serde_json::from_str(manifest.as_str()).expect("JSON stays JSON");
        assert_eq!(after.pointer("/overrides/a/z"), Some(&Value::from("^1.3.0")), "{before}");
        assert!(manifest.add_override(&one).is_err(), "{before}");
    }
    let mut manifest = Manifest::new(before.to_owned());
    let (from, to) = ("1.2.0".to_owned(), "^1.3.0".to_owned());
    if manifest.raise(&Raise { folder: String::new(), name: "z".to_owned(), from, to }).is_ok() {
        let after: Value = serde_json::from_str(manifest.as_str()).expect("JSON stays JSON");
        let lists = ["/dependencies/z", "/devDependencies/z", "/optionalDependencies/z"];
        let raised = Value::from("^1.3.0");
        assert!(lists.iter().any(|list| after.pointer(list) == Some(&raised)), "{before}");
    }
}
