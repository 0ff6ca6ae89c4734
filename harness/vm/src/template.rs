//! Templates: machines that were booted once, and are forked from then on.
//!
//! A template is made when it is first asked for: the machine boots, prepares itself, and its
//! state is stored in the cache under a digest of all that it depends on. Two processes may want
//! the same one: the second waits for the first. The folder is laid out as that of other cached
//! images is: an entry `templates/KEY` appears whole or not at all, the lock of its making is
//! `locks/templates-KEY`, and who uses an entry holds its file `lock` shared.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use model::message::{Hello, Request};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::command::Memory;
use crate::node::Started;
use crate::process::Birth;
use crate::snapshot::{Ram, Snapshot};
use crate::{Error, Machine, Node, Seat};

mod digest;
mod key;

use self::digest::Digest;

const KIND: &str = "templates";
const MEMORY: &str = "ram";
const STATE: &str = "state";
const RECORD: &str = "template.json";
const LOCK: &str = "lock";

/// How long the agent may take to get ready for being forked.
const PREPARE: Duration = Duration::from_secs(120);

/// How long a fork may take to answer for the first time, before it counts as one that does not
/// run.
const TRIAL: Duration = Duration::from_secs(30);

/// Between two looks whether another process is done.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What the making of templates tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A machine boots, to be forked from then on.
    Making,
    /// It took so long.
    Made(Duration),
    /// Machines like this cannot be forked here: each of them boots. Told once.
    Impossible(String),
    /// An entry of the cache was damaged, and is made again.
    Damaged(String),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Making => write!(f, "template: booting a machine to fork from"),
            Notice::Made(time) => write!(f, "template: made in {:.1} s", time.as_secs_f64()),
            Notice::Impossible(why) => write!(f, "no forks here, machines boot: {why}"),
            Notice::Damaged(what) => write!(f, "template: {what}, so it is made again"),
        }
    }
}

/// Machines to fork from. Cheap to clone.
#[derive(Clone)]
pub struct Templates {
    root: PathBuf,
    tell: Arc<dyn Fn(Notice) + Send + Sync>,
    offers: Arc<Mutex<BTreeMap<String, Offer>>>,
}

/// What there is of a machine, once that is known: nothing where it cannot be forked.
type Offer = Arc<OnceCell<Option<Snapshot>>>;

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Templates").field("root", &self.root).finish_non_exhaustive()
    }
}

/// What is written beside a template.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    hello: Hello,
    memory: Digest,
    state: Digest,
    /// Why it cannot be forked, as it turned out when that was tried.
    impossible: Option<String>,
}

impl Templates {
    /// Templates in the cache whose folder is `root`; what takes time or is of interest is told.
    #[must_use]
    pub fn new(root: &Path, tell: impl Fn(Notice) + Send + Sync + 'static) -> Templates {
        Templates { root: root.to_owned(), tell: Arc::new(tell), offers: Arc::default() }
    }

    /// A running node: a fork of the machine's template, which is made if there is none. Where
    /// the machine cannot be forked, it boots.
    ///
    /// # Errors
    /// As [`Machine::boot`], and when the cache cannot be written.
    pub async fn fork(&self, machine: &Machine, seat: Seat) -> Result<Node, Error> {
        match self.prepare(machine).await? {
            None => machine.boot(seat).await,
            Some(snapshot) => fork(&snapshot, seat).await,
        }
    }

    /// The machine's template, made if it is not there; none where it cannot be forked.
    pub(crate) async fn prepare(&self, machine: &Machine) -> Result<Option<Snapshot>, Error> {
        let key = key::of(machine)?;
        let offer = {
            let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(offers.entry(key.clone()).or_default())
        };
        offer.get_or_try_init(|| self.find_or_make(machine, &key)).await.cloned()
    }

    async fn find_or_make(&self, machine: &Machine, key: &str) -> Result<Option<Snapshot>, Error> {
        if let Some(found) = self.find(machine, key).await? {
            return Ok(found);
        }
        let _lock = self.lock(key).await?;
        // Whoever held the lock before may have made it.
        if let Some(found) = self.find(machine, key).await? {
            return Ok(found);
        }
        let began = Instant::now();
        (self.tell)(Notice::Making);
        self.make(machine, key).await?;
        (self.tell)(Notice::Made(began.elapsed()));
        let missing = || Error::host("find the template again")(io::ErrorKind::NotFound.into());
        self.find(machine, key).await?.ok_or_else(missing)
    }

