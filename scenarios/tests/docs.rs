//! What is written for people is true.

use std::path::Path;

use runner::expectations::{Expectations, losses_page};

#[test]
fn the_page_of_losses_tells_every_expectation() {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR"));
    let known = Expectations::load(&scenarios.join("expectations.toml")).expect("expectations");
    let page = std::fs::read_to_string(scenarios.join("../docs/losses.md")).expect("the page");
    assert!(
        page == losses_page(&known),
        "docs/losses.md is out of date: \
         cargo run --package scenarios --example losses > docs/losses.md"
    );
}
