//! What a change must pass before anybody reads it.

use anyhow::Result;
use xshell::{Shell, cmd};

/// Checks formatting, clippy's lints and the documentation.
pub(crate) fn lint(shell: &Shell) -> Result<()> {
    cmd!(shell, "cargo fmt --all --check").run()?;
    cmd!(shell, "cargo clippy --workspace --all-targets -- -D warnings").run()?;
    let document = cmd!(shell, "cargo doc --workspace --no-deps --document-private-items");
    document.env("RUSTDOCFLAGS", "-D warnings").run()?;
    Ok(())
}
