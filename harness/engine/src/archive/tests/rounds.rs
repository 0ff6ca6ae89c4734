//! Checkpoints that build on rounds.

use super::*;

const INVENTORY: &str = "containers/main/images/inventory.img";

/// The archive of a checkpoint that builds on two rounds beside it, in a folder.
pub(crate) fn built(folder: &Path) -> PathBuf {
    let path = folder.join("pod.tar.zst");
    let mut parents = Vec::new();
    for text in ["round one", "round two"] {
        let work = super::folder();
        put(work.path(), INVENTORY, text);
        let mut round = manifest(work.path());
        put(work.path(), INVENTORY, text);
        round.holds = Holds::Round;
        round.parents.clone_from(&parents);
        round.members = digest_members(work.path(), [INVENTORY.to_owned()]).expect("digests");
        let written = write(&path, &round, work.path()).expect("written");
        parents.push(written.sha256.clone());
        let name = round_beside(&path, &written.sha256);
        written.called(name).commit().expect("committed");
    }
    let work = super::folder();
    let checkpoint = Manifest { parents, ..manifest(work.path()) };
    write(&path, &checkpoint, work.path()).expect("written").commit().expect("committed");
    path
}

fn rounds(path: &Path) -> Vec<PathBuf> {
    parents(path).iter().map(|sha256| round_beside(path, sha256)).collect()
}

#[test]
fn rounds_are_unpacked_below_the_checkpoint_and_linked() {
    let (work, target) = (folder(), folder());
    let path = built(work.path());
    let manifest = unpack(open(&path).expect("opened"), target.path()).expect("unpacked");
    assert_eq!(manifest, verify(&path).expect("verified"));
    let images = target.path().join("containers/main/images");
    let read = |way: &str| std::fs::read_to_string(images.join(way).join("inventory.img"));
    assert_eq!(read("parent").expect("linked"), "round two");
    assert_eq!(read("parent/parent").expect("linked"), "round one");
    read("parent/parent/parent").expect_err("nothing is before the first");
}

#[test]
fn a_checkpoint_without_one_of_its_rounds_is_refused_in_words() {
    let work = folder();
    let path = built(work.path());
    let [first, second] = &rounds(&path)[..] else { panic!("two rounds") };
    std::fs::rename(second, work.path().join("away")).expect("moved");
    let name = second.file_name().expect("a name").to_string_lossy();
    assert!(
        why(&path).starts_with(&format!("round 2 of 2, {name}: cannot be read")),
        "{}",
        why(&path)
    );
    std::fs::copy(first, second).expect("copied");
    assert!(why(&path).ends_with("it is another one than the checkpoint names"), "{}", why(&path));
    show(&path).expect("a manifest can be shown without");
}

#[test]
fn a_round_is_no_checkpoint_and_a_checkpoint_no_round() {
    let work = folder();
    let path = built(work.path());
    let round = rounds(&path).remove(0);
    verify(&round).expect("it is whole");
    let refused = open(&round).map(drop).expect_err("refused").to_string();
    assert_eq!(refused, "manifest.json: it holds a round, and no checkpoint");
    let (_other, whole) = whole();
    let mut opened = std::fs::File::open(&whole).expect("opened");
    let sha256 = sha256(&mut opened).expect("read");
    std::fs::copy(&whole, round_beside(&path, &sha256)).expect("copied");
    let target = folder();
    let forger = Manifest { parents: vec![sha256], ..manifest(target.path()) };
    write(&path, &forger, target.path()).expect("written").commit().expect("committed");
    assert!(why(&path).ends_with("it is no round of this pod"), "{}", why(&path));
}

#[test]
fn a_round_is_called_by_its_digest_and_nothing_else() {
    for parent in ["../../../etc/passwd".to_owned(), "0F".repeat(32), String::new()] {
        let work = folder();
        let manifest = Manifest { parents: vec![parent.clone()], ..manifest(work.path()) };
        let (_work, path) = forged(&manifest, &[]);
        assert_eq!(why(&path), format!("manifest.json: `{parent}` is no SHA-256 of a round"));
    }
    let work = folder();
    let manifest = Manifest { parents: vec!["0f".repeat(32); 33], ..manifest(work.path()) };
    assert_eq!(why(&forged(&manifest, &[]).1), "manifest.json: builds on more than 32 rounds");
}

#[test]
fn rounds_on_which_nothing_builds_are_strays() {
    let work = folder();
    let path = built(work.path());
    let half = round_beside(&path, &"0f".repeat(32)).with_extension("copying");
    let other = round_beside(&work.path().join("other"), &"0f".repeat(32));
    for stray in [&half, &other] {
        std::fs::write(stray, "x").expect("written");
    }
    assert_eq!(clear_strays(work.path(), Some(&path)).expect("cleared"), 0);
    let stray = round_beside(&path, &"0f".repeat(32));
    std::fs::rename(&half, &stray).expect("renamed");
    assert_eq!(clear_strays(work.path(), Some(&path)).expect("cleared"), 1);
    assert_eq!(clear_strays(work.path(), None).expect("cleared"), 1, "the other one's");
    verify(&path).expect("whole");
    std::fs::rename(&path, work.path().join("pod.tar.zst.given-1")).expect("renamed");
    assert_eq!(clear_strays(work.path(), None).expect("cleared"), 0, "a given one builds on them");
    std::fs::remove_file(work.path().join("pod.tar.zst.given-1")).expect("removed");
    assert_eq!(clear_strays(work.path(), None).expect("cleared"), 2);
}
