//! Running one more program in a container.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::engine::Engine;
use crate::error::{About, Error};
use crate::host::{Home, Process, Streams};

/// Most bytes of output that are kept, from the end of it.
const KEPT_BYTES: usize = 1 << 20;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exited {
    /// Exit code, or 128 + signal.
    pub code: i32,
    /// What it wrote to standard output, at most a mebibyte (the end of it).
    pub stdout: Vec<u8>,
    /// The same for standard error.
    pub stderr: Vec<u8>,
}

impl Engine {
    /// Runs a program as a container's user, in all its namespaces, in its cgroup and root, with
    /// the container's environment and `env` added. Its standard input is `/dev/null`.
    ///
    /// # Errors
    /// When it cannot be started or takes longer than `deadline`: it is killed then.
    pub fn exec(
        &self,
        pod: &str,
        container: &str,
        command: &[String],
        env: &[(String, String)],
        deadline: Duration,
    ) -> Result<Exited, Error> {
        let status = self.container(pod, container)?;
        let process = self.joining(pod, container, command, env)?;
        let (output, output_in) = io::pipe().about("make pipe for", &status.root)?;
        let (error, error_in) = io::pipe().about("make pipe for", &status.root)?;
        let streams = Streams([None, Some(output_in.into()), Some(error_in.into())]);
        let pid = self.host().spawn(&process, streams).map_err(|error| Error::Setup {
            container: container.to_owned(),
            doing: error.doing,
            source: error.source,
        })?;
        self.collect(pid, [output.into(), error.into()], deadline, command)
    }

    fn joining(
        &self,
        pod: &str,
        container: &str,
        command: &[String],
        env: &[(String, String)],
    ) -> Result<Process, Error> {
        let status = self.container(pod, container)?;
        let record = self.record(&self.places(pod)?, pod)?;
        let spec = record.spec.containers.into_iter().find(|spec| spec.name == container);
        let spec = spec.ok_or_else(|| Error::NoPod(pod.to_owned()))?;
        Ok(Process {
            cgroup: status.cgroup,
            home: Home::Of(status.pid),
            command: command.to_vec(),
            env: spec.env.into_iter().chain(env.iter().cloned()).collect(),
            directory: spec.directory.into(),
            uid: spec.uid,
            gid: spec.gid,
            rlimits: spec.rlimits,
            security: spec.security,
        })
    }

    /// Reads what a program writes until it ends.
    fn collect(
        &self,
        pid: i32,
        pipes: [OwnedFd; 2],
        limit: Duration,
        command: &[String],
    ) -> Result<Exited, Error> {
        let end = self.host().now() + limit;
        let mut output = [Vec::new(), Vec::new()];
        let mut open = pipes.map(Some);
        loop {
            let left = end.saturating_sub(self.host().now());
            if left.is_zero() || open.iter().all(Option::is_none) {
                break;
            }
            read_some(&mut open, &mut output, left).about("read output of", command.join(" "))?;
        }
        let left = end.saturating_sub(self.host().now());
        let code = self.host().await_exit(pid, left).about("wait for", command.join(" "))?;
        let Some(code) = code else { return Err(self.give_up(pid, limit, command, &output[1])) };
        let [stdout, stderr] = output;
        Ok(Exited { code, stdout, stderr })
    }

    fn give_up(&self, pid: i32, limit: Duration, command: &[String], told: &[u8]) -> Error {
        // That it took too long is what to tell; a process that cannot be killed shows later.
        let _ = self.host().signal(pid, libc::SIGKILL);
        let _ = self.host().await_exit(pid, Duration::from_secs(10));
        let told = String::from_utf8_lossy(told);
        let seen = told.lines().last().unwrap_or("nothing on standard error").to_owned();
        Error::Deadline { what: command.join(" "), limit, seen }
    }
}

/// Waits until a pipe has something or ends, and reads what is there. A pipe that has ended becomes
/// `None`.
fn read_some(
    open: &mut [Option<OwnedFd>; 2],
    output: &mut [Vec<u8>; 2],
    limit: Duration,
) -> io::Result<()> {
    let wanted = open.iter().flatten().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
    poll(
        &mut wanted.collect::<Vec<_>>(),
        PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX),
    )?;
    for (slot, kept) in open.iter_mut().zip(output) {
        let Some(pipe) = slot else { continue };
        let mut ready = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::ZERO)? > 0 && !keep(pipe, kept)? {
            *slot = None;
        }
    }
    Ok(())
}

/// Reads once; whether the pipe goes on.
fn keep(pipe: &OwnedFd, kept: &mut Vec<u8>) -> io::Result<bool> {
    let mut bytes = vec![0; 64 << 10];
    let length = nix::unistd::read(pipe, &mut bytes)?;
    kept.extend_from_slice(&bytes[..length]);
    if kept.len() > KEPT_BYTES {
        kept.drain(..kept.len() - KEPT_BYTES);
    }
    Ok(length > 0)
}
