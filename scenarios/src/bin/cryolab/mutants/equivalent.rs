//! Mutants that change nothing that exists, each with its proof.
//!
//! Only what was looked up stands here: where the kernel or CRIU says so. What a second dump can
//! prove needs no line.

use runner::names;

/// A line of the table.
struct Line {
    /// Names of mutants, without the workload and family.
    mutant: &'static str,
    /// Why the pod is the same with it and without it.
    why: &'static str,
    /// Where that can be read.
    source: &'static str,
}

const fn line(mutant: &'static str, why: &'static str, source: &'static str) -> Line {
    Line { mutant, why, source }
}

const TABLE: &[Line] = &[
    line(
        "inventory/inventory_entry.dump_*",
        "it says when and by which run the dump was made; restore reads neither",
        "CRIU criu/image.c, check_img_inventory()",
    ),
    line(
        "timens/timens_entry.*.tv_nsec/value",
        "a nanosecond of a clock that goes on while the pod is held: more has passed",
        "state, the kind clock; CRIU criu/timens.c, prepare_timens()",
    ),
    line(
        "*.v?sec/value",
        "a nano- or microsecond of what is left of a timer, which runs on: more has passed",
        "state, the kind clock; timerfd_gettime(2)",
    ),
    line(
        "pagemap/pagemap_entry.*",
        "it says where pages are, and each page of the restored tasks was compared",
        "state, the level memory; CRIU criu/pagemap.c, read_pagemap_page()",
    ),
    line(
        "stats/*",
        "a report about the dump, which restore does not open",
        "CRIU criu/stats.c, write_stats()",
    ),
];

/// The proof, if there is one.
pub(super) fn reason(mutant: &str) -> Option<String> {
    let line = TABLE.iter().find(|line| names::fits(line.mutant, mutant))?;
    Some(format!("{} ({})", line.why, line.source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_a_reason_and_a_place_and_means_no_more_than_it_says() {
        assert!(TABLE.iter().all(|line| !line.why.is_empty() && !line.source.is_empty()));
        assert!(reason("stats/stats_entry.dump.frozen_time/value").is_some());
        assert!(reason("core/core_entry.tc.personality/value").is_none());
    }
}
