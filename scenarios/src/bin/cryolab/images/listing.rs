//! `cryolab images list`, for people and for programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Context as _;
use serde::Serialize;
use vm_images::{CriuListing, Images, KernelListing, RootfsListing, Suite, WorkloadImage};

use crate::status::Exit;
use crate::supply::{failed, images_of};
use crate::{places, print};

/// What `images list` says.
#[derive(Serialize)]
struct Listing {
    kernels: Vec<KernelListing>,
    criu: Vec<CriuListing>,
    rootfs: Vec<RootfsListing>,
}

/// Prints all that there is.
pub(super) fn list(images: &Images, json: bool) -> Result<(), Exit> {
    let listing = Listing {
        kernels: images.kernels(&Suite::ALL).map_err(failed)?,
        criu: images.criu_builds().map_err(failed)?,
        rootfs: roots(images)?,
    };
    let text = if json {
        serde_json::to_string_pretty(&listing).context("listing as JSON")? + "\n"
    } else {
        for_people(&listing)
    };
    Ok(print(&text)?)
}

/// The root of nodes, and of each workload of the repository that is made of packages.
fn roots(images: &Images) -> Result<Vec<RootfsListing>, Exit> {
    let mut roots = vec![images.node_root().map_err(failed)?];
    for name in places::workloads().names() {
        let loaded = places::workloads().named(&name);
        let of_it = loaded.map_err(Exit::usage).and_then(|workload| images_of(&workload));
        let of_it = of_it.unwrap_or_else(|Exit { error, .. }| {
            eprintln!("  left out: {error:#}");
            Vec::new()
        });
        for (_, image) in of_it {
            if let WorkloadImage::Packages { suite, packages, files } = image {
                let root = images.workload_root(&name, suite, &packages, &files);
                roots.push(root.map_err(failed)?);
            }
        }
    }
    Ok(roots)
}

fn for_people(listing: &Listing) -> String {
    let mut text = "kernels (cloud flavour)          download\n".to_owned();
    for it in &listing.kernels {
        let state = match it.unlisted.len() {
            0 => cached(it.cached),
            _ if it.cached => cached(true),
            _ => "modules not listed".to_owned(),
        };
        line(&mut text, &format!("{}/{}", it.suite, it.version), it.bytes, &state);
    }
    text.push_str("CRIU\n");
    for it in &listing.criu {
        line(&mut text, &format!("{} ({})", it.suite, it.version), it.bytes, &cached(it.cached));
    }
    text.push_str("root filesystems\n");
    for it in &listing.rootfs {
        let name = format!("{} ({} {})", it.name, it.suite, it.version);
        line(&mut text, &name, it.bytes, &cached(it.cached));
    }
    text + &summary(&listing.kernels)
}

/// One line: what, how much is to be downloaded for it, and how it is.
fn line(text: &mut String, name: &str, bytes: u64, state: &str) {
    let size = match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mib => format!("{mib} MiB"),
    };
    let whole = format!("  {name:<30} {size:>8}  {state}");
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{}", whole.trim_end());
}

fn cached(cached: bool) -> String {
    if cached { "cached".to_owned() } else { String::new() }
}

fn summary(kernels: &[KernelListing]) -> String {
    let series = |listed: bool| -> BTreeSet<String> {
        let all = kernels.iter().filter(|kernel| kernel.unlisted.is_empty() || !listed);
        all.map(|kernel| series(&kernel.version)).collect()
    };
    let (all, listed) = (series(false), series(true));
    let mut text = format!("{} series of kernels\n", all.len());
    let others: Vec<&str> = all.difference(&listed).map(String::as_str).collect();
    if !others.is_empty() {
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "of {} the suite no longer lists the modules: they are fetched if the mirror still \
             holds them, and believed if their kernel's build signed them; else set CRYOLAB_MIRROR \
             to a snapshot of the archive",
            others.join(", ")
        );
    }
    text
}

/// `6.12` of `6.12.117`.
fn series(version: &str) -> String {
    version.split(['.', '-']).take(2).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(version: &str, unlisted: &[&str]) -> KernelListing {
        KernelListing {
            version: version.to_owned(),
            suite: Suite::Trixie,
            package: format!("linux-image-{version}"),
            bytes: 33 << 20,
            cached: unlisted.is_empty(),
            unlisted: unlisted.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn what_may_be_gone_is_told_with_the_reason_and_a_way_out() {
        let kernels = vec![
            kernel("6.12.107", &[]),
            kernel("6.12.117", &[]),
            kernel("7.3-rc7", &[]),
            kernel("7.0.13", &["linux-modules-7.0.13"]),
        ];
        let text = for_people(&Listing { kernels, criu: Vec::new(), rootfs: Vec::new() });
        assert!(text.contains("trixie/6.12.117                  33 MiB  cached\n"), "{text}");
        assert!(
            text.contains("trixie/7.0.13                    33 MiB  modules not listed"),
            "{text}"
        );
        assert!(text.contains("3 series of kernels\nof 7.0 the suite no longer lists"), "{text}");
        assert!(text.contains("CRYOLAB_MIRROR"), "{text}");
    }
}
