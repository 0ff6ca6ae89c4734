//! A checkpoint engine: pods and their shared namespaces, containers, checkpoint, restore and
//! archives, on CRIU's RPC.
//!
//! It does what it is told and reports what it did. It never judges whether what came back is what
//! went in.
//!
//! ```no_run
//! use engine::{Engine, EngineConfig, LinuxHost, StdioSet};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(EngineConfig::default(), Box::new(LinuxHost));
//! let spec = serde_json::from_slice(&std::fs::read("pod.json")?)?;
//! let pod = engine.start(&spec, StdioSet::default())?;
//! println!("{} runs as pid {}", pod.name, pod.containers[0].pid);
//! # Ok(())
//! # }
//! ```

pub mod archive;
mod engine;
mod error;
pub mod forensic;
pub mod handover;
// Verbs.
mod again;
mod checkpoint;
mod dump;
mod exec;
mod join;
mod pre_dump;
mod recover;
mod remove;
mod restore;
mod revive;
mod start;
// Their parts.
mod bound;
mod cgroup;
mod checks;
pub mod claims;
mod freeze;
mod host;
mod lazy;
mod names;
mod profile;
mod release;
mod root;
mod sandbox;
mod scene;
mod stdio;
mod store;
mod times;
mod watch;
mod within;

pub use again::AnotherDump;
pub use engine::{Engine, EngineConfig};
pub use error::Error;
pub use exec::Exited;
pub use host::{
    Callback, Descriptor, Fitting, Home, Host, LinuxHost, Mount, PageDaemon, PageProgram, Process,
    SpawnError, Streams,
};
pub use stdio::StdioSet;
pub use watch::{PhaseReached, Watch};
