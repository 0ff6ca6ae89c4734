//! How threads are scheduled: nice value, policy, flags, processors, I/O.

use serde::{Deserialize, Serialize};

use super::act::{Act, Offers};
use super::outcome::{changed, refused};
use super::pod::{Pod, Thread};
use super::sys::{self, SchedAttr};

/// A change of a thread's scheduling.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Schedule {
    tid: i32,
    change: Change,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Nice(i32),
    Policy { policy: u32, priority: u32 },
    ResetOnFork,
    UtilMin(u32),
    Slice(u64),
    Processor(usize),
    IoPriority(i64),
}

const CHANGES: [(&str, Change); 11] = [
    ("nice", Change::Nice(7)),
    ("nice-negative", Change::Nice(-3)),
    ("policy-batch", Change::Policy { policy: 3, priority: 0 }),
    ("policy-idle", Change::Policy { policy: 5, priority: 0 }),
    ("policy-fifo", Change::Policy { policy: 1, priority: 3 }),
    ("policy-rr", Change::Policy { policy: 2, priority: 5 }),
    ("reset-on-fork", Change::ResetOnFork),
    ("util-min", Change::UtilMin(200)),
    ("slice", Change::Slice(1_000_000)),
    ("affinity", Change::Processor(0)),
    // Class and level: best effort at the lowest level.
    ("ioprio", Change::IoPriority(2 << 13 | 7)),
];

pub(super) fn offer(pod: &Pod, offers: &mut Offers) -> anyhow::Result<()> {
    for thread in pod.living().flat_map(|task| &task.threads) {
        for (name, change) in CHANGES {
            of(thread, name, change, offers);
        }
        of(thread, "ioprio-idle", Change::IoPriority(3 << 13), offers);
    }
    Ok(())
}

fn of(thread: &Thread, name: &str, change: Change, offers: &mut Offers) {
    let what = format!("{} is scheduled otherwise: {change:?}", thread.name);
    let act = Act::Schedule(Schedule { tid: thread.tid, change });
    offers.live(format!("schedule/{}/{name}", thread.name), what, &act);
}

impl Schedule {
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        let before = self.seen()?;
        self.set().map_err(|error| refused("the scheduler", error))?;
        changed("the scheduling", &before, &self.seen()?)
    }

    fn set(&self) -> std::io::Result<()> {
        const RESET_ON_FORK: u64 = 1;
        const CLAMP_MIN: u64 = 0x20;
        const KEEP_ALL: u64 = 0x18;
        let attr = sys::scheduling(self.tid)?;
        let attr = match self.change {
            Change::Processor(cpu) => return sys::pin(self.tid, cpu),
            Change::IoPriority(value) => return sys::set_io_priority(self.tid, value),
            Change::Nice(nice) => SchedAttr { nice, ..attr },
            Change::Policy { policy, priority } => SchedAttr { policy, priority, ..attr },
            Change::ResetOnFork => SchedAttr { flags: attr.flags | RESET_ON_FORK, ..attr },
            Change::UtilMin(util_min) => {
                SchedAttr { flags: CLAMP_MIN | KEEP_ALL, util_min, ..attr }
            }
            Change::Slice(runtime) => SchedAttr { runtime, ..attr },
        };
        sys::set_scheduling(self.tid, &attr)
    }

    fn seen(&self) -> std::io::Result<(SchedAttr, Vec<u8>, i64)> {
        Ok((sys::scheduling(self.tid)?, sys::processors(self.tid)?, sys::io_priority(self.tid)?))
    }
}
