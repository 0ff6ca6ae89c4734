//! Wires between a story's nodes, and what befalls them at a phase.

use model::Phase;
use vm::wire::Shape;

use super::{NodeName, Stage, Stop};
use crate::event::Event;

/// What befalls a wire, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Befall {
    /// What is on it and what is sent from now on is lost, silently.
    Cut(NodeName, NodeName),
    /// It is whole again.
    Heal(NodeName, NodeName),
    /// Frames fare like this from now on.
    Shape(NodeName, NodeName, Shape),
}

impl Befall {
    fn ends(self) -> (NodeName, NodeName) {
        match self {
            Befall::Cut(a, b) | Befall::Heal(a, b) | Befall::Shape(a, b, _) => (a, b),
        }
    }

    fn in_words(self) -> String {
        let (a, b) = self.ends();
        match self {
            Befall::Cut(..) => format!("the wire between {a} and {b} is cut"),
            Befall::Heal(..) => format!("the wire between {a} and {b} is healed"),
            Befall::Shape(_, _, shape) => format!("the wire between {a} and {b} is {shape}"),
        }
    }
}

impl Stage {
    /// Joins two nodes by a wire, before they start. Where that is wanted, all frames on it go to
    /// a pcapng file in the cell's folder.
    ///
    /// # Errors
    /// When there is no such node, or the file cannot be written.
    pub fn wire(&mut self, a: NodeName, b: NodeName) -> Result<(), Stop> {
        let file = self.folder().join(format!("wire-{a}-{b}.pcapng"));
        let captured = self.setting.pcap;
        if self.is_retold {
            return Ok(());
        }
        let is_there = self.is_open();
        let lab = self.lab()?;
        if !is_there {
            lab.wire(a.0, b.0)?;
        }
        if captured {
            lab.switch().capture(a.0, b.0, &file).map_err(vm::Error::from)?;
        }
        Ok(())
    }

    /// At this phase, once capture A or the like is taken and before hooks run, this befalls a
    /// wire.
    pub fn when(&mut self, phase: Phase, befall: Befall) {
        if !self.is_retold {
            self.befalls.push((phase, befall));
        }
    }

    /// Lets happen what is to happen at a phase.
    pub(super) fn befall(&mut self, phase: Phase) -> Result<(), Stop> {
        let now = self.befalls.iter().filter(|(at, _)| *at == phase);
        for befall in now.map(|(_, befall)| *befall).collect::<Vec<_>>() {
            let (a, b) = befall.ends();
            let switch = self.lab()?.switch();
            for (from, to) in [(a.0, b.0), (b.0, a.0)] {
                let done = match befall {
                    Befall::Cut(..) => switch.cut(from, to),
                    Befall::Heal(..) => switch.heal(from, to),
                    Befall::Shape(_, _, shape) => switch.shape(from, to, shape),
                };
                done.map_err(vm::Error::from)?;
            }
            self.emit(Event::WireChanged { cell: self.cell(), phase, what: befall.in_words() });
        }
        Ok(())
    }

    /// Bytes of frames that went from one node to another so far.
    pub(super) fn carried(&mut self, from: NodeName, to: NodeName) -> Result<u64, Stop> {
        let directions = self.lab()?.switch().directions();
        let direction = directions.iter().find(|it| (&*it.from, &*it.to) == (from.0, to.0));
        let unwired = || Stop::broken(format!("there is no wire from {from} to {to}"));
        Ok(direction.ok_or_else(unwired)?.traffic.bytes)
    }

    /// Ends the captures of all wires, and tells what they carried.
    pub(super) fn end_wires(&mut self) -> Result<(), Stop> {
        let Some(lab) = &self.lab else { return Ok(()) };
        let wires: Vec<(&str, &str)> = lab.wires().collect();
        if wires.is_empty() {
            if self.setting.pcap {
                let text = "--pcap captures nothing: this scenario has no wire".to_owned();
                self.emit(Event::CellNote { cell: self.cell(), text });
            }
            return Ok(());
        }
        let bytes = lab.switch().directions().iter().map(|it| it.traffic.bytes).sum();
        self.emit(Event::WiresCarried { cell: self.cell(), bytes });
        if self.setting.pcap {
            for (a, b) in wires {
                lab.switch().stop_capture(a, b).map_err(vm::Error::from)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_befalls_a_wire_is_told_in_words() {
        let (a, b) = (NodeName("a"), NodeName("b"));
        let shape = "loss=20%".parse().expect("a shape");
        let told = [Befall::Cut(a, b), Befall::Heal(a, b), Befall::Shape(a, b, shape)]
            .map(Befall::in_words);
        assert_eq!(
            told,
            [
                "the wire between a and b is cut",
                "the wire between a and b is healed",
                "the wire between a and b is loss=20%"
            ]
        );
    }
}
