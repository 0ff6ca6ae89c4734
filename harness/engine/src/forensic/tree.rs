//! Processes in the order of their tree.

use std::collections::BTreeMap;

use super::analysis::{Analysis, Process};

impl Analysis {
    /// The processes, parents before their children, each with how deep it stands. Those whose
    /// parents are not there stand at the top; so do those that are their own ancestors, which an
    /// archive may claim.
    #[must_use]
    pub fn tree(&self) -> Vec<(usize, &Process)> {
        let place = |container: &str, pid| (container.to_owned(), pid);
        let all: BTreeMap<_, _> =
            self.processes.iter().map(|it| (place(&it.container, it.pid), it)).collect();
        let mut children: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, process) in &all {
            let parent = place(&process.container, process.ppid);
            if all.contains_key(&parent) {
                children.entry(parent).or_default().push(key.clone());
            }
        }
        let is_top = |it: &&Process| !all.contains_key(&place(&it.container, it.ppid));
        let tops = all.values().copied().filter(is_top).chain(all.values().copied());
        let (mut rest, mut tree) = (all.clone(), Vec::new());
        for top in tops {
            let mut waiting = vec![(0, place(&top.container, top.pid))];
            while let Some((depth, key)) = waiting.pop() {
                let Some(process) = rest.remove(&key) else { continue };
                tree.push((depth, process));
                let below = children.get(&key).into_iter().flatten().rev();
                waiting.extend(below.map(|child| (depth + 1, child.clone())));
            }
        }
        tree
    }
}
