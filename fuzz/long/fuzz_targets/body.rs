//! The body that `PANOPLY_BODY` names.
#![no_main]

use std::sync::LazyLock;

static BODY: LazyLock<panoply_fuzz::Body> = LazyLock::new(|| {
    let name = std::env::var("PANOPLY_BODY").unwrap_or_default();
    let known = panoply_fuzz::BODIES.iter().find(|(known, _)| *known == name);
    known.expect("PANOPLY_BODY is one of fuzz/corpus").1
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| (*BODY)(input));
