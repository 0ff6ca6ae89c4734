//! Resource limits, by `prlimit(2)` from outside.

use anyhow::Context;
use model::mutant::Family;
use serde::{Deserialize, Serialize};

use super::act::{Act, Offers};
use super::outcome::{changed, refused};
use super::pod::Pod;
use super::sys;

/// Names of the limits, by their number.
const NAMES: [&str; 16] = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
];

/// A limit that is to be set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Limit {
    pid: i32,
    resource: u32,
    soft: u64,
    hard: u64,
}

pub(super) fn offer(pod: &Pod, offers: &mut Offers) -> anyhow::Result<()> {
    for task in pod.living() {
        for name in NAMES {
            let limit = Limit::of(task.pid, name)?;
            let (soft, hard) = limit.lowered();
            if (soft, hard) == (limit.soft, limit.hard) {
                continue;
            }
            let what =
                format!("limit {name} of {}: {} -> {soft}:{hard}", task.name, limit.in_words());
            let act = Act::Limit(Limit { soft, hard, ..limit });
            offers.live(format!("limit/{}/{name}", task.name), what, &act);
        }
    }
    let same = Act::Same(Box::new(Act::Limit(Limit::of(pod.init()?, "core")?)));
    offers.control(Family::Live, "live-limit", "a limit is set to what it is", &same);
    Ok(())
}

impl Limit {
    /// A limit as it is.
    pub(super) fn of(pid: i32, name: &str) -> anyhow::Result<Limit> {
        let resource = NAMES.iter().position(|known| *known == name).context("no such limit")?;
        let resource = u32::try_from(resource)?;
        let (soft, hard) = sys::limit(pid, resource, None).context("prlimit")?;
        Ok(Limit { pid, resource, soft, hard })
    }

    /// Another value that every process may be given: one less where there is something to take
    /// away, else one more.
    fn lowered(&self) -> (u64, u64) {
        match (self.soft, self.hard) {
            (0, 0) => (0, 1),
            (0, hard) => (1, hard),
            (u64::MAX, hard) => (1 << 40, hard),
            (soft, hard) => (soft - 1, hard),
        }
    }

    fn in_words(&self) -> String {
        format!("{}:{}", self.soft, self.hard)
    }

    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        let before = sys::limit(self.pid, self.resource, None)?;
        sys::limit(self.pid, self.resource, Some((self.soft, self.hard)))
            .map_err(|error| refused("prlimit", error))?;
        changed("the limit", &before, &sys::limit(self.pid, self.resource, None)?)
    }
}
