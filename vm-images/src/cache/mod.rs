//! The cache of what was built, shared by all runs of a user.
//!
//! - An entry is a folder, named by a digest of all that it is made from ([`Key`]), that appears
//!   whole or not at all: it is built in a temporary sibling, flushed, and renamed.
//! - It knows its content ([`manifest`]): sizes and digests of its files, written when it is made
//!   and compared when it is used. What is damaged is told and made again.
//! - Two processes may want the same: a lock for each entry lets the second wait and use what the
//!   first made.
//! - What was given out is locked against [`Cache::prune`] and [`Cache::trim`] of every process
//!   ([`in_use`]).

mod entries;
mod in_use;
mod key;
mod manifest;
mod prune;
mod store;

#[cfg(test)]
mod tests;

pub(crate) use self::entries::{files, size};
pub(crate) use self::key::Key;
pub use self::prune::{Bound, Kept, Pruned, Removed};
pub use self::store::{Cache, Kind};
