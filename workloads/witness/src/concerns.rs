//! The concerns, each in a file of its own.

mod events;
mod files;
mod ipc;
mod memory;
mod neighbour;
mod pair;
mod pipes;
mod signals;
mod tcp;
mod threads;
mod timers;
mod tree;
mod tty;
mod udp;
mod unix;

use std::io;

use witness::Witness;
use witness::place::Place;

/// Sets a concern up.
pub(crate) type SetUp = fn(&Place) -> io::Result<Vec<Box<dyn Witness>>>;

/// All of them, by name.
pub(crate) const CONCERNS: [(&str, SetUp); 15] = [
    ("events", events::set_up),
    ("files", files::set_up),
    ("ipc", ipc::set_up),
    ("memory", memory::set_up),
    ("neighbour", neighbour::set_up),
    ("pair-back", pair::back),
    ("pair-front", pair::front),
    ("pipes", pipes::set_up),
    ("signals", signals::set_up),
    ("tcp", tcp::set_up),
    ("threads", threads::set_up),
    ("timers", timers::set_up),
    ("tree", tree::set_up),
    ("tty", tty::set_up),
    ("udp", udp::set_up),
];
