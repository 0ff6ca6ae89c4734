//! `cryolab e2e`: from a selection to a verdict.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use runner::cell::Cell;
use runner::event::{Event, Host, Plan};
use runner::expectations::Expectations;
use runner::perform::{self, Interrupts, Play};
use runner::report::{self, Progress};
use runner::results::{Results, exit_code};
use runner::scenario::Story;
use runner::sink::Sink;
use runner::stage::{Left, Opening, Setting, Stage, Stop};
use tokio::sync::{mpsc, oneshot};
use vm::accel::{Choice, Trial};
use vm::lab::Lab;
use vm::{Machine, Node, Notice, Qemu, Templates};

use crate::arguments::{E2e, Stand};
use crate::detach::{self, Handle};
use crate::folder::Folder;
use crate::lab::home::{Claim, Home};
use crate::lab::supervisor::Standing;
use crate::news::News;
use crate::selection::{Selection, select};
use crate::status::Exit;
use crate::supply::{Built, Catalogue, RootImages, failed, images_of};
use crate::{places, print, rerun};

/// Runs what was asked for and returns the exit code.
pub(crate) fn run(wanted: &E2e) -> Result<u8, Exit> {
    match wanted.stand {
        Stand::Never => play(wanted, None),
        // Machines that outlive the command belong to a process that does, too.
        Stand::Failed | Stand::Always => detach::foreground(|handle| {
            let claim = Home::here().claim()?;
            play(wanted, Some((handle, claim)))
        }),
    }
}

fn play(wanted: &E2e, later: Option<(Handle, Claim)>) -> Result<u8, Exit> {
    let expectations = Expectations::load(&places::expectations()).map_err(Exit::lab)?;
    Folder::check(wanted.out.as_deref())?;
    let mut catalogue = Catalogue::open()?;
    let selection = select(wanted, &mut catalogue)?;
    let images = selection.workloads.iter();
    let images = images.map(|(name, it)| Ok((name.clone(), images_of(&it.workload)?)));
    let images = images.collect::<Result<BTreeMap<_, _>, Exit>>()?;
    let folder = Folder::make(wanted.out.as_deref())?;
    let sink = Sink::create(&folder.path, Progress::on_stderr()).map_err(Exit::lab)?;
    let run = Run {
        wanted,
        selection,
        images,
        catalogue: Arc::new(catalogue),
        expectations: Rc::new(expectations),
        folder,
        sink,
        left: Left::default(),
    };
    // The machines die with the thread that started them, which is this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Exit::lab)?.block_on(run.through(later))
}

/// A run under way.
struct Run<'a> {
    wanted: &'a E2e,
    selection: Selection,
    images: BTreeMap<String, RootImages>,
    catalogue: Arc<Catalogue>,
    expectations: Rc<Expectations>,
    folder: Folder,
    sink: Sink,
    left: Left,
}

