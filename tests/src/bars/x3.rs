//! X3: scripted exchanges with the ADS server, both protocol variants: what goes out, in which order, and what a
//! client's ACK or NACK changes (promise P37). A script is played in a moment, so both lengths play all of them.

use std::path::Path;

use anyhow::Result;
use outrigger_xds::script::{self, Report};

use super::{Figure, Length};

/// Exchanges that there must be.
const AT_LEAST: usize = 45;

/// Runs the bar.
pub async fn run(_: Length) -> Result<Figure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xds/tests/exchanges");
    let report = script::run_folder(&folder);
    for failure in &report.failed {
        println!("{failure}");
    }
    Ok(judge(&report))
}

/// The figure for a report: enough exchanges, of both variants, and every one as written.
fn judge(report: &Report) -> Figure {
    let of = |variant: &str| {
        report
            .passed
            .iter()
            .filter(|title| title.ends_with(variant))
            .count()
    };
    let (sotw, delta) = (of("[sotw]"), of("[delta]"));
    let (passed, failed) = (report.passed.len(), report.failed.len());
    Figure {
        line: format!(
            "X3: {} exchanges ({sotw} state of the world, {delta} delta): {passed} passed, {failed} failed",
            passed + failed
        ),
        holds: passed >= AT_LEAST && sotw > 0 && delta > 0 && failed == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(sotw: usize, delta: usize, failing: &str) -> Report {
        let mut report = Report::default();
        report
            .passed
            .extend((0..sotw).map(|number| format!("{number} [sotw]")));
        report
            .passed
            .extend((0..delta).map(|number| format!("{number} [delta]")));
        if !failing.is_empty() {
            report.add("x.txt", failing);
        }
        report
    }

    #[test]
    fn enough_exchanges_of_both_variants_hold() {
        let figure = judge(&report(20, 25, ""));

        assert!(figure.holds);
        assert_eq!(
            figure.line,
            "X3: 45 exchanges (20 state of the world, 25 delta): 45 passed, 0 failed"
        );
    }

    #[test]
    fn one_variant_alone_too_few_exchanges_or_a_failed_one_do_not() {
        assert!(!judge(&report(50, 0, "")).holds);
        assert!(!judge(&report(0, 50, "")).holds);
        assert!(!judge(&report(20, 24, "")).holds);

        let wrong = "## nothing is sent [delta]\n= 1 | cds a=1\n> cds node\n< node\n";
        let figure = judge(&report(30, 30, wrong));

        assert!(!figure.holds);
        assert!(
            figure
                .line
                .ends_with("61 exchanges (30 state of the world, 30 delta): 60 passed, 1 failed")
        );
    }
}
