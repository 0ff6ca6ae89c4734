//! The serial console: its last lines, and signs of trouble in them.
//!
//! QEMU writes the whole console to a file; here it is followed live, so that a panic is noticed
//! when it happens and the last lines are at hand for whoever reports an error.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod sign;
mod text;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::watch;

use self::text::Text;
pub(crate) use self::text::Told;

/// Follows a console. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    text: Arc<Mutex<Text>>,
    signs: watch::Receiver<Signs>,
    /// How many troubles were told.
    told: Arc<AtomicUsize>,
}

/// What was seen on the console so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    /// The kernel is about to run init. Only told from `loglevel=7` on.
    pub(crate) init: bool,
    /// The kernel panicked, or halted before it was one.
    pub(crate) panic: bool,
    /// How often it got into trouble without a panic (or before one).
    pub(crate) troubles: usize,
    /// What the last of them was.
    pub(crate) last: TroubleKind,
    /// Nothing more will come.
    pub(crate) closed: bool,
}

/// Trouble of which nobody was told before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    number: usize,
    pub(crate) kind: TroubleKind,
}

/// What kind of trouble a kernel is in that goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TroubleKind {
    /// An oops: a panic may follow.
    #[default]
    Oops,
    /// It killed somebody for lack of memory.
    Memory,
    /// A CPU or a task does not move.
    Lockup,
}

impl TroubleKind {
    /// Whether the line by which it is noticed is the first of what the kernel has to say.
    pub(crate) fn goes_on(self) -> bool {
        self != TroubleKind::Memory
    }
}

impl Console {
    /// Follows the console at the other end of `stream` until it is closed.
    pub(crate) fn follow(mut stream: UnixStream) -> Console {
        let text = Arc::<Mutex<Text>>::default();
        let (tell, signs) = watch::channel(Signs::default());
        let console = Console { text, signs, told: Arc::default() };
        let text = Arc::clone(&console.text);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                let signs = lock(&text).push(&buffer[..count]);
                tell.send_if_modified(|known| std::mem::replace(known, signs) != signs);
            }
            tell.send_modify(|signs| signs.closed = true);
        });
        console
    }

    /// Waits until the signs are as `wanted`, or nothing more will come.
    pub(crate) async fn shows(&self, wanted: impl Fn(&Signs) -> bool) -> Signs {
        let mut signs = self.signs.clone();
        match signs.wait_for(|signs| signs.closed || wanted(signs)).await.map(|signs| *signs) {
            Ok(signs) => signs,
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits for trouble that nobody was told of when this was first polled.
    pub(crate) async fn trouble(&self) -> Trouble {
        let known = self.told.load(Ordering::Relaxed);
        match self.shows(|signs| signs.troubles > known).await.trouble_beyond(known) {
            Some(trouble) => trouble,
            // The console was closed without one.
            None => std::future::pending().await,
        }
    }

    /// Trouble that nobody was told of yet.
    pub(crate) fn untold_trouble(&self) -> Option<Trouble> {
        self.signs.borrow().trouble_beyond(self.told.load(Ordering::Relaxed))
    }

    /// Tells somebody: this trouble ends the waits that are under way, and no later one.
    pub(crate) fn tell(&self, trouble: Trouble) -> Told {
        self.told.fetch_max(trouble.number, Ordering::Relaxed);
        lock(&self.text).trouble(trouble.kind)
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> Vec<String> {
        lock(&self.text).tail()
    }

    /// How the kernel ended, by the first words that it had for it.
    pub(crate) fn panic(&self) -> Option<Told> {
        lock(&self.text).end()
    }

    /// The kernel's last complaint that a CPU or a task does not move. It may be past.
    pub(crate) fn lockup(&self) -> Option<Told> {
        lock(&self.text).lockup()
    }
}

impl Signs {
    fn trouble_beyond(&self, known: usize) -> Option<Trouble> {
        let trouble = Trouble { number: self.troubles, kind: self.last };
        (self.troubles > known).then_some(trouble)
    }
}

fn lock(text: &Mutex<Text>) -> MutexGuard<'_, Text> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn each_trouble_ends_the_waits_that_are_under_way_and_no_later_one() {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        let console = Console::follow(ours);
        let waits = async { tokio::join!(console.trouble(), console.trouble()) };
        let say = theirs.write_all(b"Out of memory: Killed process 1 (a)\n");
        let ((one, two), said) = tokio::join!(waits, say);
        said.expect("written");
        assert!(console.untold_trouble().is_some());
        assert_eq!(console.tell(one), console.tell(two));
        assert!(console.untold_trouble().is_none());

        theirs.write_all(b"Out of memory: Killed process 2 (b)\n").await.expect("written");
        let trouble = console.trouble().await;
        assert!(console.tell(trouble).headline.contains("(b)"));
        theirs.write_all(b"x: 0000 [#1] SMP\n").await.expect("written");
        drop(theirs);
        console.shows(|signs| signs.closed).await;
        assert_eq!(console.untold_trouble().expect("untold").kind, TroubleKind::Oops);
    }
}
