//! Both sides of a hand-over, on TCP. A connection that breaks is made again until the deadline.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use engine::handover::{self, Gave, Serving};
use engine::{Engine, Watch};
use model::Step;
use model::message::{HandOver, Reply};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::engine::Agent;
use super::images::schema;

/// How long the other node may be silent on a connection until another one is tried.
const SILENCE: Duration = Duration::from_secs(20);

/// Between two tries to reach a node that does not listen.
const PAUSE: Duration = Duration::from_millis(200);

/// Carries out one side.
pub(super) fn hand_over(
    agent: &mut Agent,
    engine: &Engine,
    side: HandOver,
    deadline: Duration,
) -> anyhow::Result<Reply> {
    match side {
        HandOver::Give { archive, port } => {
            let side = |peer, agent: &mut Agent| handover::give(&archive, peer, agent);
            give(agent, port, deadline, side)
        }
        HandOver::Take { from, archive } => {
            take(agent, from, deadline, |peer, agent| handover::take(&archive, peer, agent))
        }
        HandOver::Lend { archive, port } => {
            let side = |peer, agent: &mut Agent| handover::lend(&archive, peer, agent);
            give(agent, port, deadline, side)
        }
        HandOver::Serve { archive, port } => {
            let mut serving = Serving::begin(engine, &archive, &schema()?)?;
            give(agent, port, deadline, |peer, agent| serving.answer(peer, agent))
        }
        HandOver::TakeThin { from, archive } => {
            take(agent, from, deadline, |peer, agent| handover::take_thin(&archive, peer, agent))
        }
        HandOver::Copy { from, copy } => {
            take(agent, from, deadline, |peer, agent| handover::copy(&copy, peer, agent))
        }
    }
}

/// Serves takers until one has thanked. Tells the step `listen` when it can be reached.
fn give(
    agent: &mut Agent,
    port: u16,
    deadline: Duration,
    mut side: impl FnMut(TcpStream, &mut Agent) -> Result<Gave, engine::Error>,
) -> anyhow::Result<Reply> {
    let until = Instant::now() + deadline;
    let listener = TcpListener::bind(("0.0.0.0", port)).context("cannot listen for a taker")?;
    agent.step(Step::Listen);
    let (mut is_given, mut trouble) = (false, None);
    while let Some(left) = left(until) {
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        if poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], timeout)? == 0 {
            break;
        }
        let (stream, _) = listener.accept().context("cannot listen for a taker")?;
        match side(patient(stream)?, agent) {
            Ok(Gave::Thanked) => return Ok(Reply::Gave { thanked: true }),
            Ok(Gave::Given) => is_given = true,
            Ok(Gave::Served) => {}
            Err(error) => trouble = Some(anyhow::Error::from(error)),
        }
    }
    match trouble {
        _ if is_given => Ok(Reply::Gave { thanked: false }),
        Some(error) => Err(error.context(format!("nobody took the archive within {deadline:?}"))),
        None => bail!("nobody came for the archive within {deadline:?}"),
    }
}

/// Takes an archive from the node at an address.
fn take(
    agent: &mut Agent,
    address: SocketAddr,
    deadline: Duration,
    side: impl Fn(TcpStream, &mut Agent) -> Result<u64, engine::Error>,
) -> anyhow::Result<Reply> {
    let until = Instant::now() + deadline;
    let mut trouble = None;
    while let Some(left) = left(until) {
        let connected = TcpStream::connect_timeout(&address, left.min(SILENCE)).and_then(patient);
        match connected {
            Ok(stream) => match side(stream, agent) {
                Ok(bytes) => return Ok(Reply::Took { bytes }),
                Err(error) => trouble = Some(anyhow::Error::from(error)),
            },
            Err(error) => trouble = Some(error.into()),
        }
        agent.pause(PAUSE.min(left))?;
    }
    let trouble = trouble.unwrap_or_else(|| anyhow::anyhow!("there was no time for a try"));
    Err(trouble.context(format!("the archive did not come from {address} within {deadline:?}")))
}

fn left(until: Instant) -> Option<Duration> {
    until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

fn patient(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    Ok(stream)
}
