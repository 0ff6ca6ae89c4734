//! Socket options: every number at every level is asked for, and what can be read is tried with
//! other values and put back.
//!
//! The numbers are tried blindly, so that no table of ours decides which of them there are.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::act::{Act, Offers};
use super::outcome::{changed, refused};
use super::pod::Pod;
use super::sys;

/// Levels: SOL_SOCKET, IP, TCP, UDP, IPv6, netlink, packet, raw and unix have no other.
const LEVELS: [(i32, &str); 7] = [
    (1, "socket"),
    (0, "ip"),
    (6, "tcp"),
    (17, "udp"),
    (41, "ipv6"),
    (270, "netlink"),
    (263, "packet"),
];

/// No level has options of numbers that are higher than this, apart from tables of filters.
const MOST: i32 = 100;

/// A socket option that is to be set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Socket {
    pid: i32,
    fd: i32,
    level: i32,
    option: i32,
    value: Vec<u8>,
}

pub(super) fn offer(pod: &Pod, offers: &mut Offers) -> anyhow::Result<()> {
    for task in pod.living() {
        for entry in fs::read_dir(format!("/proc/{}/fd", task.pid))? {
            let entry = entry?;
            if !fs::read_link(entry.path())?.to_string_lossy().starts_with("socket:") {
                continue;
            }
            let fd: i32 = entry.file_name().to_string_lossy().parse()?;
            let socket = sys::descriptor_of(task.pid, fd).context("pidfd_getfd")?;
            of_socket((task.pid, fd), &socket, &format!("{}.fd.{fd}", task.name), offers);
        }
    }
    Ok(())
}

fn of_socket((pid, fd): (i32, i32), socket: &OwnedFd, place: &str, offers: &mut Offers) {
    for (level, word) in LEVELS {
        for option in 1..=MOST {
            let Some((before, value)) = other(socket.as_fd(), level, option) else { continue };
            let what =
                format!("option {option} of level {word} of {place}: {before:?} -> {value:?}");
            let act = Act::Socket(Socket { pid, fd, level, option, value });
            offers.live(format!("socket-option/{place}/{word}-{option}"), what, &act);
        }
    }
}

/// What an option is, and another value that it takes. It is put back.
fn other(socket: BorrowedFd<'_>, level: i32, option: i32) -> Option<(Vec<u8>, Vec<u8>)> {
    let before = sys::socket_option(socket, level, option).ok()?;
    if sys::socket_option(socket, level, option).ok()? != before {
        return None;
    }
    for value in others(&before) {
        let taken = sys::set_socket_option(socket, level, option, &value).is_ok();
        let after = sys::socket_option(socket, level, option).ok()?;
        if taken && after != before {
            // Buffers are shown as twice what was asked for.
            let half = i32::from_ne_bytes(before.get(..4)?.try_into().ok()?) / 2;
            let _ = sys::set_socket_option(socket, level, option, &before);
            if sys::socket_option(socket, level, option).ok()? != before {
                let _ = sys::set_socket_option(socket, level, option, &half.to_ne_bytes());
            }
            return Some((before, value));
        }
    }
    None
}

/// Other values of the same size: numbers nearby, or a bit of a structure.
fn others(before: &[u8]) -> Vec<Vec<u8>> {
    let Ok(number) = <[u8; 4]>::try_from(before).map(i32::from_ne_bytes) else {
        return (0..before.len().min(16)).map(|at| flipped(before, at)).collect();
    };
    let near = [number ^ 1, number.wrapping_add(1), number.wrapping_sub(1), number.wrapping_mul(2)];
    let all = near.into_iter().chain([0, 1, 2, 3, 4096, 16384, 0x10]);
    all.filter(|other| *other != number).map(|other| other.to_ne_bytes().to_vec()).collect()
}

fn flipped(before: &[u8], at: usize) -> Vec<u8> {
    let mut after = before.to_vec();
    after[at] ^= 1;
    after
}

impl Socket {
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        let socket = sys::descriptor_of(self.pid, self.fd).context("pidfd_getfd")?;
        let seen = || sys::socket_option(socket.as_fd(), self.level, self.option);
        let before = seen()?;
        sys::set_socket_option(socket.as_fd(), self.level, self.option, &self.value)
            .map_err(|error| refused("setsockopt", error))?;
        changed("the option", &before, &seen()?)
    }
}
