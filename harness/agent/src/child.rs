//! The engine as a child: it forks, enters namespaces and drives CRIU in a process of one thread,
//! and whatever becomes of it, the agent is there to tell.
//!
//! One child carries out one order. The two talk over a socket pair, in frames as on the wire;
//! descriptors travel along.

mod analyse;
mod engine;
mod engines;
mod handover;
mod images;
mod order;
mod pages;
mod parent;
mod socket;

pub(crate) use engine::main;
pub(crate) use engines::Engines;
pub(crate) use order::{FromEngine, Order};
pub(crate) use parent::Operation;
