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
        "inventory/inventory_entry.dump_uptime/*",
        "it says when the dump was made, for a later dump that builds on it",
        "CRIU criu/mem.c, detect_pid_reuse()",
    ),
    line(
        "inventory/inventory_entry.dump_criu_run_id/*",
        "it names the nft table that locks CRIU's own network: the engine's pods bring their network \
         along, and their link is gated by the engine",
        "CRIU criu/netfilter.c, nftables_get_table()",
    ),
    line(
        "timens/timens_entry.*.tv_nsec/value",
        "a nanosecond of a clock that goes on while the pod is held: more has passed",
        "state, the kind clock; CRIU criu/timens.c, prepare_timens()",
    ),
    line(
        "ids/task_kobj_ids_entry.vm_id/value",
        "only the dump writes it: restore never looks at it",
        "CRIU criu/cr-dump.c, dump_task_kobj_ids(), the one place that names it",
    ),
    line(
        "ids/task_kobj_ids_entry.time_ns_id/gone",
        "of a pod in the node's time namespace: CRIU then reads timens-0.img, with the id or without \
         it, and what the clocks read is compared",
        "CRIU criu/cr-restore.c, `prepare_timens(0)`",
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
