//! The handle of a switch.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::capture::Capture;
use super::error::Error;
use super::fabric::{Direction, Fabric, Traffic};
use super::port::Port;
use super::shape::Shape;
use super::state::State;
use super::thread::{self, Shared};

/// A switch that runs. Clones are the same switch; with the last of them it ends, and machines see
/// their end of the wire closed.
#[derive(Clone, Debug)]
pub struct Switch {
    pub(super) shared: Arc<Shared>,
    _running: Arc<Running>,
}

/// Ends the thread when it is dropped.
#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// How it stands with a node's plug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plug {
    /// No machine is there: none was plugged, or it is gone.
    Out,
    /// A machine is there.
    In,
    /// The machine was shut out, for what it sent.
    Shut {
        /// What was wrong.
        why: String,
    },
}

impl Switch {
    /// Starts a switch without nodes or wires; chance on its wires comes from `seed`.
    ///
    /// # Errors
    ///
    /// The host has no more threads or descriptors.
    pub fn start(seed: u64) -> io::Result<Switch> {
        let switch = Switch::run(State::new(Fabric::new(seed), Duration::ZERO))?;
        switch.go_on();
        Ok(switch)
    }

    /// Runs what there is, held.
    pub(super) fn run(state: State) -> io::Result<Switch> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = EventFd::from_value_and_flags(0, flags)?;
        let shared = Arc::new(Shared::new(state, bell));
        let theirs = Arc::clone(&shared);
        let run = move || thread::run(&theirs);
        let thread = std::thread::Builder::new().name("wires".to_owned()).spawn(run)?;
        let running = Running { shared: Arc::clone(&shared), thread: Some(thread) };
        Ok(Switch { shared, _running: Arc::new(running) })
    }

    /// Plugs a machine in at a node and gives the end that its QEMU inherits, for `-netdev
    /// stream,server=off,addr.type=fd,addr.str=NUMBER`. A machine that was there before is unplugged:
    /// this is how a node comes back from a reboot.
    ///
    /// # Errors
    ///
    /// The host has no more descriptors.
    pub fn plug(&self, node: &str) -> io::Result<OwnedFd> {
        let (port, theirs) = Port::new()?;
        self.shared.with(|state| {
            let node = state.fabric.node(node);
            state.fabric.plug(node);
            state.shut.remove(&node);
            state.ports.insert(node, port);
        });
        Ok(theirs)
    }

    /// Pulls the plug of a node. What arrives for it from now on is dropped.
    pub fn unplug(&self, node: &str) {
        self.shared.with(|state| {
            let node = state.fabric.node(node);
            state.fabric.unplug(node);
            state.shut.remove(&node);
            state.ports.remove(&node);
        });
    }

    /// How it stands with a node's plug.
    #[must_use]
    pub fn plugged(&self, node: &str) -> Plug {
        let state = self.shared.lock();
        let Some(node) = state.fabric.find(node) else { return Plug::Out };
        match state.shut.get(&node) {
            Some(why) => Plug::Shut { why: why.clone() },
            None if state.ports.contains_key(&node) => Plug::In,
            None => Plug::Out,
        }
    }

    /// Joins two nodes by a clean wire; nothing happens when there is one.
    ///
    /// # Errors
    ///
    /// They are the same node.
    pub fn wire(&self, a: &str, b: &str) -> Result<(), Error> {
        self.shared.with(|state| state.fabric.wire(a, b))
    }

    /// From now on frames in this direction fare like this; those on their way arrive as they would
    /// have, and may be overtaken.
    ///
    /// # Errors
    ///
    /// There is no such wire. So it is with all that follow.
    pub fn shape(&self, from: &str, to: &str, shape: Shape) -> Result<(), Error> {
        self.shared.with(|state| state.fabric.shape(from, to, shape))
    }

    /// From now on chance in this direction comes from this seed. The other direction may be given
    /// the same and fares differently.
    pub fn reseed(&self, from: &str, to: &str, seed: u64) -> Result<(), Error> {
        self.shared.with(|state| state.fabric.reseed(from, to, seed))
    }

    /// Cuts this direction: what is on its way and what is sent from now on is lost, silently. Both
    /// cards still see a carrier.
    pub fn cut(&self, from: &str, to: &str) -> Result<(), Error> {
        self.shared.with(|state| state.fabric.cut(from, to))
    }

    /// Heals this direction.
    pub fn heal(&self, from: &str, to: &str) -> Result<(), Error> {
        self.shared.with(|state| state.fabric.heal(from, to))
    }

    /// What went through this direction.
    pub fn traffic(&self, from: &str, to: &str) -> Result<Traffic, Error> {
        self.shared.lock().fabric.traffic(from, to)
    }

    /// All wires, each direction on its own, in the order in which they were laid.
    #[must_use]
    pub fn directions(&self) -> Vec<Direction> {
        self.shared.lock().fabric.directions()
    }

    /// Writes all frames on the wire between two nodes to a pcapng file: an interface for each
    /// direction, each frame when it is sent, with a comment when it is lost, doubled or held back.
    /// The file is whole whenever the switch has nothing to do. A capture that there was of this
    /// wire ends.
    ///
    /// # Errors
    ///
    /// There is no such wire, or the file cannot be written.
    pub fn capture(&self, a: &str, b: &str, file: &Path) -> Result<(), Error> {
        self.shared.with(|state| {
            state.fabric.traffic(a, b)?;
            let (at_a, at_b) = (state.fabric.node(a), state.fabric.node(b));
            let capture = Capture::create(file, [(at_a, a), (at_b, b)])?;
            state.fabric.watch(a, b, true)?;
            state.fabric.watch(b, a, true)?;
            state.captures.retain(|it| !it.is_between(at_a, at_b));
            state.captures.push(capture);
            Ok(())
        })
    }

    /// Ends the capture of a wire; its file is whole then.
    ///
    /// # Errors
    ///
    /// The wire is not captured, or its file could not be written, some time since it was begun.
    pub fn stop_capture(&self, a: &str, b: &str) -> Result<(), Error> {
        self.shared.with(|state| {
            state.fabric.watch(a, b, false)?;
            state.fabric.watch(b, a, false)?;
            let (at_a, at_b) = (state.fabric.node(a), state.fabric.node(b));
            let found = state.captures.iter().position(|it| it.is_between(at_a, at_b));
            let none = || Error::NotCaptured { a: a.to_owned(), b: b.to_owned() };
            state.captures.remove(found.ok_or_else(none)?).finish()
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.with(|state| state.ended = true);
        if let Some(thread) = self.thread.take() {
            // A panic there has been told; there is nobody to pass it on to.
            let _ = thread.join();
        }
    }
}
