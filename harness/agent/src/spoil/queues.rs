//! POSIX message queues of the pod's IPC namespace.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use fs_err as fs;
use nix::mqueue::{MQ_OFlag, MqAttr, MqdT};
use nix::mqueue::{mq_getattr, mq_open, mq_receive, mq_send, mq_unlink};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use super::act::{Act, Offers};
use super::outcome::{changed, refused};
use super::places::inside;
use super::pod::Pod;

/// A change of a queue, or a queue more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Queue {
    init: i32,
    name: String,
    change: Change,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    More,
    Less,
    MessageMore,
    MessageLess,
    Mode,
    /// Made anew under its name, with room for one message more.
    Room,
}

pub(super) fn offer(pod: &Pod, offers: &mut Offers) -> anyhow::Result<()> {
    let init = pod.init()?;
    let mut offer = |name: &str, word: &str, what: &str, change: Change| {
        let act = Act::Queue(Queue { init, name: name.to_owned(), change });
        offers.live(format!("mqueue/{name}/{word}"), format!("POSIX queue {name}: {what}"), &act);
    };
    offer("spoiled", "more", "is there, with a message", Change::More);
    let Ok(folder) = fs::read_dir(folder(init)) else { return Ok(()) };
    for entry in folder {
        let name = entry?.file_name().to_string_lossy().into_owned();
        offer(&name, "less", "is gone", Change::Less);
        offer(&name, "message-more", "a message more", Change::MessageMore);
        offer(&name, "message-less", "a message less", Change::MessageLess);
        offer(&name, "mode", "another mode", Change::Mode);
        offer(&name, "room", "other attributes", Change::Room);
    }
    Ok(())
}

/// Where the container has its queues as files.
fn folder(init: i32) -> PathBuf {
    format!("/proc/{init}/root/dev/mqueue").into()
}

impl Queue {
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        inside(self.init, CloneFlags::CLONE_NEWIPC, || {
            let before = self.look();
            self.change().map_err(|errno| refused("the queue", errno))?;
            changed("the queue", &before, &self.look())
        })
    }

    fn path(&self) -> String {
        format!("/{}", self.name)
    }

    fn open(&self, flags: MQ_OFlag, room: Option<&MqAttr>) -> nix::Result<MqdT> {
        let flags = flags | MQ_OFlag::O_RDWR | MQ_OFlag::O_NONBLOCK;
        mq_open(self.path().as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR, room)
    }

    /// Attributes and mode, where there is such a queue.
    fn look(&self) -> Option<(i64, i64, i64, Option<u32>)> {
        let attr = mq_getattr(&self.open(MQ_OFlag::empty(), None).ok()?).ok()?;
        let mode = fs::metadata(folder(self.init).join(&self.name)).map(|meta| meta.mode()).ok();
        Some((attr.maxmsg(), attr.msgsize(), attr.curmsgs(), mode))
    }

    fn change(&self) -> nix::Result<()> {
        match self.change {
            Change::More => {
                let room = MqAttr::new(0, 3, 64, 0);
                let queue = self.open(MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL, Some(&room))?;
                mq_send(&queue, b"spoiled!", 1)
            }
            Change::Less => mq_unlink(self.path().as_str()),
            Change::MessageMore => mq_send(&self.open(MQ_OFlag::empty(), None)?, b"spoiled!", 1),
            Change::MessageLess => {
                let queue = self.open(MQ_OFlag::empty(), None)?;
                let mut room = vec![0; usize::try_from(mq_getattr(&queue)?.msgsize()).unwrap_or(0)];
                mq_receive(&queue, &mut room, &mut 0).map(drop)
            }
            Change::Mode => {
                let path = folder(self.init).join(&self.name);
                let mode = Mode::from_bits_truncate(self.look().and_then(|it| it.3).unwrap_or(0));
                let mode = mode ^ Mode::S_IRGRP;
                let follow = nix::sys::stat::FchmodatFlags::FollowSymlink;
                nix::sys::stat::fchmodat(nix::fcntl::AT_FDCWD, &path, mode, follow)
            }
            Change::Room => {
                let before = mq_getattr(&self.open(MQ_OFlag::empty(), None)?)?;
                mq_unlink(self.path().as_str())?;
                let room = MqAttr::new(0, before.maxmsg() + 1, before.msgsize(), 0);
                self.open(MQ_OFlag::O_CREAT, Some(&room)).map(drop)
            }
        }
    }
}
