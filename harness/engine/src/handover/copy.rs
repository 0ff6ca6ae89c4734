//! A copy of an archive for another node, which owns nothing by it: whoever analyses a checkpoint of
//! a pod that runs on. It has a name of its own there, under which nobody looks for a pod to restore.

use std::io::{Read, Write};
use std::path::Path;

use model::Step;

use super::{FromGiver, FromTaker, Gave, Talk, beside, out_of_place, receive, refused};
use crate::archive::{digest_file, flush_folder};
use crate::error::{About, Error};
use crate::watch::Watch;

/// Serves one who wants a copy. Step: `send`.
///
/// # Errors
/// What failed. The archive stays as it is, whatever happens.
pub fn lend(archive: &Path, peer: impl Read + Write, watch: &mut dyn Watch) -> Result<Gave, Error> {
    let mut talk = Talk::with(peer);
    match talk.hear("the question for a copy")? {
        FromTaker::Copy => {}
        said => return Err(out_of_place(&said)),
    }
    watch.step(Step::Send);
    give_copy(&mut talk, archive)?;
    Ok(Gave::Thanked)
}

/// Sends a copy to one who has asked for it.
pub(super) fn give_copy(talk: &mut Talk<impl Read + Write>, archive: &Path) -> Result<(), Error> {
    talk.send_file(archive)?;
    let content = match talk.hear("that all has arrived")? {
        FromTaker::Have { content } => content,
        said => return Err(out_of_place(&said)),
    };
    if content != digest_file(archive)? {
        talk.say(&FromGiver::Other)?;
        return Err(refused(archive, "lend", "something else arrived there"));
    }
    talk.say(&FromGiver::Same)
}

/// Gets a copy, which has its name when it is whole and flushed. Steps: `receive`, `keep`. Returns
/// its length.
///
/// # Errors
/// What failed; nothing stays then.
pub fn copy(copy: &Path, peer: impl Read + Write, watch: &mut dyn Watch) -> Result<u64, Error> {
    if copy.exists() {
        return Err(refused(copy, "copy to", "there is a file already"));
    }
    let mut talk = Talk::with(peer);
    talk.say(&FromTaker::Copy)?;
    watch.step(Step::Receive);
    let arriving = beside(copy, ".copying", "");
    let content = receive(&mut talk, copy, &arriving)?;
    let same = talk.say(&FromTaker::Have { content: content.clone() });
    match same.and_then(|()| talk.hear("that it is the same")) {
        Ok(FromGiver::Same) => {}
        other => {
            // The first failure is the one to tell.
            let _ = fs_err::remove_file(&arriving);
            return Err(other.map_or_else(|error| error, |said| out_of_place(&said)));
        }
    }
    watch.step(Step::Keep);
    fs_err::rename(&arriving, copy).about("rename", &arriving)?;
    flush_folder(copy)?;
    Ok(content.bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::super::{give, take};
    use super::*;
    use crate::again::Unwatched;

    /// Lets both sides talk over a socket.
    fn between<G: Send, T>(
        giver: impl FnOnce(UnixStream) -> G + Send,
        taker: impl FnOnce(UnixStream) -> T,
    ) -> (G, T) {
        let (left, right) = UnixStream::pair().expect("a pair");
        std::thread::scope(|scope| {
            let gives = scope.spawn(move || giver(left));
            let taken = taker(right);
            (gives.join().expect("no panic"), taken)
        })
    }

    #[test]
    fn a_copy_leaves_the_archive_where_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let (archive, target) = (folder.path().join("archive"), folder.path().join("copy"));
        std::fs::write(&archive, vec![7; 700_000]).expect("written");
        let lends = |peer| lend(&archive, peer, &mut Unwatched);
        let (lent, bytes) = between(lends, |peer| copy(&target, peer, &mut Unwatched));
        assert_eq!((lent.expect("lent"), bytes.expect("copied")), (Gave::Thanked, 700_000));
        let read = |path| std::fs::read(path).expect("there");
        assert_eq!(read(&archive), read(&target));
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 2);
    }

    #[test]
    fn nothing_is_written_over_and_nothing_given_away_by_a_copy() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = folder.path().join("archive");
        std::fs::write(&archive, "mine").expect("written");
        let (peer, _) = UnixStream::pair().expect("a pair");
        copy(&archive, peer, &mut Unwatched).expect_err("there is a file already");
        let target = folder.path().join("copy");
        let gives = |peer| give(&archive, peer, &mut Unwatched);
        let (gave, copied) = between(gives, |peer| copy(&target, peer, &mut Unwatched));
        assert!(gave.is_err() && copied.is_err() && !target.exists());
        let lends = |peer| lend(&archive, peer, &mut Unwatched);
        let (lent, taken) = between(lends, |peer| take(&target, peer, &mut Unwatched));
        assert!(lent.is_err() && taken.is_err() && !target.exists());
        assert_eq!(std::fs::read_to_string(&archive).expect("there"), "mine");
    }
}
