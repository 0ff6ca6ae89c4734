//! What operations leave behind on a node: nothing. A node is looked at when it starts, and again at
//! the end; what is there then and belongs to no pod was left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::message::{Place, Reply, Request};
use tokio::time::{Instant, sleep};
use vm::Guest;

use super::phases::last_line;
use super::{GRACE, NodeName, REQUEST, Stage, Stop, millis, unexpected};
use crate::verdict::plain;

/// Things of a node, a line each, without what lives below the engine's own folder and cgroup.
/// A frozen cgroup is told wherever it is. `/run/criu.kdat` is what CRIU knows of the kernel;
/// `/run/mount` and `/run/xtables.lock` are mount(8)'s and iptables' own.
const THINGS: &str = r#"
set -e
export LC_ALL=C
awk '$5 !~ "^/run/cryolab/" {
    for (dash = 7; $dash != "-"; dash++);
    options = $(dash + 1) == "cgroup2" ? " " $6 " " $(dash + 3) : ""
    print "mount " $5 " (" $(dash + 1) ")" options
}' /proc/self/mountinfo
tables=$(nft list tables)
[ -z "$tables" ] || echo "$tables" | sed 's/^/nft /'
for kind in ip ip6; do
    names=/proc/net/${kind}_tables_names
    [ ! -e $names ] || sed "s/^/$kind table /" $names
done
find /sys/fs/cgroup -ignore_readdir_race -path /sys/fs/cgroup/cryolab -prune -o -type d -printf 'cgroup %p\n'
find /sys/fs/cgroup -ignore_readdir_race -name cgroup.freeze -exec grep -qx 1 {} ';' -printf 'frozen cgroup %h\n'
find /run -ignore_readdir_race -mindepth 1 '(' -path /run/cryolab -o -path /run/mount ')' -prune -o \
    -path /run/criu.kdat -o -path /run/xtables.lock -o -printf 'file %p\n'
find /tmp -ignore_readdir_race -maxdepth 1 -name '.criu*' -printf 'file %p\n'
echo "hostname $(cat /proc/sys/kernel/hostname)"
processes=$(ps -e -o pid= -o ppid= -o cgroup= -o args=)
echo "$processes" | awk -v me=$$ '
    $1 != me && $2 != me && $3 !~ "/cryolab/" && $4 !~ /^\[/ && $4 != "/proc/self/exe" {
        $1 = $2 = $3 = ""
        sub(/^ +/, "")
        print "process " $0
    }'
"#;

/// How long a process may take to end.
const ENDING: Duration = Duration::from_secs(10);

/// Between two looks at processes that are ending.
const PAUSE: Duration = Duration::from_millis(200);

/// Things that are told of a node at most.
const TOLD: usize = 5;

/// Things of nodes as they were when they started.
pub(super) type Things = BTreeMap<NodeName, BTreeSet<String>>;

impl Stage {
    /// Looks at what there is on a node before anything happens there.
    pub(super) async fn note_things(&mut self, name: NodeName) -> Result<(), Stop> {
        let things = things(&self.guest(name)?).await?;
        self.things.insert(name, things);
        Ok(())
    }

    /// Looks whether the nodes that run are as they were when they started, for a while where
    /// processes are still ending.
    ///
    /// # Errors
    /// What was left on one of them, by name.
    pub async fn check_hygiene(&mut self) -> Result<(), Stop> {
        let until = Instant::now() + self.on_host(ENDING);
        for (name, before) in &self.things {
            let Ok(guest) = self.guest(*name) else { continue };
            loop {
                let left: Vec<String> = things(&guest).await?.difference(before).cloned().collect();
                let is_ending = left.iter().all(|thing| thing.starts_with("process "));
                match left.as_slice() {
                    [] => break,
                    _ if is_ending && Instant::now() < until => sleep(PAUSE).await,
                    left => return Err(Stop::failed(in_words(*name, left))),
                }
            }
        }
        Ok(())
    }
}

async fn things(guest: &Guest) -> Result<BTreeSet<String>, Stop> {
    let run = Request::Run {
        place: Place::Node,
        command: ["/bin/sh", "-c", THINGS].map(str::to_owned).to_vec(),
        env: BTreeMap::new(),
        deadline_ms: millis(REQUEST),
    };
    match guest.request(run, REQUEST + GRACE).await? {
        Reply::Exited { code: 0, stdout, .. } => {
            Ok(String::from_utf8_lossy(&stdout).lines().map(plain).collect())
        }
        Reply::Exited { code, stdout, stderr } => {
            let said = last_line(&stderr, &stdout);
            Err(Stop::broken(format!("looking at what is on a node ended with code {code}{said}")))
        }
        other => Err(unexpected("looking at what is on a node", &other)),
    }
}

fn in_words(name: NodeName, left: &[String]) -> String {
    let told = left.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
    match left.len().saturating_sub(TOLD) {
        0 => format!("left on {name}: {told}"),
        more => format!("left on {name}: {told} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_told_up_to_a_point() {
        let left: Vec<String> = (1..=7).map(|number| format!("mount /{number}")).collect();
        let node = NodeName("source");
        assert_eq!(in_words(node, &left[..1]), "left on source: mount /1");
        assert!(in_words(node, &left).ends_with("mount /5 and 2 more"));
    }
}
