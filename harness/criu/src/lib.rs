//! CRIU's own language, for programs that drive CRIU or read what it wrote.
//!
//! * [`rpc`] starts `criu swrk` and speaks its protocol: requests, notifications, answers, each
//!   operation with a deadline of the caller's own.
//! * [`log`] finds in a CRIU log the line that says why an operation failed.
//! * [`image`] reads and writes CRIU's image files byte for byte, and as JSON in the shape of
//!   `crit decode`.
//! * [`schema`] is what `image` needs to know about messages. It is not compiled in: it comes with
//!   the CRIU that wrote the images.
//!
//! Nothing here knows what is checkpointed or why. `image` does no I/O beyond the readers and
//! writers it is given.

pub mod image;
pub mod log;
pub mod rpc;
pub mod schema;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(any(test, feature = "fuzzing"))]
mod testing;
