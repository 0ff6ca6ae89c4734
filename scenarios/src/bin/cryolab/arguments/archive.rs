//! The command line of `cryolab archive`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Archives may come from strangers: whatever is wrong with one is told, and nothing is written
/// outside a folder that is removed again.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 whole and safe, 1 refused, 2 there is no such file")]
pub(crate) struct Archive {
    #[command(subcommand)]
    pub(crate) command: ArchiveCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ArchiveCommand {
    /// What an archive says about itself: where it was made, its pod and its members
    Show {
        /// A `checkpoint.tar.zst`
        file: PathBuf,
        /// The manifest as JSON
        #[arg(long)]
        json: bool,
    },
    /// Read all of an archive, and check every member against its digest
    Verify {
        /// A `checkpoint.tar.zst`
        file: PathBuf,
    },
    /// What ran, what it had open, whom it spoke to, what stood in its memory: nothing is restored
    Analyse(Analyse),
    /// A chain of archives: add one, or see whether all are what they were
    ///
    /// Each link holds the SHA-256 of an archive and the digest of the link before. Keep the last
    /// digest, which is printed, somewhere else: with --head, nothing can be changed unseen.
    Chain(ChainOf),
}

#[derive(Debug, Args)]
pub(crate) struct Analyse {
    /// A `checkpoint.tar.zst`
    pub(crate) file: PathBuf,
    /// Search memory for this text (may come several times)
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Vec<String>,
    /// Search memory for this regular expression over bytes (may come several times)
    #[arg(long, value_name = "RE")]
    pub(crate) regex: Vec<String>,
    /// An earlier checkpoint of the same pod: say what changed since
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// Write a page for a browser to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Descriptors of the messages of the CRIU that made it, as `protoc --descriptor_set_out` writes
    /// them (default: those of the nearest CRIU that is known)
    #[arg(long, value_name = "FILE")]
    pub(crate) schema: Option<PathBuf>,
    /// All of it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ChainOf {
    /// The chain's file; the archives stand beside it
    pub(crate) file: PathBuf,
    /// Add this archive, which stands beside the chain
    #[arg(long, value_name = "FILE")]
    pub(crate) add: Option<PathBuf>,
    /// The digest with which the chain must end
    #[arg(long, value_name = "DIGEST")]
    pub(crate) head: Option<String>,
}
