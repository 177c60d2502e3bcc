//! Runs the scripted ADS exchanges of `tests/exchanges` (bar X3).

use std::path::Path;

use outrigger_xds::script;

#[test]
fn every_scripted_exchange_goes_as_written() {
    let report = script::run_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exchanges"));

    assert!(report.failed.is_empty(), "{report}");
    assert!(report.passed.len() >= 45, "{report}");
    for variant in ["[sotw]", "[delta]"] {
        let count = report
            .passed
            .iter()
            .filter(|title| title.ends_with(variant))
            .count();
        assert!(count >= 20, "only {count} exchanges {variant}");
    }
}

#[test]
fn a_wrong_expectation_is_reported_with_its_line() {
    let mut report = script::Report::default();

    report.add(
        "x.txt",
        "## nothing is sent [delta]\n= 1 | cds a=1\n> cds node\n< node\n",
    );

    assert_eq!(
        report.to_string().lines().next(),
        Some("x.txt:3: nothing is sent [delta]")
    );
    assert!(report.to_string().contains("cds a=1 nonce=1"), "{report}");
    assert!(report.to_string().ends_with("0 exchanges passed, 1 failed"));
}

#[test]
fn a_line_that_cannot_be_read_is_reported_with_its_number() {
    let mut report = script::Report::default();

    report.add("x.txt", "## fine [sotw]\n? what\n");

    let said = report.to_string();
    assert!(said.starts_with("x.txt:2: the script can be read"), "{said}");
    assert!(said.contains("unknown mark \"?\""), "{said}");
}

#[test]
fn a_folder_without_scripts_is_a_failure() {
    let report = script::run_folder(Path::new("no/such/folder"));

    assert_eq!(report.failed.len(), 1);
}
