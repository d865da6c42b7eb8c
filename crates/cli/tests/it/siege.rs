//! The siege of `bench/siege`, for a short while: all attacks at once, and nobody beside them notices.

use std::path::Path;

use crate::process::Process;

#[test]
fn all_attacks_at_once_take_place_and_no_visitor_fails() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/siege/run");
    let output = Process::command(script)
        .args(["--seconds", "15", "--calm", "4", "--megabytes", "5"])
        .env("PANOPLY", env!("CARGO_BIN_EXE_panoply"))
        .output()
        .unwrap();
    let [page, said] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{said}\n{page}");
    for told in ["| rapid reset |", "panoply_store_outages_total", "reason=\"framing\"", "reason=\"flood\""] {
        assert!(page.contains(told), "{told}:\n{page}");
    }
}
