//! `lab logs`: the consoles of a node, one start after the other.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::sync::mpsc::{self, Receiver};

use super::client::{Client, refused, wait_for};
use super::protocol::{Request, ToCommand};
use crate::print;
use crate::status::Exit;

/// How much is read and printed at once.
const PIECE_BYTES: usize = 64 << 10;

/// Prints the consoles so far; with `follow`, goes on until the lab is taken down.
pub(crate) fn show(node: &str, follow: bool) -> Result<u8, Exit> {
    wait_for(follow_consoles(node, follow)).map(|()| 0)
}

async fn follow_consoles(node: &str, follow: bool) -> Result<(), Exit> {
    let mut client = Client::connect(Request::Logs { node: node.to_owned(), follow }).await?;
    let mut consoles = Consoles::of(node).context("watch consoles")?;
    loop {
        tokio::select! {
            message = client.incoming.next() => match message? {
                Some(ToCommand::Consoles(folders)) => consoles.look_into(folders)?,
                Some(ToCommand::Done(done)) => return done.map(drop).map_err(refused),
                Some(_) => {}
                // The lab was taken down.
                None => return Ok(()),
            },
            Some(()) = consoles.news.recv() => {}
        }
        consoles.print_news()?;
    }
}

/// The consoles of a node, which are followed.
struct Consoles {
    node: String,
    folders: Vec<PathBuf>,
    /// Bytes that were printed of each.
    printed: BTreeMap<PathBuf, u64>,
    watch: Arc<Inotify>,
    /// Something was written.
    news: Receiver<()>,
}

impl Consoles {
    fn of(node: &str) -> anyhow::Result<Self> {
        let watch = Arc::new(Inotify::init(InitFlags::IN_CLOEXEC)?);
        let (tell, news) = mpsc::channel(1);
        let watched = Arc::clone(&watch);
        // It ends with the process. What was written where does not matter: all are looked at.
        thread::spawn(move || {
            while watched.read_events().is_ok() {
                // One that has not been heard yet stands for this one, too.
                let _ = tell.try_send(());
            }
        });
        let (node, folders, printed) = (node.to_owned(), Vec::new(), BTreeMap::new());
        Ok(Consoles { node, folders, printed, watch, news })
    }

    fn look_into(&mut self, folders: Vec<PathBuf>) -> anyhow::Result<()> {
        for folder in &folders {
            let news = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE;
            let added = self.watch.add_watch(folder, news);
            added.with_context(|| folder.display().to_string())?;
        }
        self.folders = folders;
        Ok(())
    }

    fn print_news(&mut self) -> anyhow::Result<()> {
        for path in consoles(&self.folders, &self.node)? {
            if !self.printed.contains_key(&path) {
                print(&format!("==> {}\n", path.display()))?;
            }
            let printed = self.printed.entry(path.clone()).or_default();
            *printed += print_from(&path, *printed)?;
        }
        Ok(())
    }
}

/// The files `console-NODE-N.log`, in the order of their making.
fn consoles(folders: &[PathBuf], node: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for (order, folder) in folders.iter().enumerate() {
        for entry in fs_err::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let number = name.strip_prefix("console-").and_then(|name| name.strip_prefix(node));
            let number = number.and_then(|it| it.strip_prefix('-')?.strip_suffix(".log"));
            if let Some(Ok(number)) = number.map(str::parse::<u32>) {
                found.push((order, number, path));
            }
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(.., path)| path).collect())
}

/// Prints a file from a place on; how many bytes there were.
fn print_from(path: &Path, from: u64) -> anyhow::Result<u64> {
    let mut file = fs_err::File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let (mut buffer, mut total) = (vec![0; PIECE_BYTES], 0);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(total);
        }
        total += count as u64;
        print(&harmless(&buffer[..count]))?;
    }
}

/// What a guest wrote, without what would move a cursor or worse.
fn harmless(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let kept = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consoles_are_in_the_order_of_their_making() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["console-a-10.log", "console-a-2.log", "console-ab-1.log", "console-a-x.log"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        let found = consoles(&[folder.path().to_owned()], "a").expect("listed");
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["console-a-2.log", "console-a-10.log"]);
    }

    #[test]
    fn a_console_does_nothing_to_the_terminal() {
        assert_eq!(harmless(b"\x1b[2Jone\r\n\ttwo\x07"), "[2Jone\n\ttwo");
    }
}
