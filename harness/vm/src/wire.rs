//! Wires between machines: a switch of ours in user space, to which each machine's QEMU is connected by
//! an inherited socket (`-netdev stream`). No root, no bridge, no tap on the host.
//!
//! ```text
//!   QEMU a                                                                QEMU b
//!     ║ socketpair                                             socketpair ║
//!  ┌──╨───┐     ┌─────────────────── fabric ───────────────────┐     ┌──╨───┐
//!  │ port │ ──> │ a to b: cut? queue and rate, loss, delay ... │ ──> │ port │
//!  │  a   │ <── │ b to a: the same, with draws of its own      │ <── │  b   │
//!  └──────┘     └──────────────────────────────────────────────┘     └──────┘
//!       one thread for all of it; each wire to a pcapng file, if asked
//! ```
//!
//! [`fabric`] decides what becomes of each frame: no input or output, no clock, chance from a seed.
//! A [`Switch`] is the one thread that carries frames between it and the sockets. It bounds
//! what a guest can cost: a length that no frame has shuts the port, and queues end where they end.
//!
//! A wire joins two nodes, and each direction has a [`Shape`] of its own. Frames go along one wire and
//! no further: a node is not a hop.

mod branch;
mod capture;
mod error;
pub mod fabric;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod lane;
mod node;
mod port;
mod random;
mod shape;
mod state;
mod switch;
mod thread;
mod units;
mod unread;

pub use branch::{Held, InFlight};
pub use error::Error;
pub use fabric::{Direction, Traffic};
pub use frame::{Frame, LONGEST_FRAME, TooLong};
pub use shape::{Shape, ShapeError};
pub use switch::{Plug, Switch};
pub use units::{Rate, Share, UnitError, duration};
