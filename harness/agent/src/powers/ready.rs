//! Waiting until a container is ready.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use fs_err as fs;
use model::message::{Ready, Reply};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::run::quote;
use crate::output::Stream;
use crate::pods::Container;
use crate::serve::Call;

/// Files and ports tell nothing when they appear: they are looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(1);

/// Waits for the sign; fails at once when the container ends instead.
pub(super) fn await_ready(
    call: &Call<'_>,
    container: &Container,
    ready: &Ready,
    deadline: Duration,
) -> anyhow::Result<Reply> {
    let mut seen = String::new();
    let found = call.node.bell.until(deadline, LOOK_EVERY, || {
        // Ended first, looked then: a sign given by the last breath still counts.
        let code = container.exit.code();
        match look(container, ready) {
            Ok(()) => Some(Ok(())),
            Err(error) => {
                seen = format!("{error:#}");
                code.map(Err)
            }
        }
    });
    match found {
        Some(Ok(())) => Ok(Reply::Done),
        Some(Err(code)) => bail!("the container ended with code {code}{}", words(container)),
        None => bail!("not ready after {deadline:?}: {seen}{}", words(container)),
    }
}

fn words(container: &Container) -> String {
    container.streams.as_ref().map(|streams| quote(&streams.output)).unwrap_or_default()
}

/// Looks for the sign once; the error says what is there instead.
fn look(container: &Container, ready: &Ready) -> anyhow::Result<()> {
    match ready {
        Ready::Line(text) => line(container, text),
        Ready::File(path) => file(container.exit.pid(), Path::new(path)),
        Ready::Port(port) => connect(container, *port),
    }
}

fn line(container: &Container, text: &str) -> anyhow::Result<()> {
    let streams = container.streams.as_ref().context("its standard output leads to /dev/null")?;
    let output = streams.output.text(Stream::Stdout, usize::MAX);
    if output.lines().any(|line| line.contains(text)) {
        return Ok(());
    }
    bail!("no line of its standard output contains `{text}`")
}

/// Looks within the container's root only, wherever links lead.
fn file(pid: i32, path: &Path) -> anyhow::Result<()> {
    let root = fs::File::open(format!("/proc/{pid}/root"))?;
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC);
    openat2(root.file(), path, how.resolve(ResolveFlag::RESOLVE_IN_ROOT))
        .with_context(|| format!("{} in the container", path.display()))?;
    Ok(())
}

fn connect(container: &Container, port: u16) -> anyhow::Result<()> {
    let address = container.address.as_ref().context("the pod has no address")?;
    let address: IpAddr = address.parse().with_context(|| format!("address {address}"))?;
    let address = SocketAddr::new(address, port);
    TcpStream::connect_timeout(&address, CONNECT).with_context(|| format!("port {address}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_looked_for_within_the_root() {
        let pid = std::process::id().cast_signed();
        file(pid, Path::new("/proc/self/stat")).expect("there");
        let error = file(pid, Path::new("/no/such/file")).expect_err("missing");
        assert!(format!("{error:#}").contains("/no/such/file"), "{error:#}");
    }
}
