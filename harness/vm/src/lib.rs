//! Machines as values: describe one, boot it, talk to the agent in it.
//!
//! A [`Machine`] is plain data: kernel, initramfs, disks, memory. [`Machine::boot`] makes a
//! [`Node`] of it: a QEMU process whose agent has said hello. A node is asked through its
//! [`Guest`] and lives until it is shut down, killed or dropped.
//!
//! ```no_run
//! # async fn example() -> Result<(), vm::Error> {
//! use std::time::Duration;
//! use model::message::{Request, Shutdown};
//! use vm::{Accel, Disk, Machine, Qemu, Seat};
//!
//! let mut machine = Machine::new(Qemu::find().await?, Accel::Tcg, "bzImage", "initramfs.cpio");
//! machine.disks.push(Disk::read_only("root", "root.erofs"));
//! let node = machine.boot(Seat::new("node", "console.log")).await?;
//! node.guest().request(Request::Ping, Duration::from_secs(5)).await?;
//! node.shut_down(Shutdown::PowerOff).await?;
//! # Ok(())
//! # }
//! ```
//!
//! **What never happens here.** No wait is without a deadline, and no error is a bare timeout:
//! each says what the machine did meanwhile, with the last lines of its console. The guest is not
//! trusted: frames, events and bulk data are capped, and what nobody asked for is counted and
//! dropped. No QEMU outlives this process, however the process ends; for that, **boot machines
//! from a thread that lives as long as they do**, such as the main thread with a current-thread
//! runtime (a QEMU dies with the *thread* that started it).
//!
//! This room knows nothing of CRIU, of what a pod means, or of equivalence.

pub mod accel;
mod command;
mod console;
pub mod disk;
mod error;
pub mod exec;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod guest;
pub mod lab;
mod life;
mod machine;
mod node;
mod operation;
mod process;
mod qemu;
mod qmp;
mod seat;
mod snapshot;
mod switchboard;
mod template;
mod tether;
pub mod wire;

pub use accel::Accel;
pub use error::Error;
pub use guest::{Guest, Sight};
pub use machine::{Disk, Machine, Time};
pub use node::Node;
pub use operation::Operation;
pub use qemu::{Qemu, Version};
pub use seat::Seat;
pub use switchboard::Noise;
pub use template::{Notice, Templates};
