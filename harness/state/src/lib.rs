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
pub mod images;
mod inode;
mod kernel;
mod memory;
mod netlink;
mod observed;
mod pages;
mod pod;
mod read;
pub mod registry;
mod source;
mod stored;
mod sys;
pub mod tolerance;
mod vma;

pub use capture::{capture, observe};
pub use compare::{
    Comparison, Difference, DifferingPage, KernelLevel, MemoryLevel, Page, Told, causes,
    causes_among, compare, compare_memory,
};
pub use error::Error;
pub use memory::page_digest;
pub use observed::Observed;
pub use pages::pages;
pub use source::option_name;
pub use stored::{StoredError, read_capture};
