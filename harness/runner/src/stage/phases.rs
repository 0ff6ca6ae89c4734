//! Phases: what the harness and the user do while the story waits.
//!
//! At `frozen` capture A goes first and the hook second, at `post-dump` likewise the look at the
//! images; at `pre-resume` the hook goes first and capture B second, so that what a hook spoils must
//! be noticed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Phase;
use model::message::{Place, Reply, Request};
use tokio::time::Instant;
use vm::Guest;

use super::captures::Which;
use super::{GRACE, NodeName, REQUEST, Stage, Stop, millis, unexpected};
use crate::event::Event;
use crate::hook::Hook;

/// What a hook may take.
const HOOK: Duration = Duration::from_secs(120);

/// Node pids of a cgroup's tasks in the order of their pids in the innermost pid namespace.
const PIDS: &str = r#"
for pid in $(cat "$1/cgroup.procs"); do
    sed -n "s/^NSpid:.*[[:space:]]\([0-9]*\)$/\1 $pid/p" "/proc/$pid/status"
done | sort -n | cut -d ' ' -f 2
"#;

impl Stage {
    /// Does what belongs to a phase.
    pub(super) async fn at(
        &mut self,
        name: NodeName,
        phase: Phase,
        pids: &[i32],
        images: Option<&Path>,
    ) -> Result<(), Stop> {
        self.emit(Event::PhaseReached { cell: self.cell(), phase });
        if self.unseen {
            return Ok(());
        }
        match phase {
            Phase::Frozen => self.times.froze(),
            Phase::PostResume => self.times.resumed(),
            _ => {}
        }
        let began = Instant::now();
        self.capture_comes().await?;
        if phase == Phase::Frozen {
            self.images_froze();
            self.capture(name, Which::A).await?;
        }
        if phase == Phase::PostDump {
            self.images_before(name).await?;
        }
        if self.is_disturbed(phase) {
            self.capture_comes().await?;
        }
        self.befall(phase)?;
        self.hooks(name, phase, pids, images).await?;
        if phase == Phase::PreResume && !self.leave_branch(name).await? {
            self.look_after(name).await?;
        }
        self.times.held_up(began.elapsed());
        Ok(())
    }

    /// Looks at the pod that came back and did not run yet.
    pub(super) async fn look_after(&mut self, name: NodeName) -> Result<(), Stop> {
        self.capture(name, Which::B).await?;
        self.images_after(name).await?;
        self.capture_comes().await?;
        self.pages_after(name).await;
        Ok(())
    }

    /// Whether a phase is one at which something happens to the nodes.
    fn is_disturbed(&self, phase: Phase) -> bool {
        let hooked = self.setting.hooks.iter().any(|hook| hook.phase == phase);
        hooked || self.befalls.iter().any(|(at, _)| *at == phase)
    }

    async fn hooks(
        &mut self,
        name: NodeName,
        phase: Phase,
        pids: &[i32],
        images: Option<&Path>,
    ) -> Result<(), Stop> {
        let hooks = self.setting.hooks.clone();
        let of_phase = hooks.iter().filter(|hook| hook.phase == phase);
        for (index, hook) in of_phase.enumerate() {
            let env = self.hook_env(name, phase, pids, images)?;
            let file = PathBuf::from(format!("/run/cryolab/hooks/{phase}-{index}"));
            self.hook(name, hook, &file, env).await?;
        }
        Ok(())
    }

    async fn hook(
        &mut self,
        name: NodeName,
        hook: &Hook,
        file: &Path,
        env: BTreeMap<String, String>,
    ) -> Result<(), Stop> {
        let began = Instant::now();
        let guest = self.guest(name)?;
        guest.put(file, 0o755, &hook.content).await?;
        let run = Request::Run {
            place: Place::Node,
            command: hook.command(file),
            env,
            deadline_ms: millis(HOOK),
        };
        let (code, output) = match guest.request(run, HOOK + GRACE).await? {
            Reply::Exited { code, stdout, stderr } => (code, last_line(&stderr, &stdout)),
            other => return Err(unexpected("hook", &other)),
        };
        let (phase, ms) = (hook.phase, millis(began.elapsed()));
        self.emit(Event::HookFinished { cell: self.cell(), phase, hook: hook.name(), code, ms });
        if code == 0 {
            return Ok(());
        }
        let mut stop =
            Stop::failed(format!("hook {} at {phase} ended with code {code}{output}", hook.name()));
        stop.trouble.phase = Some(phase);
        Err(stop)
    }

    fn hook_env(
        &self,
        name: NodeName,
        phase: Phase,
        pids: &[i32],
        images: Option<&Path>,
    ) -> Result<BTreeMap<String, String>, Stop> {
        let pids: Vec<String> = pids.iter().map(i32::to_string).collect();
        let mut env = vec![
            ("CRYOLAB_PHASE", phase.to_string()),
            ("CRYOLAB_NODE", name.to_string()),
            ("CRYOLAB_POD", self.pod_name()?),
            ("CRYOLAB_CONTAINER", self.container_name()?),
            ("CRYOLAB_PIDS", pids.join(" ")),
        ];
        if let Some(images) = images {
            env.push(("CRYOLAB_IMAGES", images.display().to_string()));
        }
        Ok(env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Node pids of the main container's tasks, for the hooks of `ready` if there are any.
    pub(super) async fn pids(&self, guest: &Guest) -> Result<Vec<i32>, Stop> {
        if !self.setting.hooks.iter().any(|hook| hook.phase == Phase::Ready) {
            return Ok(Vec::new());
        }
        let main = self.pod()?.containers.first();
        let cgroup = main.map(|main| main.cgroup.display().to_string()).unwrap_or_default();
        let command = ["/bin/sh", "-c", PIDS, "pids", &cgroup].map(str::to_owned).to_vec();
        let run = Request::Run {
            place: Place::Node,
            command,
            env: BTreeMap::new(),
            deadline_ms: millis(REQUEST),
        };
        match guest.request(run, REQUEST + GRACE).await? {
            Reply::Exited { code: 0, stdout, .. } => Ok(String::from_utf8_lossy(&stdout)
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect()),
            other => Err(unexpected("listing the container's tasks", &other)),
        }
    }
}

/// The last line that a program wrote, to standard error rather than output, after `: `.
pub(super) fn last_line(stderr: &[u8], stdout: &[u8]) -> String {
    let last = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
    };
    last(stderr).or_else(|| last(stdout)).map(|line| format!(": {line}")).unwrap_or_default()
}
