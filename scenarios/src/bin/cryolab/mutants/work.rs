//! All mutants of one workload: controls first, then as many at once as there are processors.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use anyhow::anyhow;
use model::mutant::{Family, Mutant};
use tempfile::TempDir;
use tokio::task::{JoinSet, LocalSet};

use super::bed::Play;
use super::choice::{Wish, full_name};
use super::equivalent;
use super::judge::{Baseline, Seen};
use super::report::{Judged, Outcome, Report};
use super::scene::Scene;
use super::trial::{self, Came, Found};
use crate::arguments::Mutants;
use crate::status::Exit;

/// A workload's mutants, and where they run.
pub(super) struct Work {
    workload: String,
    jobs: usize,
    shared: Rc<Shared>,
    mutants: Vec<Mutant>,
}

/// What those who work at the same time share.
struct Shared {
    scene: Scene,
    folder: TempDir,
    report: Rc<Report>,
    queue: RefCell<VecDeque<Mutant>>,
    done: RefCell<Vec<Done>>,
    baselines: RefCell<Baselines>,
}

/// A mutant that was tried.
struct Done {
    mutant: Mutant,
    came: anyhow::Result<Came>,
    took_ms: u128,
}

impl Work {
    /// Plays the story, and asks what can be spoiled.
    pub(super) async fn begin(
        play: Play,
        wanted: &Mutants,
        report: Rc<Report>,
    ) -> Result<Work, Exit> {
        let workload = play.workload.name.clone();
        report.note(&format!("{workload}: playing the story up to the restored pod"));
        fs_err::create_dir_all(&play.folder).map_err(Exit::lab)?;
        let folder = tempfile::Builder::new().prefix(".forks-").tempdir_in(&play.folder);
        let folder = folder.map_err(Exit::lab)?;
        let scene = Scene::play(&play).await?;
        let all = trial::list(&scene, folder.path()).await?;
        let possible = all.iter().filter(|mutant| !mutant.control).count();
        let wish = Wish { filter: wanted.filter.as_deref(), most: wanted.most, seed: wanted.seed };
        let mutants = wish.choose(&all, &workload);
        report.note(&format!("{workload}: {possible} mutants are possible"));
        report.expect(mutants.len());
        let (queue, done, baselines) = Default::default();
        let shared = Rc::new(Shared { scene, folder, report, queue, done, baselines });
        let jobs = wanted.jobs.map_or_else(cpus, usize::from);
        Ok(Work { workload, jobs, shared, mutants })
    }

    /// Runs them all and reports each.
    pub(super) async fn through(self) -> Result<(), Exit> {
        let (controls, mutants): (Vec<Mutant>, Vec<Mutant>) =
            self.mutants.iter().cloned().partition(|mutant| mutant.control);
        let controls = self.run(controls, |_| {}).await;
        for (index, done) in controls.iter().enumerate() {
            let others = Baselines::without(&controls, index);
            self.shared.report.add(self.judged(done, &others));
        }
        self.shared.baselines.replace(Baselines::among(controls.iter()));
        let judged = |done: &Done| self.judged(done, &self.shared.baselines.borrow());
        self.run(mutants, |done| self.shared.report.add(judged(done))).await;
        Ok(())
    }

    /// Tries mutants, and tells of each as soon as it was tried.
    async fn run(&self, mutants: Vec<Mutant>, mut tell: impl FnMut(&Done)) -> Vec<Done> {
        self.shared.queue.borrow_mut().extend(mutants);
        let local = LocalSet::new();
        let all = async {
            let mut working = JoinSet::new();
            for _ in 0..self.jobs {
                working.spawn_local(Rc::clone(&self.shared).work());
            }
            let mut finished = Vec::new();
            while let Some(more) = working.join_next().await {
                for done in self.shared.done.take() {
                    tell(&done);
                    finished.push(done);
                }
                if matches!(more, Ok(true)) {
                    working.spawn_local(Rc::clone(&self.shared).work());
                }
            }
            finished
        };
        local.run_until(all).await
    }

