//! Sessions that Express and this share: the real packages are asked the same, and the two take turns.

mod bad_input;
mod contents;
mod in_cookie;
mod in_store;
mod one_login;
mod presented;
mod recorder;
mod shop;
mod visits;

use panoply::Keys;

/// Express's own example, and one that was replaced.
fn keys() -> Keys {
    Keys::danger_short(SECRETS).unwrap()
}

const SECRETS: [&str; 2] = ["keyboard cat", "the cat before"];
