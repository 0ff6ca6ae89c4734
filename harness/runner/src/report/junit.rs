//! `junit.xml`: a test case for every cell.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::results::{CellResult, Results};
use crate::verdict::{Cause, Outcome, Standing, causes};

/// Draws the report. What is as expected passes, a known failure too; `failure` is a regression or
/// an unexpected pass, `error` the lab's own fault or an interruption, `skipped` what is not
/// supported and was known not to be.
///
/// # Errors
/// When the report cannot be made into XML.
pub fn junit(results: &Results) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new("cryolab");
    for cell in &results.cells {
        let mut case = TestCase::new(cell.name.clone(), status(cell));
        case.set_classname(format!("{}.{}", cell.scenario, cell.workload));
        if let Some(total) = cell.times_ms.get("total").copied().flatten() {
            case.set_time(Duration::from_millis(total));
        }
        case.set_system_out(details(cell));
        suite.add_test_case(case);
    }
    let mut report = Report::new(format!("cryolab {}", results.run));
    report.add_test_suite(suite);
    report.to_string()
}

fn status(cell: &CellResult) -> TestCaseStatus {
    let kind = match (cell.standing, cell.outcome) {
        (Standing::Expected, Outcome::Unsupported) => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(cell.reason.clone());
            return skipped;
        }
        (Standing::Expected, _) => return TestCaseStatus::success(),
        (Standing::Regression | Standing::UnexpectedPass, _) => NonSuccessKind::Failure,
        (Standing::Broken | Standing::Interrupted, _) => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(cell.outcome.name()).set_message(cell.reason.clone());
    status
}

/// What a person wants to read beside a case: outcome, levels, every difference, the log's end.
fn details(cell: &CellResult) -> String {
    let mut lines = vec![format!("{}: {}", cell.told(), cell.reason)];
    for (level, verdict) in &cell.levels {
        for Cause { cause, follow } in causes(&verdict.differences) {
            let known = cause.known.as_ref().map(|why| format!(" (known: {why})"));
            let kept = cause.kept.as_ref().map(|place| format!(" [{place}]"));
            let (known, kept) = (known.unwrap_or_default(), kept.unwrap_or_default());
            lines.push(format!("{}: {}{known}{kept}", level.name(), cause.in_words()));
            lines.extend(follow.iter().map(|it| format!("    follows: {}", it.in_words())));
        }
    }
    if let Some(trouble) = &cell.trouble {
        lines.extend(trouble.log_tail.iter().chain(&trouble.console_tail).cloned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn junit_of_a_fixed_run() {
        let results = Results::of(&sample::events());
        insta::assert_snapshot!(junit(&results).expect("valid XML"));
    }
}
