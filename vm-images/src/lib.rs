//! What kernels, root filesystems and CRIU builds exist, and how they are made.
//!
//! [`Images`] is the face: selectors are resolved to a [`Kernel`] or a [`Criu`], and what they
//! name is built once and kept in a [`Cache`]. Packages are fetched by the host's apt in a private
//! root, with their signatures checked; nothing on the host changes, and no root is needed.
//!
//! ```no_run
//! use std::sync::Arc;
//! use vm_images::host::{self, Purpose};
//! use vm_images::{Bars, Cache, Images};
//!
//! # fn main() -> Result<(), vm_images::Error> {
//! let progress = Arc::new(Bars::default());
//! host::ensure_tools(Purpose::Run, &*progress)?;
//! let images = Images::new(Cache::open()?, progress);
//! for kernel in images.resolve_kernel("trixie-backports/6.18", None)? {
//!     println!("{}", images.ensure_kernel(&kernel)?.image.display());
//! }
//! # Ok(())
//! # }
//! ```

mod apparmor;
mod apt;
mod build;
mod cache;
mod command;
mod error;
pub mod host;
mod images;
mod listing;
mod progress;
mod resolve;
mod selector;
mod suite;
mod version;

pub use apparmor::apparmor_policy;
pub use apt::Package;
pub use build::workload::WorkloadImage;
pub use cache::{Bound, Cache, Kept, Kind, Pruned, Removed};
pub use error::{Error, Unknown};
pub use images::{CriuImage, Images, KernelImage, Made, Want};
pub use listing::{CriuListing, KernelListing, RootfsListing};
pub use progress::{Bars, Progress, Silent, Step};
pub use selector::{Criu, Kernel};
pub use suite::Suite;
