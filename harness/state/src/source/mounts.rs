//! Mounts of each mount namespace, by their mount points.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::facts::Facts;
use crate::pod::Pod;
use crate::read;

/// `/proc/PID/mountinfo` of the first task of each mount namespace.
pub(crate) fn pod(pod: &Pod<'_>, facts: &mut Facts) -> Result<()> {
    let mut seen = BTreeSet::new();
    for task in pod.tasks().filter(|task| !task.zombie) {
        let namespace = read::link(task.proc().join("ns/mnt"))?;
        let root = read::link(task.proc().join("root"))?;
        if seen.insert((namespace, root)) {
            let text = read::text(task.proc().join("mountinfo"))?;
            text.lines().for_each(|line| mount(&task.name, line, facts));
        }
    }
    Ok(())
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn mount(task: &str, line: &str, facts: &mut Facts) {
    let words: Vec<&str> = line.split(' ').collect();
    let dash = words.iter().position(|word| *word == "-").unwrap_or(words.len());
    let word = |index: usize| words.get(index).copied().unwrap_or_default();
    let name = facts.unused(&format!("{task}.mount.{}", word(4)), "options");
    let (super_options, layers) = layers_apart(word(dash + 3));
    for (key, value) in [
        ("mount_id", word(0)),
        ("parent_id", word(1)),
        ("device", word(2)),
        ("root", word(3)),
        ("options", word(5)),
        ("fstype", word(dash + 1)),
        ("source", word(dash + 2)),
        ("super_options", &super_options),
        ("layers", &layers),
    ] {
        facts.put(format!("{name}.{key}"), value);
    }
    let optional = words.get(6..dash).unwrap_or_default();
    let kinds: Vec<&str> =
        optional.iter().map(|word| word.split(':').next().unwrap_or(word)).collect();
    facts.put(format!("{name}.propagation"), kinds.join(" "));
    for (kind, group) in optional.iter().filter_map(|word| word.split_once(':')) {
        facts.put(format!("{name}.propagation.{kind}"), group);
    }
}

/// Options of a super block, and those that say where on the node an overlay's layers are.
fn layers_apart(options: &str) -> (String, String) {
    let layer = |option: &&str| {
        ["lowerdir", "upperdir", "workdir", "datadir"].iter().any(|head| option.starts_with(head))
    };
    let (layers, rest): (Vec<&str>, Vec<&str>) = options.split(',').partition(layer);
    (rest.join(","), layers.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_an_overlay_stand_apart() {
        let (rest, layers) = layers_apart("rw,lowerdir=/a,upperdir=/b,workdir=/c,xino=off");
        assert_eq!(rest, "rw,xino=off");
        assert_eq!(layers, "lowerdir=/a,upperdir=/b,workdir=/c");
    }

    #[test]
    fn a_second_mount_on_one_point_has_a_name_of_its_own() {
        let mut facts = Facts::default();
        let line = "36 35 0:30 / /x rw shared:4 master:1 - tmpfs tmpfs rw";
        mount("task.1", line, &mut facts);
        mount("task.1", line, &mut facts);
        assert!(facts.facts.contains_key("task.1.mount./x.fstype"));
        assert!(facts.facts.contains_key("task.1.mount./x#2.fstype"));
        assert!(facts.facts.contains_key("task.1.mount./x.propagation.shared"));
    }
}
