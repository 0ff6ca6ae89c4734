//! The disk against the simplest disk that there is: two arrays, what is read and what survives.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::SECTOR;
use super::image::Image;
use super::medium::{Lands, Medium};

const SECTORS: usize = 64;

/// More than all sectors in pieces cost: nothing goes to the file before it must.
const ROOMY: usize = 1 << 20;

/// Room for a few extents.
const TIGHT: usize = 8 << 10;

#[derive(Clone, Debug)]
enum Step {
    Write { from: usize, count: usize, lands: Lands },
    Zero { from: usize, count: usize, lands: Lands },
    Read,
    Flush,
    Hold,
    Honour,
    Release,
    Settle,
    PowerCut,
    Branch,
}

fn step() -> impl Strategy<Value = Step> {
    let place =
        (0..SECTORS, 1..24_usize, prop_oneof![4 => Just(Lands::InCache), 1 => Just(Lands::OnDisk)]);
    let place = place.prop_map(|(from, count, lands)| (from, count.min(SECTORS - from), lands));
    prop_oneof![
        12 => place.clone().prop_map(|(from, count, lands)| Step::Write { from, count, lands }),
        4 => place.prop_map(|(from, count, lands)| Step::Zero { from, count, lands }),
        2 => Just(Step::Read),
        4 => Just(Step::Flush),
        1 => Just(Step::Hold),
        1 => Just(Step::Honour),
        1 => Just(Step::Release),
        1 => Just(Step::Settle),
        3 => Just(Step::PowerCut),
        1 => Just(Step::Branch),
    ]
}

/// One byte stands for a sector.
struct Model {
    now: [u8; SECTORS],
    survives: [u8; SECTORS],
    /// What was written since it was made to survive.
    since: Vec<BTreeSet<u8>>,
    held: Option<bool>,
    next: u8,
}

impl Model {
    fn new() -> Model {
        let (now, survives, since) = ([0; SECTORS], [0; SECTORS], vec![BTreeSet::new(); SECTORS]);
        Model { now, survives, since, held: None, next: 0 }
    }

    /// A flush that was held makes survive what was written before it.
    fn honour(&mut self) {
        if self.held == Some(true) {
            self.held = Some(false);
            self.make_all_survive();
        }
    }

    fn write(&mut self, from: usize, values: &[u8], lands: Lands) {
        self.honour();
        for (sector, &value) in (from..).zip(values) {
            self.now[sector] = value;
            self.since[sector].insert(value);
            if lands == Lands::OnDisk {
                self.make_survive(sector);
            }
        }
    }

    fn make_survive(&mut self, sector: usize) {
        self.survives[sector] = self.now[sector];
        self.since[sector].clear();
    }

    fn make_all_survive(&mut self) {
        (0..SECTORS).for_each(|sector| self.make_survive(sector));
    }

    /// Bytes that were not written before, of late.
    fn fresh(&mut self, count: usize) -> Vec<u8> {
        let fresh = (0..count).map(|_| {
            self.next = self.next.checked_add(1).unwrap_or(1);
            self.next
        });
        fresh.collect()
    }
}

struct Pair {
    medium: Medium,
    model: Model,
    cache_bytes: usize,
    folder: TempDir,
    branches: usize,
}

impl Pair {
    fn new(cache_bytes: usize) -> Pair {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk");
        std::fs::write(&path, [0; SECTORS * SECTOR as usize]).expect("a file");
        let medium = Medium::new(Image::open(&path).expect("opens"), cache_bytes);
        Pair { medium, model: Model::new(), cache_bytes, folder, branches: 0 }
    }

    fn take(&mut self, step: &Step) {
        let done = match *step {
            Step::Read => {
                self.compare(step);
                Ok(())
            }
            Step::Write { from, count, lands } => {
                let values = self.model.fresh(count);
                self.model.write(from, &values, lands);
                self.medium.write(from as u64 * SECTOR, &sectors(&values), lands)
            }
            Step::Zero { from, count, lands } => {
                self.model.write(from, &vec![0; count], lands);
                self.medium.zero(from as u64 * SECTOR, count as u64 * SECTOR, lands)
            }
            Step::Flush => {
                match &mut self.model.held {
                    Some(came) => *came = true,
                    None => self.model.make_all_survive(),
                }
                self.medium.flush()
            }
            Step::Hold => {
                self.model.held.get_or_insert(false);
                self.medium.hold();
                Ok(())
            }
            Step::Honour => {
                self.model.honour();
                self.medium.honour()
            }
            Step::Release => {
                self.model.held = None;
                self.medium.release();
                Ok(())
            }
            Step::Settle => {
                self.model.held = None;
                self.model.make_all_survive();
                self.medium.settle()
            }
            Step::PowerCut => {
                self.power_cut();
                Ok(())
            }
            Step::Branch => {
                self.branches += 1;
                let path = self.folder.path().join(self.branches.to_string());
                self.model.held = None;
                self.medium.branch(&path).map(|branch| self.medium = branch)
            }
        };
        done.expect("the host is well");
        // Reading shows that the guest goes on, which decides about a flush that is held.
        if self.model.held != Some(true) {
            self.compare(step);
        }
    }

    fn compare(&mut self, step: &Step) {
        self.model.honour();
        assert_eq!(self.read(), self.model.now, "after {step:?}");
    }

    fn power_cut(&mut self) {
        self.model.honour();
        self.model.held = None;
        self.medium.lose().expect("the host is well");
        let found = self.read();
        for (sector, value) in found.into_iter().enumerate() {
            let may = &self.model.since[sector];
            let early = self.cache_bytes < ROOMY && may.contains(&value);
            assert!(value == self.model.survives[sector] || early, "sector {sector}: {value}");
        }
        self.model.now = found;
        self.model.make_all_survive();
    }

    fn read(&mut self) -> [u8; SECTORS] {
        let mut bytes = vec![0xff; SECTORS * SECTOR as usize];
        self.medium.read(0, &mut bytes).expect("the host is well");
        let mut values = [0; SECTORS];
        for (value, sector) in values.iter_mut().zip(bytes.chunks(SECTOR as usize)) {
            *value = sector[0];
            assert!(sector.iter().all(|byte| byte == value), "a torn sector");
        }
        values
    }
}

fn sectors(values: &[u8]) -> Vec<u8> {
    values.iter().flat_map(|&value| [value; SECTOR as usize]).collect()
}

fn agree(cache_bytes: usize, steps: &[Step]) {
    let mut pair = Pair::new(cache_bytes);
    steps.iter().for_each(|step| pair.take(step));
    let path = pair.medium.image().path().to_owned();
    pair.medium.settle().expect("the host is well");
    assert_eq!(file(&path), sectors(&pair.model.now), "the file after all was settled");
}

fn file(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("a file")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_roomy_cache_loses_exactly_what_was_not_flushed(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        agree(ROOMY, &steps);
    }

    #[test]
    fn a_tight_cache_loses_nothing_that_was_flushed(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        agree(TIGHT, &steps);
    }
}
