//! What an analysis says, as data. Its JSON is `forensic.json`: names are a promise, and more may be
//! added.
//!
//! Every text that was in the pod is shown as it was, bytes that are no UTF-8 replaced: whoever draws
//! it escapes it.

use serde::{Deserialize, Serialize};

use super::chain::Link;

/// Format of [`Analysis`].
pub(super) const FORMAT: u32 = 1;

/// All that was found in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Analysis {
    /// Format of this data: 1.
    pub format: u32,
    /// The archive.
    pub source: Source,
    /// Processes, by container and pid.
    pub processes: Vec<Process>,
    /// Open files of each process.
    pub files: Vec<OpenFile>,
    /// Files that had been deleted while somebody still used them, with their content.
    pub deleted: Vec<DeletedFile>,
    /// Files of the container's root, and of the pod's `/dev/shm`, that are not as in its image.
    pub changed: Vec<ChangedFile>,
    /// Sockets, each once.
    pub sockets: Vec<Socket>,
    /// What each process had mapped.
    pub mappings: Vec<Mapping>,
    /// The search of memory.
    pub memory: Memory,
    /// What changed since another checkpoint, when one was given to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differences: Option<Differences>,
    /// The chain of archives that ends with this one: see [`Chain`](super::Chain).
    pub chain: Vec<Link>,
    /// What could not be read, or was left out.
    pub unread: Vec<Unread>,
}

/// Which archive was analysed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Name of the file.
    pub archive: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// When the file was last written to, in seconds since 1970.
    pub modified_s: i64,
    /// Name of the pod.
    pub pod: String,
    /// Its hostname.
    pub hostname: String,
    /// `uname -r` where it was taken.
    pub kernel: String,
    /// `uname -m` there.
    pub arch: String,
    /// CRIU's version there.
    pub criu: String,
}

/// A process. Pids are those in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Name of its container.
    pub container: String,
    /// Its pid.
    pub pid: u64,
    /// Pid of its parent; 0 where that is outside.
    pub ppid: u64,
    /// Its process group.
    pub pgid: u64,
    /// Its session.
    pub sid: u64,
    /// Name of the main thread.
    pub comm: String,
    /// `alive`, `stopped`, `zombie`, or CRIU's number.
    pub state: String,
    /// Path of its program.
    pub executable: Option<String>,
    /// Its working directory.
    pub directory: Option<String>,
    /// Arguments, as they stood in its memory.
    pub command_line: Vec<String>,
    /// Environment, as it stood in its memory.
    pub environment: Vec<String>,
    /// Real user.
    pub uid: u64,
    /// Real group.
    pub gid: u64,
    /// Effective user.
    pub euid: u64,
    /// Effective group.
    pub egid: u64,
    /// Threads, the main one first.
    pub threads: Vec<Thread>,
}

/// A thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Its pid in the container.
    pub pid: u64,
    /// Its name.
    pub comm: String,
}

/// An open file of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFile {
    /// Name of the container.
    pub container: String,
    /// The process.
    pub pid: u64,
    /// The descriptor.
    pub fd: u64,
    /// Path in the container, or the kernel's name such as `pipe:[12]`.
    pub path: String,
    /// What it is, such as `regular`, `directory`, `pipe`, `unix socket`.
    pub kind: String,
    /// Flags as for `open`, such as `O_RDWR|O_CLOEXEC`.
    pub flags: String,
    /// Offset in bytes, where it has one.
    pub offset: Option<u64>,
    /// Whether it has no name any more.
    pub deleted: bool,
}

/// A deleted file whose content is in the images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedFile {
    /// Name of the container.
    pub container: String,
    /// The path that it had.
    pub path: String,
    /// Mode, in octal.
    pub mode: String,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// What is in it; nothing where it has none, such as a fifo.
    pub content: Option<Content>,
}

/// Content of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// All of its length, in bytes.
    pub bytes: u64,
    /// SHA-256 of all of it, in hexadecimal; not for one that is too long.
    pub sha256: Option<String>,
    /// How many bytes from the start are shown.
    pub shown: u64,
    /// Those bytes, where they are UTF-8.
    pub text: Option<String>,
    /// Those bytes in hexadecimal, where they are not.
    pub hex: Option<String>,
}

