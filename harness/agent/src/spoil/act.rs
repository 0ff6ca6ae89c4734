//! What can be done, as it travels to the host and back.

use std::collections::BTreeSet;

use model::mutant::{Family, Mutant};
use serde::{Deserialize, Serialize};

use super::outcome::NotPossible;
use super::{
    descriptors, files, image, injected, ipc, limits, memory, mounts, network, queues, schedule,
    settings, sockets, tasks, traced,
};

/// One change.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Act {
    /// None at all.
    Nothing,
    /// What is there already, once more.
    Same(Box<Act>),
    Setting(settings::Setting),
    Limit(limits::Limit),
    Schedule(schedule::Schedule),
    Traced(traced::Traced),
    Task(tasks::Task),
    Descriptor(descriptors::Descriptor),
    Socket(sockets::Socket),
    File(files::Spoiled),
    Ipc(ipc::Ipc),
    Queue(queues::Queue),
    Injected(injected::Injected),
    Mount(mounts::Mount),
    Network(network::Command),
    Memory(memory::Pages),
    Image(image::Edit),
}

impl Act {
    /// Does it, and makes sure that something is another now.
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        match self {
            Act::Nothing => Ok(()),
            Act::Same(act) => match act.carry_out() {
                Ok(()) => anyhow::bail!("this was to change nothing: {act:?}"),
                Err(error) if error.is::<NotPossible>() => Ok(()),
                Err(error) => Err(error),
            },
            Act::Setting(act) => act.carry_out(),
            Act::Limit(act) => act.carry_out(),
            Act::Schedule(act) => act.carry_out(),
            Act::Traced(act) => act.carry_out(),
            Act::Task(act) => act.carry_out(),
            Act::Descriptor(act) => act.carry_out(),
            Act::Socket(act) => act.carry_out(),
            Act::File(act) => act.carry_out(),
            Act::Ipc(act) => act.carry_out(),
            Act::Queue(act) => act.carry_out(),
            Act::Injected(act) => act.carry_out(),
            Act::Mount(act) => act.carry_out(),
            Act::Network(act) => act.carry_out(),
            Act::Memory(act) => act.carry_out(),
            Act::Image(act) => act.carry_out(),
        }
    }
}

/// Mutants while they are being thought of. A name that is there already is not taken again.
#[derive(Debug, Default)]
pub(super) struct Offers {
    names: BTreeSet<String>,
    mutants: Vec<Mutant>,
}

impl Offers {
    /// Offers a change of the live pod.
    pub(super) fn live(&mut self, name: impl Into<String>, what: impl Into<String>, act: &Act) {
        self.add(Family::Live, name.into(), what.into(), false, act);
    }

    /// Offers a change of the pod's memory.
    pub(super) fn memory(&mut self, name: impl Into<String>, what: impl Into<String>, act: &Act) {
        self.add(Family::Memory, name.into(), what.into(), false, act);
    }

    /// Offers a change of an image.
    pub(super) fn image(&mut self, name: impl Into<String>, what: impl Into<String>, act: &Act) {
        self.add(Family::Image, name.into(), what.into(), false, act);
    }

    /// Offers something that changes nothing.
    pub(super) fn control(&mut self, family: Family, name: &str, what: &str, act: &Act) {
        self.add(family, format!("control/{name}"), what.to_owned(), true, act);
    }

    /// Nothing at all is done: what differs then differs by itself.
    pub(super) fn controls(&mut self) {
        for family in [Family::Live, Family::Memory] {
            let name = format!("{family}-untouched");
            self.control(family, &name, "nothing is done", &Act::Nothing);
        }
    }

    /// All of them, in the order of their offering.
    pub(super) fn finish(self) -> Vec<Mutant> {
        self.mutants
    }

    fn add(&mut self, family: Family, name: String, what: String, control: bool, act: &Act) {
        if !self.names.insert(name.clone()) {
            return;
        }
        // It is made of plain data: there is nothing in it that JSON could not say.
        let act = serde_json::to_string(act).unwrap_or_default();
        self.mutants.push(Mutant { name, family, what, control, act });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_acts_come_back_as_they_went() {
        let mut offers = Offers::default();
        offers.controls();
        offers.live("limit/task.1/core", "the limit", &Act::Nothing);
        offers.live("limit/task.1/core", "the same again", &Act::Nothing);
        let mutants = offers.finish();
        assert_eq!(mutants.len(), 3);
        for mutant in mutants {
            let act: Act = serde_json::from_str(&mutant.act).expect("read back");
            assert!(matches!(act, Act::Nothing));
        }
    }

    #[test]
    fn what_is_there_already_changes_nothing() {
        let limit = limits::Limit::of(std::process::id().cast_signed(), "core").expect("a limit");
        let act = Act::Limit(limit);
        assert!(act.carry_out().expect_err("unchanged").is::<NotPossible>());
        Act::Same(Box::new(act)).carry_out().expect("that is what it is for");
    }
}
