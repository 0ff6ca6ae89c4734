//! Forensic: checkpoints of a pod that runs on unaware, and a look at copies of them elsewhere.
//!
//! The copies are analysed without a restore, and then one is restored where no wire leads: what it
//! would send reaches nobody. The pod itself serves its client all the time, and proves itself in the
//! end.

use engine::forensic::{Analysis, html};
use model::Phase;
use runner::scenario::{Scenario, Variant, Wants};
use runner::stage::{Befall, NodeName, Stage, Stop};

use crate::{DATA_MIB, judge};

/// The scenario.
pub const FORENSIC: Scenario = Scenario {
    name: "forensic",
    summary: "checkpoint a pod that runs on, analyse copies on another node",
    has_target: false,
    variants: &[SANDBOX],
};

const SANDBOX: Variant = Variant {
    name: "sandbox",
    summary: "two checkpoints are analysed, the second is restored without a network",
    wants: Wants::Nothing,
    activities: &[],
    story: |stage| Box::pin(sandbox(stage)),
};

const SOURCE: NodeName = NodeName("source");
const ANALYSIS: NodeName = NodeName("analysis");
const CLIENT: NodeName = NodeName("client");

async fn sandbox(stage: &mut Stage) -> Result<(), Stop> {
    let is_observed = stage.workload().observer.is_some();
    stage.node(SOURCE, DATA_MIB)?;
    stage.node(ANALYSIS, DATA_MIB)?;
    stage.wire(SOURCE, ANALYSIS)?;
    if is_observed {
        stage.node(CLIENT, DATA_MIB)?;
        stage.wire(CLIENT, SOURCE)?;
        stage.fork(CLIENT).await?;
    }
    stage.fork(SOURCE).await?;
    stage.fork(ANALYSIS).await?;
    if is_observed {
        stage.route(CLIENT, SOURCE).await?;
        stage.forward(ANALYSIS).await?;
    }
    stage.start(SOURCE).await?;
    if is_observed {
        stage.observe(CLIENT).await?;
    }
    stage.checkpoint_unseen(SOURCE).await?;
    stage.checkpoint_running(SOURCE).await?;
    stage.copy_checkpoints(SOURCE, ANALYSIS).await?;
    analyse(stage).await?;
    stage.when(Phase::PreRestore, Befall::Cut(SOURCE, ANALYSIS));
    stage.restore_evidence(ANALYSIS).await?;
    stage.remove_evidence(ANALYSIS).await?;
    judge(stage, SOURCE).await
}

/// Brings the analysis home, as data and as a page, and looks whether it found what the workload
/// says that it holds.
async fn analyse(stage: &mut Stage) -> Result<(), Stop> {
    let json = stage.analyse(ANALYSIS).await?;
    let analysis: Analysis = serde_json::from_str(&json)
        .map_err(|error| Stop::broken(format!("the analysis is none: {error}")))?;
    let text = serde_json::to_string_pretty(&analysis)
        .map_err(|error| Stop::broken(format!("forensic.json: {error}")))?;
    stage.keep("forensic.json", &text)?;
    stage.keep("forensic.html", &html(&analysis))?;
    match missed(&analysis) {
        Some(why) => Err(Stop::failed(why)),
        None => Ok(()),
    }
}

/// What an analysis should have told and did not.
fn missed(analysis: &Analysis) -> Option<String> {
    let unread = analysis.unread.first().map(|it| format!("{}: {}", it.image, it.why));
    let sought = analysis.memory.searched.sought.iter().find(|it| it.found == 0);
    let sought = sought.map(|it| format!("`{}` is nowhere in memory", it.pattern));
    let links = analysis.chain.len();
    let chain = (links != 2).then(|| format!("a chain of {links} archives, expected 2"));
    let broken = engine::forensic::Chain { links: analysis.chain.clone() }.verify(None).err();
    unread.or(sought).or(chain).or(broken.map(|error| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An analysis that found all that was sought, with a chain of as many archives.
    fn analysis(links: usize) -> Analysis {
        let empty = serde_json::json!({
            "format": 1,
            "source": {"archive": "a", "bytes": 1, "sha256": "b", "modified_s": 2, "pod": "p",
                "hostname": "h", "kernel": "6.12", "arch": "x86_64", "criu": "4.1.1"},
            "processes": [], "files": [], "deleted": [], "changed": [], "sockets": [],
            "mappings": [], "chain": [], "unread": [],
            "memory": {"found": [], "searched": {"pages": 1, "bytes": 4096, "most_listed": 1,
                "sought": [{"pattern": "secret", "regex": false, "found": 1}]}},
        });
        let mut analysis: Analysis = serde_json::from_value(empty).expect("an analysis");
        let mut chain = engine::forensic::Chain::default();
        (0..links).for_each(|_| chain.add(&analysis.source));
        analysis.chain = chain.links;
        analysis
    }

    #[test]
    fn what_an_analysis_should_have_told_is_missed() {
        assert_eq!(missed(&analysis(2)), None);
        assert_eq!(missed(&analysis(1)).as_deref(), Some("a chain of 1 archives, expected 2"));
        let mut nothing = analysis(2);
        nothing.memory.searched.sought[0].found = 0;
        assert_eq!(missed(&nothing).as_deref(), Some("`secret` is nowhere in memory"));
        let mut forged = analysis(2);
        forged.chain[0].sha256 = "c".to_owned();
        assert!(missed(&forged).expect("missed").starts_with("link 1 (a): it was changed"));
    }
}