/// A file that is not as in the container's image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    /// Name of the container; nothing for the pod's `/dev/shm`.
    pub container: Option<String>,
    /// Path in the container.
    pub path: String,
    /// `regular`, `directory`, `symbolic link` ..., or `deleted` for one of the image that is gone.
    pub kind: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Mode, in octal.
    pub mode: String,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// When it was last written to, in seconds since 1970.
    pub modified_s: i64,
    /// Where a symbolic or hard link leads.
    pub target: Option<String>,
}

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Name of the container.
    pub container: String,
    /// Its inode at the checkpoint.
    pub inode: u64,
    /// `inet`, `inet6`, `unix`, `packet`, `netlink`.
    pub family: String,
    /// `stream`, `datagram`, `raw`, `seqpacket`, or a number.
    #[serde(rename = "type")]
    pub kind: String,
    /// Protocol, such as `tcp`; empty where the family has but one.
    pub protocol: String,
    /// State, in the kernel's words, such as `listen` or `established`.
    pub state: String,
    /// Its own address: `ADDRESS:PORT`, or a name.
    pub local: String,
    /// That of its peer.
    pub peer: Option<String>,
    /// Inode of the peer, for a unix socket.
    pub peer_inode: Option<u64>,
    /// Bytes that it has received and nobody has read.
    pub receive_queue: u64,
    /// Bytes that it has sent and the peer has not acknowledged.
    pub send_queue: u64,
    /// Who has it open.
    pub holders: Vec<Holder>,
}

/// Who has something open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u64,
    /// Its descriptor.
    pub fd: u64,
}

/// A mapping of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Name of the container.
    pub container: String,
    /// The process.
    pub pid: u64,
    /// First address, in hexadecimal.
    pub start: String,
    /// Address behind the last, in hexadecimal.
    pub end: String,
    /// `rwx`, and `p` or `s` for private or shared.
    pub permissions: String,
    /// Path of the file, or a name such as `[heap]`; empty for anonymous memory.
    pub name: String,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Pages of it that are in the images.
    pub pages: u64,
    /// XXH64 over those pages and their places, where there are any.
    pub xxh64: Option<String>,
    /// Place and digest of each of those pages, unless they are too many. They are not in the JSON.
    #[serde(skip)]
    pub(super) page_digests: Vec<(u64, u64)>,
}

/// The search of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What was looked through, and for what.
    pub searched: Searched,
    /// What was found, by what was sought and address; at most so many each as `searched` says.
    pub found: Vec<Found>,
}

/// What was looked through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Searched {
    /// Pages in the images of all tasks and shared objects.
    pub pages: u64,
    /// The same in bytes.
    pub bytes: u64,
    /// What was sought.
    pub sought: Vec<Sought>,
    /// Most matches of each that are listed.
    pub most_listed: u64,
}

/// Something sought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sought {
    /// The text or regular expression.
    pub pattern: String,
    /// Whether it is a regular expression.
    pub regex: bool,
    /// How often it was found, those that are not listed among them.
    pub found: u64,
}

/// A match in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What was found.
    pub text: String,
    /// What was sought.
    pub pattern: String,
    /// Name of the container.
    pub container: String,
    /// The process; nothing for shared memory that none maps there.
    pub pid: Option<u64>,
    /// Its address in hexadecimal; within the object where no process maps it.
    pub address: String,
    /// Name of the mapping: a path, `[heap]`, `[stack]`; empty for anonymous memory.
    pub mapping: String,
    /// The text around it, other than printable ASCII as dots.
    pub around: String,
    /// Others that map the same memory.
    pub shared_with: Vec<u64>,
}

/// What changed from one checkpoint to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    /// The earlier archive.
    pub from: Source,
    /// What changed, in the order of [`Analysis`]' lists.
    pub changes: Vec<Change>,
    /// How many more there are than are listed.
    pub more: u64,
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// `process`, `file`, `deleted file`, `changed file`, `socket` or `mapping`.
    pub of: String,
    /// Which one, in words.
    pub what: String,
    /// The field; nothing where all of it is new or gone.
    pub field: Option<String>,
    /// Before; nothing for what is new.
    pub before: Option<String>,
    /// After; nothing for what is gone.
    pub after: Option<String>,
}

/// Something that is missing here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Name of the container; nothing for what is the pod's.
    pub container: Option<String>,
    /// The image or member.
    pub image: String,
    /// Why.
    pub why: String,
}
