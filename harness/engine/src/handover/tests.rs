//! Both ends talk over a socket pair, which breaks wherever a test wants it to.

use std::os::unix::net::UnixStream;
use std::thread;

use model::message::Decision;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::archive::tests::rounds::built;
use crate::archive::{self, round_beside};
use crate::watch::PhaseReached;

struct Told(Vec<&'static str>);

impl Watch for Told {
    fn step(&mut self, step: Step) {
        self.0.push(step.name());
    }

    fn phase(&mut self, _: PhaseReached<'_>) -> Decision {
        Decision::Continue
    }
}

/// A peer whose connection ends after it has said so many bytes.
struct Fragile {
    stream: UnixStream,
    left: usize,
}

impl Read for Fragile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Fragile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let some = bytes.len().min(self.left);
        if some == 0 {
            // Whatever is on its way is lost as well.
            let _ = self.stream.shutdown(std::net::Shutdown::Both);
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.left -= some;
        self.stream.write(&bytes[..some])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Two nodes' folders; the first one has the archive.
struct Nodes {
    _folder: TempDir,
    giver: PathBuf,
    taker: PathBuf,
}

const CONTENT: &[u8] = b"all of a pod, and nothing but it";
const WHOLE: usize = usize::MAX;
const WORD_OF_ANOTHER: &str = "0123456789abcdef0123456789abcdef";

impl Nodes {
    fn new() -> Nodes {
        let folder = tempfile::tempdir().expect("a folder");
        let [giver, taker] = ["giver", "taker"].map(|node| {
            fs_err::create_dir(folder.path().join(node)).expect("a node");
            folder.path().join(node).join("pod.tar.zst")
        });
        fs_err::write(&giver, CONTENT).expect("an archive");
        Nodes { _folder: folder, giver, taker }
    }

    /// One try, in which either end may say so many bytes.
    fn talk(&self, [by_giver, by_taker]: [usize; 2]) -> (Result<Gave, Error>, Result<u64, Error>) {
        let (here, there) = UnixStream::pair().expect("a connection");
        let taker = self.taker.clone();
        let takes = thread::spawn(move || {
            let peer = Fragile { stream: there, left: by_taker };
            take(&taker, peer, &mut Told(Vec::new()))
        });
        let peer = Fragile { stream: here, left: by_giver };
        let gave = give(&self.giver, peer, &mut Told(Vec::new()));
        (gave, takes.join().expect("no panic"))
    }

    /// Who may restore the pod: the promise of this module.
    fn owners(&self) -> usize {
        [&self.giver, &self.taker].into_iter().filter(|archive| archive.exists()).count()
    }

    fn names(&self, archive: &Path) -> Vec<String> {
        let folder = archive.parent().expect("a folder");
        let entries = fs_err::read_dir(folder).expect("listed");
        let name = |entry: io::Result<fs_err::DirEntry>| entry.expect("an entry").file_name();
        entries.map(|entry| name(entry).into_string().expect("a name")).collect()
    }
}

#[test]
fn an_archive_goes_over_and_nothing_stays() {
    let nodes = Nodes::new();
    let (gave, took) = nodes.talk([WHOLE; 2]);
    assert_eq!((gave.expect("given"), took.expect("taken")), (Gave::Thanked, CONTENT.len() as u64));
    assert_eq!(fs_err::read(&nodes.taker).expect("an archive"), CONTENT);
    assert_eq!(nodes.names(&nodes.giver), [""; 0]);
    assert_eq!(nodes.names(&nodes.taker), ["pod.tar.zst"]);
}

#[test]
fn what_was_given_to_one_is_given_to_nobody_else() {
    let nodes = Nodes::new();
    // The bytes of the archive's announcement and content pass, and `Yours` does not.
    let announced = serde_json::to_vec(&FromGiver::Archive { bytes: CONTENT.len() as u64 });
    let passed = announced.expect("JSON").len() + 1 + CONTENT.len();
    let (gave, took) = nodes.talk([passed, WHOLE]);
    assert_eq!(gave.expect("given"), Gave::Given);
    assert!(took.is_err());
    assert_eq!(nodes.owners(), 0, "neither may restore it before the word has come");
    let taker = nodes.taker.clone();
    let third = nodes.giver.with_file_name("third.tar.zst");
    let stranger = Nodes { taker: third.clone(), ..nodes };
    let (gave, took) = stranger.talk([WHOLE; 2]);
    assert!(gave.expect_err("refused").to_string().contains("given to another"));
    assert!(took.expect_err("refused").to_string().contains("given it to another"));
    assert!(!third.exists());
    let second = Nodes { taker: taker.clone(), ..stranger };
    assert_eq!(second.talk([WHOLE; 2]).1.expect("told again"), CONTENT.len() as u64);
    assert_eq!(fs_err::read(&taker).expect("an archive"), CONTENT);
}

#[test]
fn a_later_archive_is_not_taken_for_one_that_was_given_before() {
    let nodes = Nodes::new();
    let before = beside(&nodes.giver, GIVEN, WORD_OF_ANOTHER);
    fs_err::write(&before, b"the archive of last week").expect("written");
    assert_eq!(nodes.talk([WHOLE; 2]).0.expect("given"), Gave::Thanked);
    assert_eq!(fs_err::read(&nodes.taker).expect("an archive"), CONTENT);
    assert!(before.exists(), "nobody has thanked for that one");
}

/// A pod that ran on pages to come, and had to be ended: its taker has its word and nothing else.
#[test]
fn what_was_given_before_its_pages_is_given_again_to_who_knows_the_word() {
    let nodes = Nodes::new();
    let given = beside(&nodes.giver, GIVEN, WORD_OF_ANOTHER);
    fs_err::rename(&nodes.giver, &given).expect("given");
    let stranger = nodes.taker.with_file_name("stranger.tar.zst");
    let [own, other] = [nodes.taker.clone(), stranger];
    let nodes = Nodes { taker: other, ..nodes };
    assert!(nodes.talk([WHOLE; 2]).1.is_err(), "nobody else gets it");
    let nodes = Nodes { taker: own, ..nodes };
    let thin = beside(&nodes.taker, ".lazy-", WORD_OF_ANOTHER);
    fs_err::write(&thin, b"all but its pages").expect("written");
    assert!(nodes.talk([20, WHOLE]).1.is_err(), "the wire breaks once more");
    assert_eq!(nodes.owners(), 0);
    assert_eq!(nodes.talk([WHOLE; 2]).0.expect("given"), Gave::Thanked);
    assert_eq!(fs_err::read(&nodes.taker).expect("an archive"), CONTENT);
    assert_eq!(nodes.names(&nodes.taker), ["pod.tar.zst"]);
    assert_eq!(nodes.names(&nodes.giver), [""; 0]);
}

#[test]
fn an_archive_of_ones_own_is_not_written_over() {
    let nodes = Nodes::new();
    fs_err::write(&nodes.taker, b"of our own").expect("written");
    let (gave, took) = nodes.talk([WHOLE; 2]);
    assert!(gave.is_err());
    assert!(took.expect_err("refused").to_string().contains("already"));
    assert_eq!(fs_err::read(&nodes.taker).expect("an archive"), b"of our own");
}

#[test]
fn what_a_giver_knows_nothing_of_is_kept() {
    let nodes = Nodes::new();
    fs_err::remove_file(&nodes.giver).expect("lost");
    let arrived = beside(&nodes.taker, ARRIVING, WORD_OF_ANOTHER);
    fs_err::write(&arrived, CONTENT).expect("written");
    assert!(nodes.talk([WHOLE; 2]).1.is_err());
    assert!(arrived.exists(), "it may be the last one");
}

#[test]
fn another_archive_than_the_one_that_arrived_is_not_ours() {
    let nodes = Nodes::new();
    let arrived = beside(&nodes.taker, ARRIVING, WORD_OF_ANOTHER);
    fs_err::write(&arrived, b"what arrived yesterday").expect("written");
    let (gave, took) = nodes.talk([WHOLE; 2]);
    assert!(gave.is_err() && took.is_err());
    assert!(nodes.giver.exists() && !nodes.taker.exists() && !arrived.exists());
    assert!(nodes.talk([WHOLE; 2]).1.is_ok(), "the next try begins anew");
}

/// Nodes of which the first has a checkpoint that builds on two rounds.
fn nodes_with_rounds() -> (Nodes, Vec<PathBuf>) {
    let nodes = Nodes::new();
    built(nodes.giver.parent().expect("a folder"));
    let beside = |sha256: &String| round_beside(&nodes.taker, sha256);
    let rounds = archive::parents(&nodes.giver).iter().map(beside).collect();
    (nodes, rounds)
}

#[test]
fn rounds_that_the_taker_lacks_go_over_with_the_checkpoint() {
    let (nodes, rounds) = nodes_with_rounds();
    // One of them is there, and the other one is not to be had yet.
    let here = |round: &Path| nodes.giver.with_file_name(round.file_name().expect("a name"));
    fs_err::copy(here(&rounds[0]), &rounds[0]).expect("carried");
    let hidden = nodes.giver.with_file_name("hidden");
    fs_err::rename(here(&rounds[1]), &hidden).expect("hidden");
    let (gave, took) = nodes.talk([WHOLE; 2]);
    assert!(gave.expect_err("not whole").to_string().contains("it is not here"));
    assert!(took.is_err() && nodes.giver.exists() && !nodes.taker.exists());
    fs_err::rename(&hidden, here(&rounds[1])).expect("shown");
    assert_eq!(nodes.talk([WHOLE; 2]).0.expect("given"), Gave::Thanked);
    archive::verify(&nodes.taker).expect("whole, with its rounds");
    assert_eq!(nodes.names(&nodes.giver), [""; 0], "rounds are given away too");
}

#[test]
fn another_round_than_the_one_that_is_named_is_not_taken() {
    let (nodes, rounds) = nodes_with_rounds();
    let here = |round: &Path| nodes.giver.with_file_name(round.file_name().expect("a name"));
    fs_err::copy(here(&rounds[0]), here(&rounds[1])).expect("forged");
    let (_, took) = nodes.talk([WHOLE; 2]);
    assert!(took.expect_err("refused").to_string().contains("another round"));
    assert!(nodes.giver.exists() && !rounds[1].exists());
}

#[rstest::rstest]
#[case::no_json(b"\x7fELF\n")]
#[case::endless(&[b'x'; 9000])]
#[case::a_way_out(br#"{"Ask":{"word":"/../../../../../../etc/passwd/..","have":null}}"#)]
#[case::a_round_of_another_folder(br#"{"Parent":{"sha256":"/../../../etc/passwd"}}"#)]
#[case::out_of_place(br#""Thanks""#)]
#[case::nothing(b"")]
fn a_stranger_gets_nothing(#[case] said: &[u8]) {
    let nodes = Nodes::new();
    let (here, mut there) = UnixStream::pair().expect("a connection");
    there.write_all(said).and_then(|()| there.write_all(b"\n")).expect("said");
    there.shutdown(std::net::Shutdown::Write).expect("the end");
    assert!(give(&nodes.giver, here, &mut Told(Vec::new())).is_err());
    assert_eq!(nodes.names(&nodes.giver), ["pod.tar.zst"]);
}

proptest! {
    /// The connection breaks anywhere, as often as it likes; then it does not.
    #[test]
    fn there_are_never_two_owners_and_nothing_is_lost(
        breaks in prop::collection::vec((0..160usize, 0..260usize), 0..6),
    ) {
        let nodes = Nodes::new();
        for (by_giver, by_taker) in breaks {
            let (_, took) = nodes.talk([by_giver, by_taker]);
            prop_assert!(nodes.owners() <= 1);
            prop_assert_eq!(took.is_ok(), nodes.taker.exists());
            if took.is_ok() {
                break;
            }
        }
        if !nodes.taker.exists() {
            let (_, took) = nodes.talk([WHOLE; 2]);
            prop_assert!(took.is_ok(), "{took:?}");
        }
        prop_assert_eq!(nodes.owners(), 1);
        prop_assert_eq!(fs_err::read(&nodes.taker).expect("an archive"), CONTENT);
        prop_assert_eq!(nodes.names(&nodes.taker), ["pod.tar.zst"]);
    }
    /// The same with rounds: who owns the pod has all of it.
    #[test]
    fn whoever_owns_a_checkpoint_has_its_rounds(
        breaks in prop::collection::vec((0..2600usize, 0..900usize), 0..6),
    ) {
        let (nodes, _) = nodes_with_rounds();
        for (by_giver, by_taker) in breaks.into_iter().chain([(WHOLE, WHOLE)]) {
            let (_, took) = nodes.talk([by_giver, by_taker]);
            prop_assert!(nodes.owners() <= 1);
            prop_assert_eq!(took.is_ok(), nodes.taker.exists());
            let owner = [&nodes.giver, &nodes.taker].into_iter().find(|archive| archive.exists());
            let whole = owner.is_none_or(|owner| archive::verify(owner).is_ok());
            prop_assert!(whole, "an owner without rounds");
            if took.is_ok() {
                break;
            }
        }
        prop_assert!(nodes.taker.exists());
    }
}
