//! The words that every room of Cryolab uses, each with one meaning.
//!
//! This crate holds data and nothing else: no file, socket, process or clock is touched here.
//! The rooms agree with each other by agreeing with these types.

mod digest;
pub mod fact;
pub mod frame;
pub mod message;
pub mod mutant;
pub mod pack;
mod phase;
pub mod pod;
mod security;
mod step;

pub use digest::Digest;
pub use fact::{Capture, Memory, PageLabel, PageObject, PageRun, Value};
pub use phase::{Phase, UnknownPhase};
pub use step::{Activity, Mark, Side, Step};