    /// The entry, if it is there and whole; one that is damaged is removed.
    async fn find(&self, machine: &Machine, key: &str) -> Result<Option<Option<Snapshot>>, Error> {
        let entry = self.root.join(KIND).join(key);
        let Ok(held) = File::open(entry.join(LOCK)) else { return Ok(None) };
        held.lock_shared().map_err(Error::host(format!("lock {}", entry.display())))?;
        let place = entry.clone();
        let checked = spawn_blocking(move || check(&place));
        match checked.await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(record) => {
                // Its time says when it was last used; a cache that is read-only still serves.
                let _ = File::open(&entry).and_then(|it| it.set_modified(SystemTime::now()));
                Ok(Some(self.offer(machine, &entry, record, held)))
            }
            Err(why) => {
                (self.tell)(Notice::Damaged(why));
                match fs::remove_dir_all(&entry) {
                    // Another process has thought the same.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    removed => {
                        removed.map_err(Error::host(format!("remove {}", entry.display())))?;
                        Ok(None)
                    }
                }
            }
        }
    }

    fn offer(
        &self,
        machine: &Machine,
        entry: &Path,
        record: Record,
        held: File,
    ) -> Option<Snapshot> {
        if let Some(why) = record.impossible {
            (self.tell)(Notice::Impossible(why));
            return None;
        }
        Some(Snapshot {
            machine: machine.clone(),
            hello: record.hello,
            memory: entry.join(MEMORY),
            state: entry.join(STATE),
            console: entry.join("console-template.log"),
            held: Some(Arc::new(held)),
        })
    }

    /// Waits until no other process makes the entry. Asked for again and again, and not waited for
    /// by a thread: a program that is interrupted meanwhile could not end.
    async fn lock(&self, key: &str) -> Result<File, Error> {
        let path = self.root.join("locks").join(format!("{KIND}-{key}"));
        let failed = |error| Error::host(format!("lock {}", path.display()))(error);
        fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(failed)?;
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(failed)?;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) => sleep(LOOK_AGAIN).await,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// Makes the entry under another name and gives it its own when it is whole.
    async fn make(&self, machine: &Machine, key: &str) -> Result<(), Error> {
        let folder = self.root.join(KIND);
        let what = || format!("make a template in {}", folder.display());
        fs::create_dir_all(&folder).map_err(Error::host(what()))?;
        let partial =
            tempfile::Builder::new().prefix(&format!(".{key}.partial-")).tempdir_in(&folder);
        let partial = partial.map_err(Error::host(what()))?;
        let draft = Draft { machine, folder: partial.path() };
        let snapshot = draft.boot_and_save().await?;
        let impossible = draft.try_out(&snapshot).await.err().map(|error| first_line(&error));
        let (place, hello) = (partial.path().to_owned(), snapshot.hello.clone());
        let written = spawn_blocking(move || finish(&place, hello, impossible)).await;
        written
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(Error::host(what()))?;
        fs::rename(partial.keep(), folder.join(key)).map_err(Error::host(what()))
    }
}

/// A template in the making.
struct Draft<'a> {
    machine: &'a Machine,
    folder: &'a Path,
}

impl Draft<'_> {
    async fn boot_and_save(&self) -> Result<Snapshot, Error> {
        let (memory, state) = (self.folder.join(MEMORY), self.folder.join(STATE));
        let (seat, _far_ends) = Seat::aside("template", self.machine, self.folder)?;
        let birth = Birth { memory: Memory::File(&memory), incoming: false };
        let began = Instant::now();
        let started = Started::start(self.machine, seat, birth).await?;
        let hello = started.guest.greeting(self.machine.boot_patience()).await?;
        let node = started.node(self.machine, hello.clone(), began);
        node.guest().request(Request::Prepare, PREPARE).await?;
        node.stop().await?;
        node.save(&state, Ram::Apart).await?;
        node.kill().await;
        let (machine, console) = (self.machine.clone(), self.folder.join("console-template.log"));
        Ok(Snapshot { machine, hello, memory, state, console, held: None })
    }

    /// Whether a fork really runs.
    async fn try_out(&self, snapshot: &Snapshot) -> Result<(), Error> {
        let (seat, _far_ends) = Seat::aside("trial", self.machine, self.folder)?;
        let node = snapshot.fork(seat).await?;
        node.go_on().await?;
        node.guest().request(Request::Ping, TRIAL).await?;
        node.kill().await;
        Ok(())
    }
}

async fn fork(snapshot: &Snapshot, seat: Seat) -> Result<Node, Error> {
    let (identity, behind) = (seat.identity.clone(), seat.behind);
    let mut node = snapshot.fork(seat).await?;
    node.go_on().await?;
    node.assume(identity, behind).await?;
    Ok(node)
}

/// Writes down what the entry consists of, and sees it to the disk.
fn finish(entry: &Path, hello: Hello, impossible: Option<String>) -> io::Result<()> {
    let (memory, state) = (entry.join(MEMORY), entry.join(STATE));
    let record =
        Record { hello, memory: Digest::of(&memory)?, state: Digest::of(&state)?, impossible };
    fs::write(entry.join(RECORD), serde_json::to_vec_pretty(&record)?)?;
    fs::write(entry.join(LOCK), "")?;
    for file in [MEMORY, STATE, RECORD, LOCK] {
        File::open(entry.join(file))?.sync_all()?;
    }
    File::open(entry)?.sync_all()
}

/// What is written beside a template, if its files are what it says; else what is wrong.
fn check(entry: &Path) -> Result<Record, String> {
    let unreadable = |error: io::Error| format!("{}: {error}", entry.join(RECORD).display());
    let text = fs::read(entry.join(RECORD)).map_err(unreadable)?;
    let record: Record = serde_json::from_slice(&text).map_err(|error| unreadable(error.into()))?;
    for (name, expected) in [(MEMORY, &record.memory), (STATE, &record.state)] {
        let path = entry.join(name);
        match Digest::of(&path) {
            Ok(found) if found == *expected => {}
            Ok(_) => return Err(format!("{} is not what was written", path.display())),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
    }
    Ok(record)
}

fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
