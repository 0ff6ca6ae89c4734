//! Builds images and prints their paths, without running anything.
//!
//! `cargo run -p vm-images --example build -- rootfs kernel:trixie,sid criu:bookworm packages:trixie:redis-server`

#![expect(clippy::print_stdout, reason = "the paths are the result")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use vm_images::host::{self, Purpose};
use vm_images::{Bars, Cache, Images, Made, Want, WorkloadImage};

fn main() -> anyhow::Result<()> {
    let started = Instant::now();
    let progress = Arc::new(Bars::default());
    host::ensure_tools(Purpose::Run, &*progress)?;
    let images = Images::new(Cache::open()?, progress);
    let mut wants = Vec::new();
    for argument in std::env::args().skip(1) {
        wants.extend(parse(&images, &argument).with_context(|| argument.clone())?);
    }
    for (want, made) in wants.iter().zip(images.ensure_all(&wants)?) {
        println!("{}", tell(want, &made));
    }
    eprintln!("  {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn parse(images: &Images, argument: &str) -> anyhow::Result<Vec<Want>> {
    let (kind, rest) = argument.split_once(':').unwrap_or((argument, ""));
    let mut wants = Vec::new();
    match kind {
        "rootfs" => wants.push(Want::Rootfs),
        "kernel" => {
            for selector in rest.split(',') {
                let kernels = images.resolve_kernel(selector, None)?;
                wants.extend(kernels.into_iter().map(Want::Kernel));
            }
        }
        "criu" => {
            for selector in rest.split(',') {
                wants.extend(images.resolve_criu(selector)?.into_iter().map(Want::Criu));
            }
        }
        "packages" => {
            let (suite, packages) = rest.split_once(':').context("want packages:SUITE:NAME,...")?;
            let packages = packages.split(',').map(str::to_owned).collect();
            let (suite, files) = (suite.parse()?, BTreeMap::new());
            wants.push(Want::Workload(WorkloadImage::Packages { suite, packages, files }));
        }
        _ => {
            bail!("want rootfs, kernel:SELECTOR,..., criu:SELECTOR,... or packages:SUITE:NAME,...")
        }
    }
    Ok(wants)
}

fn tell(want: &Want, made: &Made) -> String {
    match (want, made) {
        (Want::Kernel(kernel), Made::Kernel(built)) => {
            format!("kernel {kernel} {} {}", built.image.display(), built.modules.display())
        }
        (Want::Criu(criu), Made::Criu(built)) => format!("criu {criu} {}", built.disk.display()),
        (_, Made::Rootfs(disk) | Made::Workload(disk)) => format!("root {}", disk.display()),
        _ => format!("{made:?}"),
    }
}