impl Run<'_> {
    async fn through(self, later: Option<(Handle, Claim)>) -> Result<u8, Exit> {
        let mut interrupts = Interrupts::listen().map_err(Exit::lab)?;
        let jobs = self.jobs();
        self.sink.emit(Event::RunStarted(Box::new(self.plan(jobs))));
        let prepared = tokio::select! {
            biased;
            signal = interrupts.next() => Err(signal),
            prepared = self.prepare() => Ok(prepared),
        };
        match prepared {
            Err(signal) => {
                let cells = self.selection.cells.iter().map(|cell| cell.name.clone());
                let cells: Vec<String> = cells.collect();
                perform::interrupt(&cells, signal, &self.sink, || {});
                perform::settled().await;
            }
            Ok(Err(exit)) => self.broken(&exit),
            Ok(Ok(prepared)) => {
                let plays = self.plays(&prepared)?;
                perform::perform(plays, jobs, &self.sink, async || interrupts.next().await).await;
            }
        }
        let code = self.finish()?;
        match (later, self.left.take()) {
            (Some((handle, claim)), Some((cell, lab))) => {
                self.leave(&cell, &lab);
                let consoles = self.folder.cell(&cell.name).map_err(Exit::lab)?;
                let (pcap, seed) = (Vec::new(), cell.seed);
                Standing { claim, lab, consoles, pcap, seed }.supervise(handle, code).await?;
            }
            (Some((_, claim)), None) => claim.home.remove().map_err(Exit::lab)?,
            (None, _) => {}
        }
        Ok(code)
    }

    /// Says what is left running, and what to do with it.
    fn leave(&self, cell: &Cell, lab: &Lab) {
        let nodes: Vec<&str> = lab.nodes().map(Node::name).collect();
        let (first, nodes) = (nodes.first().copied().unwrap_or_default(), nodes.join(", "));
        eprintln!(
            "\n{} is left standing ({nodes}): `cargo xtask lab enter {first}` for a shell, \
             `cargo xtask lab down` when done",
            cell.name
        );
    }

    fn plan(&self, jobs: usize) -> Plan {
        Plan {
            schema: 1,
            run: self.folder.run.clone(),
            folder: self.folder.shown(),
            host: host(),
            jobs,
            cells: self.selection.cells.clone(),
        }
    }

    /// A machine under TCG keeps one processor busy, so as many machines as there are processors.
    fn jobs(&self) -> usize {
        let jobs = self.wanted.jobs.map_or_else(cpus, usize::from);
        jobs.min(self.selection.cells.len()).max(1)
    }

    /// Builds images, finds QEMU, and chooses the accelerator.
    async fn prepare(&self) -> Result<Prepared, Exit> {
        let built = self.build().await?;
        let qemu = Qemu::find().await.map_err(Exit::lab)?;
        let (kernel, initramfs) = built.some_kernel()?;
        let trial = Trial {
            qemu: qemu.clone(),
            kernel: kernel.to_owned(),
            initramfs: initramfs.to_owned(),
        };
        let setting = self.wanted.accel.setting();
        let choice = vm::accel::choose(setting, &trial, self.catalogue.cache()).await;
        let choice = choice.map_err(Exit::lab)?;
        let (accel, reason) = (choice.accel.to_string().to_lowercase(), choice.reason.clone());
        self.sink.emit(Event::AccelChosen { accel, reason });
        let sink = self.sink.clone();
        let templates = Templates::new(self.catalogue.cache(), move |notice: Notice| {
            sink.emit(Event::ImageNote { text: notice.to_string() });
        });
        Ok(Prepared { built, qemu, choice, templates })
    }

    async fn build(&self) -> Result<Built, Exit> {
        let (news, mut heard) = mpsc::unbounded_channel();
        let (done, mut built) = oneshot::channel();
        let catalogue = Arc::clone(&self.catalogue);
        let (cells, images) = (self.selection.cells.clone(), self.images.clone());
        std::thread::spawn(move || {
            // Nobody waits any more when the run was interrupted.
            let _ = done.send(catalogue.build(&cells, &images, Arc::new(News(news))));
        });
        loop {
            tokio::select! {
                biased;
                Some(event) = heard.recv() => self.sink.emit(event),
                result = &mut built => {
                    return result.context("the builder of images has died")?.map_err(failed);
                }
            }
        }
    }

    fn plays(&self, prepared: &Prepared) -> Result<Vec<Play>, Exit> {
        let mut openings = BTreeMap::new();
        let plays = self.selection.cells.iter().map(|cell| {
            let opening = openings.entry(cell.beginning()).or_insert_with(Opening::default);
            self.play(cell, opening.clone(), prepared)
        });
        plays.collect::<anyhow::Result<_>>().map_err(Exit::lab)
    }

    fn play(&self, cell: &Cell, opening: Opening, prepared: &Prepared) -> anyhow::Result<Play> {
        let setting = self.setting(cell, opening, prepared)?;
        let unknown = || anyhow!("no story is named {}", cell.scenario);
        let story = *self.selection.stories.get(&cell.scenario).with_context(unknown)?;
        let run = async move {
            let mut stage = Stage::new(setting);
            let told = match stage.refused() {
                Some(stop) => Err(stop),
                None => tell(&mut stage, story).await,
            };
            stage.end(told).await
        };
        Ok(Play { cell: cell.name.clone(), run: Box::pin(run) })
    }

    fn setting(
        &self,
        cell: &Cell,
        opening: Opening,
        prepared: &Prepared,
    ) -> anyhow::Result<Setting> {
        let folder = self.folder.cell(&cell.name)?;
        let chosen = self.selection.workloads.get(&cell.workload);
        let chosen = chosen.with_context(|| format!("no workload is named {}", cell.workload))?;
        let hooks = &self.selection.hooks;
        rerun::write(&folder, cell, &chosen.selector, &self.settings(), hooks)?;
        let (qemu, accel, time) =
            (&prepared.qemu, prepared.choice.accel, self.wanted.time.setting());
        let machine = prepared.built.machine(cell, qemu, accel)?;
        let target = prepared.built.target(cell, qemu, accel)?;
        Ok(Setting {
            cell: cell.clone(),
            workload: Rc::clone(&chosen.workload),
            machine: Machine { time, ..machine },
            target: target.map(|target| Machine { time, ..target }),
            templates: prepared.templates.clone(),
            supply: Arc::clone(&self.catalogue) as _,
            hooks: Rc::clone(hooks),
            expectations: Rc::clone(&self.expectations),
            opening,
            copies: self.wanted.copies,
            pcap: self.wanted.pcap,
            keep: self.wanted.keep.setting(),
            stand: self.wanted.stand.setting(),
            left: Rc::clone(&self.left),
            folder,
            sink: self.sink.clone(),
        })
    }

    /// Options of the run that a cell's rerun repeats.
    fn settings(&self) -> Vec<String> {
        let mut words = vec!["--accel".to_owned(), word(&self.wanted.accel)];
        words.extend(["--time".to_owned(), word(&self.wanted.time)]);
        words.extend(["--copies".to_owned(), self.wanted.copies.to_string()]);
        if self.wanted.pcap {
            words.push("--pcap".to_owned());
        }
        if let Some(folder) = &self.wanted.modules {
            words.extend(["--modules".to_owned(), folder.display().to_string()]);
        }
        words
    }

    /// Nothing could be run: every cell says why.
    fn broken(&self, exit: &Exit) {
        for cell in &self.selection.cells {
            let end = Box::new(perform::broken(format!("{:#}", exit.error)));
            self.sink.emit(Event::CellFinished { cell: cell.name.clone(), end });
        }
    }

    fn finish(&self) -> Result<u8, Exit> {
        let code = exit_code(&Results::of(&self.sink.events()));
        self.sink.emit(Event::RunFinished { code });
        let results = report::write(&self.folder.path, &self.sink.events()).map_err(Exit::lab)?;
        if self.wanted.json {
            print(&report::json(&results).map_err(Exit::lab)?)?;
        } else {
            print(&report::table(&results, &self.folder.shown()))?;
        }
        self.sink.close().context("the record is incomplete")?;
        Ok(code)
    }
}

/// What all machines have in common.
struct Prepared {
    built: Built,
    qemu: Qemu,
    choice: Choice,
    templates: Templates,
}

/// The word on the command line for a value.
/// Tells a story; where a fault struck in it, again from where that leaves it.
async fn tell(stage: &mut Stage, story: Story) -> Result<(), Stop> {
    stage.open().await?;
    let told = story(stage).await;
    if stage.recover(&told).await? { story(stage).await } else { Ok(()) }
}

fn word(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn host() -> Host {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let os = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Host {
        os: os.unwrap_or("unknown").trim_matches('"').to_owned(),
        kernel: kernel.trim().to_owned(),
        cpus: cpus(),
        cryolab: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}
