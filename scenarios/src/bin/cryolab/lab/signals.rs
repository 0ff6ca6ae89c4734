//! Signals that a command hears on behalf of a program on a node.

use nix::libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The user's terminal has another size.
    Resize,
    /// The user wants to end this.
    Signal(i32),
}

/// From its making on, these signals end nothing by themselves.
#[derive(Debug)]
pub(crate) struct Signals {
    window: Signal,
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    quit: Signal,
}

impl Signals {
    /// Takes the signals over.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Signals {
            window: signal(SignalKind::window_change())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.window.recv() => Heard::Resize,
            _ = self.interrupt.recv() => Heard::Signal(SIGINT),
            _ = self.terminate.recv() => Heard::Signal(SIGTERM),
            _ = self.hangup.recv() => Heard::Signal(SIGHUP),
            _ = self.quit.recv() => Heard::Signal(SIGQUIT),
        }
    }
}
