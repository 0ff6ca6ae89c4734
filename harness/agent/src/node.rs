//! What the agent knows about the node that it runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;
use fs_err as fs;
use model::message::{Hello, PROTOCOL};

use crate::child::{Engines, FromEngine, Order};
use crate::command::command;
use crate::kmsg;
use crate::outbox::Outbox;
use crate::pods::Pods;
use crate::reaper::{Exit, Reaper};
use crate::serve::Requests;
use crate::sync::Bell;

/// Needed by CRIU before its first request: without them it fails with an empty message. The sysctls
/// of `nf_conntrack` belong to namespaces, and are there in both captures only if it is loaded
/// before the first pod. A capture asks the network's tables of modules: it would load them itself,
/// one process each.
const MODULES: [&str; 14] = [
    "nf_conntrack",
    "nf_conntrack_netlink",
    "nf_tables",
    "xfrm_user",
    "tun",
    "veth",
    "af_packet_diag",
    "inet_diag",
    "netlink_diag",
    "raw_diag",
    "tcp_diag",
    "udp_diag",
    "unix_diag",
    "overlay",
];

/// How long loading these modules may take.
const MODULES_DEADLINE: Duration = Duration::from_secs(60);

/// How long CRIU may take to tell its version.
const VERSION_DEADLINE: Duration = Duration::from_secs(20);

/// Everything that requests share.
#[derive(Debug)]
pub(crate) struct Node {
    /// Starts processes and knows how they ended.
    pub(crate) reaper: Arc<Reaper>,
    /// Rings when a process ended or wrote something.
    pub(crate) bell: Arc<Bell>,
    /// Engine children.
    pub(crate) engines: Engines,
    /// One recovery at a time.
    pub(crate) recovering: Mutex<()>,
    /// Pods that were started or restored here.
    pub(crate) pods: Pods,
    /// Leads to the host.
    pub(crate) outbox: Outbox,
    /// Under way.
    pub(crate) requests: Requests,
    /// Who we are.
    pub(crate) hello: Hello,
    modprobe: Option<Arc<Exit>>,
}

impl Node {
    /// A node that is ready to serve. Modules that CRIU needs go on loading meanwhile.
    pub(crate) fn new(
        reaper: Arc<Reaper>,
        bell: Arc<Bell>,
        engines: Engines,
        outbox: Outbox,
        hello: Hello,
    ) -> Arc<Node> {
        let modprobe = load_modules(&reaper);
        let (recovering, pods, requests) = Default::default();
        let node =
            Node { reaper, bell, engines, recovering, pods, outbox, requests, hello, modprobe };
        Arc::new(node)
    }

    /// Waits until what CRIU needs of the kernel is loaded.
    pub(crate) fn await_modules(&self) -> anyhow::Result<()> {
        let Some(exit) = &self.modprobe else { return Ok(()) };
        if self.bell.until(MODULES_DEADLINE, MODULES_DEADLINE, || exit.code()).is_none() {
            bail!("modprobe of {MODULES:?} still runs after {MODULES_DEADLINE:?}");
        }
        Ok(())
    }
}

/// One call for all of them: each start of a program costs time under emulation. Modules that
/// this kernel does not have are named by modprobe on the console.
fn load_modules(reaper: &Reaper) -> Option<Arc<Exit>> {
    let mut modprobe = command("modprobe");
    modprobe.arg("--all").args(MODULES);
    if let Ok(console) = fs::OpenOptions::new().write(true).open("/dev/kmsg") {
        modprobe.stderr(console.into_parts().0);
    }
    let started = reaper.spawn(&mut modprobe);
    started.map(|(_, exit)| exit).inspect_err(|e| kmsg::error(&format!("modprobe: {e}"))).ok()
}

/// Who we are and what we run on.
///
/// Nothing here may depend on the machine's identity: forks of a template all tell it alike.
pub(crate) fn hello(engines: &Engines) -> anyhow::Result<Hello> {
    let line = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned());
    Ok(Hello {
        protocol: PROTOCOL,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        kernel_release: line("/proc/sys/kernel/osrelease")?,
        criu_version: criu_version(engines).map_err(|error| format!("{error:#}")),
    })
}

fn criu_version(engines: &Engines) -> anyhow::Result<String> {
    let mut told = None;
    let mut operation = engines.begin(Order::Version, VERSION_DEADLINE)?;
    operation.finish(|_, message| {
        if let FromEngine::Version(version) = message {
            told = Some(version);
        }
        Ok(None)
    })?;
    told.ok_or_else(|| anyhow::anyhow!("CRIU told no version"))
}
