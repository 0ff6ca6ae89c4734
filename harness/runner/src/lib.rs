//! Runs cells of the matrix: what to run, how a cell lives, what happened, what it means.
//!
//! From top to bottom: users select ([`names`], [`version`], [`workload`]), which makes cells
//! ([`cell`]); whatever happens is an event ([`event`]) in the run's record ([`record`]). Cells are
//! performed side by side ([`perform`]): each tells a story ([`scenario`]) on a [`stage`]. A cell
//! comes to a verdict ([`verdict`]) that is held against what is known ([`expectations`]); results
//! and reports ([`results`], [`report`]) are pure functions of the events.

pub mod names;
pub mod version;

pub mod cell;
pub mod crash;
pub mod workload;

pub mod event;
pub mod record;
pub mod sink;

pub mod hook;
pub mod perform;
pub mod scenario;
pub mod sight;
pub mod stage;

pub mod expectations;
pub mod verdict;

pub mod report;
pub mod results;

#[cfg(test)]
mod sample;
