//! The one thread of a switch: waits, reads many frames at once, lets the fabric decide, writes many
//! frames at once. It waits for nobody in particular: a socket that is full is left for later.

use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;

use super::fabric::NodeId;
use super::state::{State, Watch};

/// What the thread and the handles share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Ends the thread's wait.
    pub(super) bell: EventFd,
    /// Told after each turn while wires are held.
    pub(super) turned: Condvar,
}

impl Shared {
    pub(super) fn new(state: State, bell: EventFd) -> Shared {
        Shared { state: Mutex::new(state), bell, turned: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the state and has the thread look at what became of it.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let done = act(&mut self.lock());
        self.ring();
        done
    }

    /// A bell that cannot be rung any more has been rung so often that it still sounds.
    pub(super) fn ring(&self) {
        let _ = self.bell.write(1);
    }
}

/// Runs until the last handle is gone.
pub(super) fn run(shared: &Shared) {
    let (mut watches, mut readable) = (Vec::new(), Vec::new());
    loop {
        let mut state = shared.lock();
        if state.ended {
            return;
        }
        state.turn(&readable);
        let wait = state.plan(&mut watches);
        if state.clock.stands() {
            shared.turned.notify_all();
        }
        drop(state);
        poll(shared, &watches, wait, &mut readable);
    }
}

/// Waits until something happens, and says which nodes have sent something.
fn poll(shared: &Shared, watches: &[Watch], wait: Option<Duration>, readable: &mut Vec<NodeId>) {
    let ports = watches.iter().map(|watch| {
        let room = if watch.for_room { PollFlags::POLLOUT } else { PollFlags::empty() };
        PollFd::new(watch.socket.as_fd(), PollFlags::POLLIN | room)
    });
    let bell = PollFd::new(shared.bell.as_fd(), PollFlags::POLLIN);
    let mut polled: Vec<_> = ports.chain([bell]).collect();
    readable.clear();
    // Interrupted or failed, nothing is known to be readable, and the next turn asks again.
    if ppoll(&mut polled, wait.map(TimeSpec::from_duration), None).is_err() {
        return;
    }
    let sent = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
    let has = |it: &PollFd<'_>| it.revents().is_some_and(|events| events.intersects(sent));
    readable.extend(watches.iter().zip(&polled).filter(|(_, it)| has(it)).map(|(it, _)| it.node));
    if polled.last().is_some_and(has) {
        let _ = shared.bell.read();
    }
}
