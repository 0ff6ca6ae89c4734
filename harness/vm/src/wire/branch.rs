//! A cut through running machines at one instant, for branches.
//!
//! The order is what makes the cut consistent: first nothing is delivered any more, then the machines
//! are stopped, one after the other, then what they had still sent is read. So no machine has seen a
//! frame that another sent after its own stop. The fabric's clock stands meanwhile, so that each frame
//! needs as long as before.

use std::io;
use std::sync::PoisonError;
use std::time::Duration;

use super::error::Error;
use super::fabric::{Direction, Fabric};
use super::state::State;
use super::switch::Switch;

/// How long machines are given to read what was written to them before the wires were held.
const GRACE: Duration = Duration::from_secs(1);

/// Wires that are held: no machine gets anything, what they send is taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Nodes that did not read, within a second, what they had been sent before. In a branch these
    /// frames are lost at the card; here they are still read when the machine gets to it.
    pub unread: Vec<String>,
}

/// All that was on its way at one instant, with the wires, what they have learned, and the state
/// of chance: everything that a branch needs to go on like the original.
#[derive(Clone, Debug)]
pub struct InFlight {
    fabric: Fabric,
    now: Duration,
}

impl InFlight {
    /// How many frames were on their way.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.fabric.frames()
    }

    /// The wires.
    #[must_use]
    pub fn directions(&self) -> Vec<Direction> {
        self.fabric.directions()
    }
}

impl Switch {
    /// Stops delivering, and the time of all wires, until [`go_on`](Self::go_on). Returns once all
    /// machines have read what they had been sent, within a second at most. What they send is still
    /// taken in, and fares as if sent at this instant.
    ///
    /// Stop the machines after this, and not before: a stopped QEMU does not read.
    #[must_use]
    pub fn hold(&self) -> Held {
        let mut state = self.shared.lock();
        state.clock.stop();
        self.shared.ring();
        let unread = |state: &mut State| !state.unread().is_empty();
        let waited = self.shared.turned.wait_timeout_while(state, GRACE, unread);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let names = state.unread().into_iter().map(|node| state.fabric.name(node).to_owned());
        Held { unread: names.collect() }
    }

    /// All that is on its way, after the machines were stopped; what they had sent last is read
    /// first.
    ///
    /// # Errors
    ///
    /// The wires are not held.
    pub fn in_flight(&self) -> Result<InFlight, Error> {
        let mut state = self.shared.lock();
        if !state.clock.stands() {
            return Err(Error::NotHeld);
        }
        state.drain();
        Ok(InFlight { fabric: state.fabric.branch(), now: state.clock.now() })
    }

    /// Delivers again. Machines that were to go on from a branch and are not plugged by now count as
    /// switched off.
    pub fn go_on(&self) {
        self.shared.with(|state| {
            state.fabric.go_on();
            state.clock.go_on();
        });
    }

    /// Another switch with exactly this on its way, held. Plug the machines in and start them, then
    /// let it [`go_on`](Self::go_on). Captures are not taken along.
    ///
    /// # Errors
    ///
    /// The host has no more threads or descriptors.
    pub fn resume(from: &InFlight) -> io::Result<Switch> {
        Switch::run(State::new(from.fabric.clone(), from.now))
    }
}
