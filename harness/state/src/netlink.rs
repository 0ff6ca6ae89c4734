//! What the kernel tells by netlink(7), as facts.
//!
//! Every attribute of a message becomes a fact. A table gives the known ones their names and says
//! how their bytes are meant; one that no table knows is written down under its number, so that
//! what a newer kernel shows is captured without a change here. A table that the kernel refuses is
//! not offered; one that it tells without a row is empty.

mod attributes;
mod scribe;
mod shape;
mod socket;

pub(crate) use attributes::{attributes, find};
pub(crate) use scribe::{Links, Scribe};
pub(crate) use shape::{Field, Shape, address, field, hex, named};
pub(crate) use socket::{Netlink, u16_at, u32_at};
