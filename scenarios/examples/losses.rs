//! Prints `docs/losses.md`: `cargo run --package scenarios --example losses > docs/losses.md`.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use runner::expectations::{Expectations, losses_page};

fn main() -> anyhow::Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("expectations.toml");
    let page = losses_page(&Expectations::load(&file)?);
    std::io::stdout().lock().write_all(page.as_bytes()).context("standard output")
}
