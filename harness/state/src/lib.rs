//! The witness and the judge.
//!
//! [`capture()`] observes a frozen pod: everything that the kernel shows about its tasks, and every
//! page of their memory, as named facts of a kind. [`compare()`] holds two captures against each
//! other; it does no I/O and cannot fail. What is compared how stands in [`registry`], what may
//! differ and why in [`tolerance`].

mod capture;
mod compare;
mod error;
mod facts;
mod inode;
mod memory;
mod pod;
mod read;
pub mod registry;
mod source;
mod sys;
pub mod tolerance;
mod vma;

pub use capture::capture;
pub use compare::{Comparison, Difference, KernelLevel, MemoryLevel, compare};
pub use error::Error;
