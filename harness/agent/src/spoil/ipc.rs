//! System V objects of the pod's IPC namespace.

use anyhow::Context;
use fs_err as fs;
use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::act::{Act, Offers};
use super::outcome::{changed, refused};
use super::places::inside;
use super::pod::Pod;
use super::sys::{self, Kind};

/// A change of an object, or one object more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ipc {
    init: i32,
    kind: Word,
    change: Change,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Shm,
    Sem,
    Msg,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    More,
    Less(i32),
    Mode(i32),
    Owner(i32),
    Group(i32),
    QueueBytes(i32),
    Value { id: i32, index: i32 },
    MessageMore(i32),
    MessageLess(i32),
}

pub(super) fn offer(pod: &Pod, offers: &mut Offers) -> anyhow::Result<()> {
    let init = pod.init()?;
    for (kind, word) in [(Word::Shm, "shm"), (Word::Sem, "sem"), (Word::Msg, "msg")] {
        let mut offer = |name: String, change: Change| {
            let what = format!("System V {word}: {name}, {change:?}");
            let act = Act::Ipc(Ipc { init, kind, change });
            offers.live(format!("sysv/{word}/{name}"), what, &act);
        };
        offer("more".to_owned(), Change::More);
        for (id, count) in objects(init, word)? {
            offer(format!("{id}-less"), Change::Less(id));
            offer(format!("{id}-mode"), Change::Mode(id));
            offer(format!("{id}-owner"), Change::Owner(id));
            offer(format!("{id}-group"), Change::Group(id));
            match kind {
                Word::Shm => {}
                Word::Sem => {
                    for index in 0..count {
                        offer(format!("{id}-value-{index}"), Change::Value { id, index });
                    }
                }
                Word::Msg => {
                    offer(format!("{id}-bytes"), Change::QueueBytes(id));
                    offer(format!("{id}-message-more"), Change::MessageMore(id));
                    offer(format!("{id}-message-less"), Change::MessageLess(id));
                }
            }
        }
    }
    Ok(())
}

/// Ids, and how many semaphores a set has.
fn objects(init: i32, word: &str) -> anyhow::Result<Vec<(i32, i32)>> {
    let text = listing(init, word)?;
    let lines = text.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let id = words.next()?.parse().ok()?;
        Some((id, words.nth(1)?.parse().unwrap_or_default()))
    });
    Ok(lines.collect())
}

fn listing(init: i32, word: &str) -> anyhow::Result<String> {
    let path = format!("/proc/sysvipc/{word}");
    inside(init, CloneFlags::CLONE_NEWIPC, || Ok(fs::read_to_string(path)?))
}

impl Ipc {
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        let (kind, word) = match self.kind {
            Word::Shm => (Kind::Shm, "shm"),
            Word::Sem => (Kind::Sem, "sem"),
            Word::Msg => (Kind::Msg, "msg"),
        };
        let before = listing(self.init, word)?;
        if let Change::Value { id, index } = self.change {
            return inside(self.init, CloneFlags::CLONE_NEWIPC, || {
                let before = sys::semaphore(id, index)?;
                sys::set_semaphore(id, index, i32::try_from(before)? + 1)?;
                changed("the semaphore", &before, &sys::semaphore(id, index)?)
            });
        }
        inside(self.init, CloneFlags::CLONE_NEWIPC, || {
            self.change(kind).map_err(|error| refused("the object", error))
        })
        .context("System V")?;
        changed("the list of objects", &before, &listing(self.init, word)?)
    }

    fn change(&self, kind: Kind) -> std::io::Result<()> {
        match self.change {
            Change::More => sys::make(kind, 0x5b01_1ed0).map(drop),
            Change::Less(id) => sys::remove(kind, id),
            Change::Mode(id) => sys::permissions(kind, id, |it| it.mode ^= 0o010),
            Change::Owner(id) => sys::permissions(kind, id, |it| it.uid ^= 1),
            Change::Group(id) => sys::permissions(kind, id, |it| it.gid ^= 1),
            Change::QueueBytes(id) => sys::permissions(kind, id, |it| it.queue_bytes /= 2),
            Change::MessageMore(id) => sys::send_message(id, 7, *b"spoiled!"),
            Change::MessageLess(id) => sys::receive_message(id),
            Change::Value { .. } => Ok(()),
        }
    }
}
