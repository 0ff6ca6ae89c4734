//! What system calls tell about the scheduling of a thread.

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::{Pod, Task, Thread};
use crate::sys;

pub(crate) fn thread(_: &Pod<'_>, _: &Task, thread: &Thread, facts: &mut Facts) -> Result<()> {
    let failed = |call| move |error| Error::call(call, &thread.name, error);
    let attr = sys::sched_getattr(thread.tid).map_err(failed("sched_getattr"))?;
    let mut put = |field: &str, value: u64| {
        facts.put(format!("{}.sched.{field}", thread.name), value);
    };
    put("sched_policy", attr.policy.into());
    put("sched_flags", attr.flags);
    put("sched_priority", attr.priority.into());
    put("sched_runtime", attr.runtime);
    put("sched_deadline", attr.deadline);
    put("sched_period", attr.period);
    put("sched_util_min", attr.util_min.into());
    put("sched_util_max", attr.util_max.into());

    let priority = sys::ioprio_get(thread.tid).map_err(failed("ioprio_get"))?;
    let (class, level) = (priority >> 13, priority & 0x1fff);
    facts.put(format!("{}.ioprio", thread.name), format!("class {class} level {level}"));
    let (head, length) = sys::robust_list(thread.tid).map_err(failed("get_robust_list"))?;
    facts.put(format!("{}.robust_list", thread.name), format!("{head:#x}+{length}"));
    Ok(())
}