    fn judged(&self, done: &Done, baselines: &Baselines) -> Judged {
        let Done { mutant, came, took_ms } = done;
        let (outcome, by, why) = match came {
            Err(error) => (Outcome::Survived, Vec::new(), format!("not judged: {error:#}")),
            Ok(Came::NotPossible(why)) => (Outcome::NotPossible, Vec::new(), why.clone()),
            Ok(Came::Refused(why)) if mutant.control => {
                (Outcome::Survived, Vec::new(), format!("a control was refused: {why}"))
            }
            Ok(Came::Refused(why)) => (Outcome::Refused, Vec::new(), why.clone()),
            Ok(Came::Compared(found)) => {
                let by = baselines.at(mutant.family).news(found);
                match (mutant.control, by.is_empty()) {
                    (true, _) => (Outcome::Control, by, String::new()),
                    (false, false) => (Outcome::Killed, by, String::new()),
                    (false, true) => unnoticed(mutant, found),
                }
            }
        };
        Judged {
            name: full_name(&self.workload, mutant),
            family: mutant.family,
            what: format!("{}: {}", self.workload, mutant.what),
            outcome,
            by,
            why,
            took_ms: *took_ms,
        }
    }
}

/// A mutant that no level has news of. That nothing differs proves nothing; but where the spoiled
/// field is one that the level *images* compares, the pod, dumped again, says what CRIU made of it.
fn unnoticed(mutant: &Mutant, found: &Found) -> (Outcome, Vec<String>, String) {
    if let Some(why) = equivalent::reason(&mutant.name) {
        return (Outcome::Equivalent, Vec::new(), why);
    }
    match found.spoiled.first_key_value() {
        Some((fact, value)) => {
            let why = format!(
                "it leaves no trace in the restored pod: its images said {fact} = {value}, and the \
                 pod, dumped again, says what the unspoiled one says"
            );
            (Outcome::Equivalent, Vec::new(), why)
        }
        None => (Outcome::Survived, Vec::new(), String::new()),
    }
}

impl Shared {
    /// Tries the next mutant; false when there is none left.
    async fn work(self: Rc<Self>) -> bool {
        let Some(mutant) = self.queue.borrow_mut().pop_front() else { return false };
        let began = Instant::now();
        let mut came = self.try_out(&mutant).await;
        if let Err(error) = &came {
            // What the lab did once it need not do again.
            self.report.note(&format!("{}: once more, since {error:#}", mutant.name));
            came = self.try_out(&mutant).await;
        }
        let took_ms = began.elapsed().as_millis();
        let came = came.map_err(|error| anyhow!("{error:#}"));
        self.done.borrow_mut().push(Done { mutant, came, took_ms });
        true
    }

    async fn try_out(&self, mutant: &Mutant) -> anyhow::Result<Came> {
        let news =
            |seen: &Seen| !self.baselines.borrow().at(mutant.family).pod.news(seen).is_empty();
        trial::one(&self.scene, mutant, self.folder.path(), news).await
    }
}

/// What unspoiled forks differ in, at both moments.
#[derive(Debug, Default)]
struct Baselines {
    restored_once: Levels,
    restored_again: Levels,
}

/// The same, by what looks.
#[derive(Debug, Default)]
struct Levels {
    pod: Baseline,
    images: Baseline,
}

impl Baselines {
    /// All controls but the one that is to be judged by them.
    fn without(controls: &[Done], index: usize) -> Baselines {
        let others = controls.iter().enumerate().filter(|(other, _)| *other != index);
        Baselines::among(others.map(|(_, done)| done))
    }

    fn among<'a>(controls: impl Iterator<Item = &'a Done>) -> Baselines {
        let (mut once, mut again): (Vec<&Found>, Vec<&Found>) = Default::default();
        for control in controls {
            if let Ok(Came::Compared(found)) = &control.came {
                let image = control.mutant.family == Family::Image;
                if image { again.push(found) } else { once.push(found) }
            }
        }
        Baselines { restored_once: Levels::of(&once), restored_again: Levels::of(&again) }
    }

    fn at(&self, family: Family) -> &Levels {
        match family {
            Family::Image => &self.restored_again,
            Family::Live | Family::Memory => &self.restored_once,
        }
    }
}

impl Levels {
    fn of(controls: &[&Found]) -> Levels {
        Levels {
            pod: Baseline::of(controls.iter().map(|found| &found.pod)),
            images: Baseline::of(controls.iter().filter_map(|found| found.images.as_ref())),
        }
    }

    fn news(&self, found: &Found) -> Vec<String> {
        let mut news = self.pod.news(&found.pod);
        news.extend(found.images.iter().flat_map(|images| self.images.news(images)));
        news
    }
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}
