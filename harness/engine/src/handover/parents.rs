//! The rounds on which a checkpoint builds: archives of their own, which mostly went over as copies while
//! the pod still ran. The taker asks for those that it does not have, before it says that it has all.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use super::{FromGiver, FromTaker, Talk, nothing, out_of_place, refused};
use crate::archive::{self, flush_folder, is_sha256, round_beside};
use crate::error::{About, Error};

/// Gives rounds away as long as the taker asks for some; what it says then.
pub(super) fn hear(
    talk: &mut Talk<impl Read + Write>,
    archive: &Path,
    what: &'static str,
) -> Result<FromTaker, Error> {
    loop {
        match talk.hear(what)? {
            FromTaker::Parent { sha256 } if is_sha256(&sha256) => {
                let round = round_beside(archive, &sha256);
                if !round.exists() {
                    talk.say(&FromGiver::Nothing)?;
                    return Err(refused(&round, "give", "it is not here"));
                }
                talk.send_file(&round)?;
            }
            other => return Ok(other),
        }
    }
}

/// Asks for the rounds that are not here, so that what has arrived is whole. What is no archive builds on
/// nothing: what it is, a restore says.
pub(super) fn complete(
    talk: &mut Talk<impl Read + Write>,
    archive: &Path,
    arriving: &Path,
) -> Result<(), Error> {
    for sha256 in archive::parents(arriving) {
        let round = round_beside(archive, &sha256);
        if !round.exists() {
            talk.say(&FromTaker::Parent { sha256: sha256.clone() })?;
            receive(talk, &round, &sha256)?;
        }
    }
    Ok(())
}

/// Receives a round, which has its name when it is whole and flushed; nothing stays otherwise.
fn receive(talk: &mut Talk<impl Read + Write>, round: &Path, sha256: &str) -> Result<(), Error> {
    let bytes = match talk.hear("a round")? {
        FromGiver::Archive { bytes } => bytes,
        FromGiver::Nothing => return Err(nothing(round)),
        said => return Err(out_of_place(&said)),
    };
    let partial = super::beside(round, ".partial", "");
    let received = talk.receive_file(bytes, &partial).and_then(|()| is_the_one(&partial, sha256));
    if received.is_err() {
        // The first failure is the one to tell.
        let _ = fs_err::remove_file(&partial);
    }
    received?;
    fs_err::rename(&partial, round).about("rename", &partial)?;
    flush_folder(round)
}

fn is_the_one(file: &Path, sha256: &str) -> Result<(), Error> {
    let mut opened = File::open(file).about("open", file)?;
    match archive::sha256(&mut opened).about("read", file)? == sha256 {
        true => Ok(()),
        false => Err(refused(file, "take", "it is another round than the checkpoint names")),
    }
}

/// Removes what was given, with the rounds on which nothing else here builds.
pub(super) fn forget(archive: &Path, given: &Path) -> Result<(), Error> {
    fs_err::remove_file(given).about("remove", given)?;
    archive::clear_strays(archive::folder_of(archive), Some(archive)).map(drop)
}
