//! Throughput between two guests: over a wire of our switch, and over QEMU's own stream sockets
//! with nothing in between.
//!
//! Both pairs run all the time and take turns at sending, so that each has the host to itself.

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, bail};
use model::message::{Place, Reply, Request};
use vm::Node;
use vm::wire::Switch;
use vm_images::Progress;

use super::bed::{Bed, address_of};
use crate::bench::figure::{Better, Figure, Sample, What};

/// How often each pair takes its turn.
const RUNS: u32 = 7;

/// How long each turn is.
const TURN: Duration = Duration::from_secs(2);

/// How long a turn may take until all has arrived.
const PATIENCE: Duration = Duration::from_secs(60);

const PORT: u16 = 5201;

const THROUGHPUT: What =
    What { name: Cow::Borrowed("wire throughput"), unit: "MiB/s", better: Better::More };

/// Lets both pairs take turns.
pub(super) async fn measure(bed: &Bed, progress: &dyn Progress) -> anyhow::Result<Vec<Figure>> {
    let step = progress.begin("throughput of wires");
    let switch = Switch::start(0).context("start the switch")?;
    let (near, far) = (switch.plug("near")?, switch.plug("far")?);
    switch.wire("near", "far")?;
    let ours = Pair::start(bed, near, far).await?;
    let (near, far) = UnixStream::pair().context("a socket pair")?;
    let direct = Pair::start(bed, near.into(), far.into()).await?;
    let (mut over_switch, mut over_socket) = (Sample::default(), Sample::default());
    // The first turn of each is not counted: their code is not translated yet.
    for run in 0..=RUNS {
        step.say(&format!("turn {run} of {RUNS}"));
        let (through, past) = (ours.send().await?, direct.send().await?);
        if run > 0 {
            over_switch.push(through);
            over_socket.push(past);
        }
    }
    step.finish(&format!("{RUNS} turns"));
    Ok(vec![Figure::beside(THROUGHPUT, &over_switch, "qemu socket", Ok(over_socket))])
}

/// Two nodes with a wire between them.
#[derive(Debug)]
struct Pair {
    near: Node,
    _far: Node,
    address: String,
}

impl Pair {
    async fn start(bed: &Bed, near: OwnedFd, far: OwnedFd) -> anyhow::Result<Pair> {
        let (near, far) = (bed.wired_seat(near)?, bed.wired_seat(far)?);
        let address = format!("{}:{PORT}", address_of(&far.identity)?);
        let near = bed.fork(&bed.lab, near).await?;
        let far = bed.fork(&bed.lab, far).await?;
        pump(&far, &["listen", &PORT.to_string()]).await?;
        Ok(Pair { near, _far: far, address })
    }

    /// Sends for a turn; MiB a second.
    async fn send(&self) -> anyhow::Result<f64> {
        let said =
            pump(&self.near, &["send", &self.address, &TURN.as_millis().to_string()]).await?;
        rate(&said).with_context(|| format!("the sender said `{}`", said.trim()))
    }
}

/// MiB a second, out of bytes and nanoseconds.
fn rate(said: &str) -> Option<f64> {
    let (bytes, nanoseconds) = said.trim().split_once(' ')?;
    let (bytes, nanoseconds): (f64, f64) = (bytes.parse().ok()?, nanoseconds.parse().ok()?);
    Some(bytes / f64::from(1 << 20) / (nanoseconds / 1e9))
}

async fn pump(node: &Node, arguments: &[&str]) -> anyhow::Result<String> {
    let words = ["cryolab-agent", "pump"].iter().chain(arguments);
    let request = Request::Run {
        place: Place::Node,
        command: words.map(|word| (*word).to_owned()).collect(),
        env: Default::default(),
        deadline_ms: u64::try_from(PATIENCE.as_millis())?,
    };
    match node.guest().request(request, PATIENCE * 2).await? {
        Reply::Exited { code: 0, stdout, .. } => Ok(String::from_utf8_lossy(&stdout).into_owned()),
        Reply::Exited { code, stderr, .. } => {
            let said = String::from_utf8_lossy(&stderr);
            bail!("pump {} on {}: {code}: {}", arguments.join(" "), node.name(), said.trim())
        }
        other => bail!("pump on {}: {other:?}", node.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_in_mebibytes_a_second() {
        assert_eq!(rate("2097152 500000000\n"), Some(4.0));
        assert_eq!(rate("nonsense"), None);
    }
}
