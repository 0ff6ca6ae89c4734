//! Mounts: other flags, other propagation, one less, one more.

use fs_err as fs;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::act::{Act, Offers};
use super::outcome::{changed, refused};
use super::places::inside;
use super::pod::Pod;

/// A change of a mount point in the container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Mount {
    init: i32,
    point: String,
    change: Change,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    /// The mount is to have these flags.
    Flags(u64),
    Propagation(u64),
    /// The filesystem's own options.
    Options(String),
    Less,
    MoreTmpfs,
    MoreBind,
}

const FLAGS: [(&str, MsFlags); 7] = [
    ("ro", MsFlags::MS_RDONLY),
    ("nosuid", MsFlags::MS_NOSUID),
    ("nodev", MsFlags::MS_NODEV),
    ("noexec", MsFlags::MS_NOEXEC),
    ("noatime", MsFlags::MS_NOATIME),
    ("nodiratime", MsFlags::MS_NODIRATIME),
    ("nosymfollow", MsFlags::from_bits_retain(256)),
];

const PROPAGATIONS: [(&str, MsFlags); 3] = [
    ("shared", MsFlags::MS_SHARED),
    ("slave", MsFlags::MS_SLAVE),
    ("unbindable", MsFlags::MS_UNBINDABLE),
];

pub(super) fn offer(pod: &Pod, offers: &mut Offers) -> anyhow::Result<()> {
    let init = pod.init()?;
    let text = fs::read_to_string(format!("/proc/{init}/mountinfo"))?;
    for line in text.lines() {
        let Some((head, tail)) = line.split_once(" - ") else { continue };
        let words: Vec<&str> = head.split(' ').collect();
        let (Some(point), Some(options)) = (words.get(4), words.get(5)) else { continue };
        let mut offer = |name: &str, change: Change| {
            let what = format!("mount {point}: {name}");
            let act = Act::Mount(Mount { init, point: (*point).to_owned(), change });
            offers.live(format!("mount/{point}/{name}"), what, &act);
        };
        let own = flags(options);
        for (name, flag) in FLAGS {
            offer(name, Change::Flags((own ^ flag).bits()));
        }
        for (name, flag) in PROPAGATIONS {
            offer(name, Change::Propagation(flag.bits()));
        }
        if tail.starts_with("tmpfs ") {
            offer("size", Change::Options("size=3m".to_owned()));
            offer("inodes", Change::Options("nr_inodes=777".to_owned()));
        }
        if *point != "/" {
            offer("less", Change::Less);
        }
        offer("more-tmpfs", Change::MoreTmpfs);
        offer("more-bind", Change::MoreBind);
    }
    Ok(())
}

/// The flags of a mount that a remount would clear if it did not say them.
fn flags(options: &str) -> MsFlags {
    let words = options.split(',');
    let known = |word: &str| FLAGS.iter().find(|(name, _)| *name == word).map(|(_, flag)| *flag);
    let mut all: MsFlags = words.filter_map(known).collect();
    if options.split(',').any(|word| word == "relatime") {
        all |= MsFlags::MS_RELATIME;
    }
    all
}

impl Mount {
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        let info = format!("/proc/{}/mountinfo", self.init);
        let before = fs::read_to_string(&info)?;
        inside(self.init, CloneFlags::CLONE_NEWNS, || {
            self.change().map_err(|errno| refused(&self.point, errno))
        })?;
        changed("the mounts", &before, &fs::read_to_string(&info)?)
    }

    fn change(&self) -> nix::Result<()> {
        let (none, point) = (None::<&str>, self.point.as_str());
        match &self.change {
            Change::Flags(bits) => {
                let mut flags = MsFlags::from_bits_retain(*bits);
                if flags.contains(MsFlags::MS_NOATIME) {
                    flags -= MsFlags::MS_RELATIME;
                }
                let flags = flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
                mount(none, point, none, flags, none)
            }
            Change::Propagation(bits) => {
                mount(none, point, none, MsFlags::from_bits_retain(*bits), none)
            }
            Change::Options(options) => {
                mount(none, point, none, MsFlags::MS_REMOUNT, Some(options.as_str()))
            }
            Change::Less => umount2(point, MntFlags::MNT_DETACH),
            Change::MoreTmpfs => {
                mount(Some("spoiled"), point, Some("tmpfs"), MsFlags::empty(), none)
            }
            Change::MoreBind => mount(Some(point), point, none, MsFlags::MS_BIND, none),
        }
    }
}
