//! One request to one CRIU, from asking to reaping.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::time::Instant;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::answer::{Features, Version};
use super::error::{Error, Report, Request};
use super::notification::{Answer, Notification, NotificationKind};
use super::options::{CheckOptions, DumpOptions, Log, RestoreOptions};
use super::process::Process;
use super::socket::{self, Received};
use super::wire::{self, RequestType, Response};
use crate::log::{self, Summary};

/// Lines of the log that a [`Report`] carries.
const TAIL_LINES: usize = 30;
/// Bytes of standard error that a [`Report`] carries.
const STDERR_BYTES: i64 = 4096;

/// What a callback looks like.
type Callback<'a> = &'a mut dyn FnMut(Notification) -> Answer;

/// A CRIU that waits for its one request. Dropping it kills CRIU.
#[derive(Debug)]
pub struct Session {
    process: Process,
    socket: OwnedFd,
    stderr: Option<File>,
    last: Option<NotificationKind>,
    refused: Option<NotificationKind>,
}

impl Session {
    pub(super) fn new(process: Process, socket: OwnedFd, stderr: Option<File>) -> Self {
        Session { process, socket, stderr, last: None, refused: None }
    }

    /// The pid of CRIU.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Asks for the version.
    ///
    /// # Errors
    /// As every request: [`Error::Failed`], [`Error::Died`], [`Error::Deadline`], or the
    /// connection's own [`Error::Socket`] and [`Error::Protocol`].
    pub fn version(self, deadline: Instant) -> Result<Version, Error> {
        let response = self.simple(Request::Version, None, None, deadline)?;
        response.version.map(Version::from).ok_or_else(|| missing(Request::Version, "version"))
    }

    /// Asks which of the features there are.
    ///
    /// # Errors
    /// As [`Session::version`].
    pub fn features(self, deadline: Instant) -> Result<Features, Error> {
        let response = self.simple(Request::FeatureCheck, None, None, deadline)?;
        let features = response.features.map(Features::from);
        features.ok_or_else(|| missing(Request::FeatureCheck, "features"))
    }

    /// Checks whether the kernel has what CRIU needs.
    ///
    /// # Errors
    /// As [`Session::version`]; the log says what the kernel lacks.
    pub fn check(self, options: &CheckOptions<'_>, deadline: Instant) -> Result<(), Error> {
        self.checking(Request::Check, options, deadline)
    }

    /// Writes the processor's abilities to `cpuinfo.img`.
    ///
    /// # Errors
    /// As [`Session::version`].
    pub fn cpuinfo_dump(self, options: &CheckOptions<'_>, deadline: Instant) -> Result<(), Error> {
        self.checking(Request::CpuinfoDump, options, deadline)
    }

    /// Checks that this processor has the abilities in `cpuinfo.img`.
    ///
    /// # Errors
    /// As [`Session::version`].
    pub fn cpuinfo_check(self, options: &CheckOptions<'_>, deadline: Instant) -> Result<(), Error> {
        self.checking(Request::CpuinfoCheck, options, deadline)
    }

    /// Takes memory alone, for a later dump with this one as parent.
    ///
    /// # Errors
    /// As [`Session::version`].
    pub fn pre_dump(
        self,
        options: &DumpOptions<'_>,
        deadline: Instant,
        callback: Callback<'_>,
    ) -> Result<(), Error> {
        let (log, opts) = (options.shared.log(), options.to_wire());
        self.run(Request::PreDump, Some(opts), Some(log), deadline, callback).map(drop)
    }

    /// Dumps a tree of tasks. The time that the callback takes does not count for the deadline.
    ///
    /// # Errors
    /// As [`Session::version`].
    pub fn dump(
        self,
        options: &DumpOptions<'_>,
        deadline: Instant,
        callback: Callback<'_>,
    ) -> Result<(), Error> {
        let (log, opts) = (options.shared.log(), options.to_wire());
        self.run(Request::Dump, Some(opts), Some(log), deadline, callback).map(drop)
    }

    /// Restores a tree of tasks and returns the pid of its root here.
    ///
    /// # Errors
    /// As [`Session::version`]. After [`Error::Died`] and [`Error::Deadline`] the root task that
    /// `setup-namespaces` told may still be there, for the caller to kill.
    pub fn restore(
        self,
        options: &RestoreOptions<'_>,
        deadline: Instant,
        callback: Callback<'_>,
    ) -> Result<i32, Error> {
        let (log, opts) = (options.shared.log(), options.to_wire());
        let response = self.run(Request::Restore, Some(opts), Some(log), deadline, callback)?;
        response.restore.map(|restore| restore.pid).ok_or_else(|| missing(Request::Restore, "pid"))
    }

    fn checking(
        self,
        request: Request,
        options: &CheckOptions<'_>,
        deadline: Instant,
    ) -> Result<(), Error> {
        self.simple(request, Some(options.to_wire()), Some(options.log()), deadline).map(drop)
    }

    fn simple(
        self,
        request: Request,
        opts: Option<wire::Options>,
        log: Option<Log<'_>>,
        deadline: Instant,
    ) -> Result<Response, Error> {
        self.run(request, opts, log, deadline, &mut |_| Answer::Go)
    }

    /// Asks, answers notifications until the answer comes, and waits for CRIU's end.
    fn run(
        mut self,
        request: Request,
        opts: Option<wire::Options>,
        log: Option<Log<'_>>,
        mut deadline: Instant,
        callback: Callback<'_>,
    ) -> Result<Response, Error> {
        if let Some(log) = log {
            // A log of an earlier try would be taken for that of a CRIU that never opened one.
            let _ = unlinkat(log.folder, log.file, UnlinkatFlags::NoRemoveDir);
        }
        let message = wire_request(request, opts);
        self.send(request, &message)?;
        loop {
            match self.receive(request, deadline)? {
                Next::Packet(response, fds) if response.r#type() == RequestType::Notify => {
                    let began = Instant::now();
                    self.notify(request, *response, fds, callback)?;
                    // It is CRIU that may not take longer; the caller may look around at leisure.
                    deadline += began.elapsed();
                }
                Next::Packet(response, _) => return self.finish(request, *response, log, deadline),
                Next::Late => return Err(Error::Deadline(self.report(request, None, log, None))),
                Next::Dead => {
                    let status = self.process.ended(deadline);
                    return Err(Error::Died(self.report(request, None, log, status)));
                }
            }
        }
    }

    fn send(&self, request: Request, message: &wire::Request) -> Result<(), Error> {
        match socket::send_request(self.socket.as_fd(), message) {
            // A CRIU that has died is noticed, and described better, when its answer is awaited.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => Ok(()),
            Err(source) => Err(Error::Socket { request, source }),
            Ok(()) => Ok(()),
        }
    }

    /// The next packet, if one comes: a CRIU that is dead may have left one.
    fn receive(&self, request: Request, deadline: Instant) -> Result<Next, Error> {
        let failed = |source| Error::Socket { request, source };
        let both = [self.socket.as_fd(), self.process.pidfd()];
        let Some([readable, _]) = socket::wait(both, deadline).map_err(failed)? else {
            return Ok(Next::Late);
        };
        if !readable {
            return Ok(Next::Dead);
        }
        match socket::receive(self.socket.as_fd()).map_err(failed)? {
            Received::Packet(response, fds) => Ok(Next::Packet(Box::new(response), fds)),
            Received::End => Ok(Next::Dead),
            Received::Nonsense(why) => Err(Error::Protocol { request, why }),
        }
    }

    fn notify(
        &mut self,
        request: Request,
        response: Response,
        fds: Vec<OwnedFd>,
        callback: Callback<'_>,
    ) -> Result<(), Error> {
        let notify = response.notify.unwrap_or_default();
        let kind = NotificationKind::from_name(notify.script.as_deref().unwrap_or_default());
        self.last = Some(kind.clone());
        let answer = callback(Notification { kind: kind.clone(), pid: notify.pid, fds });
        if answer == Answer::Fail {
            self.refused.get_or_insert(kind);
        }
        let message = wire::Request {
            r#type: RequestType::Notify.into(),
            notify_success: Some(answer == Answer::Go),
            ..wire::Request::default()
        };
        self.send(request, &message)
    }

    /// Judges the answer. `success` counts alone: a successful one can carry a message.
    fn finish(
        mut self,
        request: Request,
        response: Response,
        log: Option<Log<'_>>,
        deadline: Instant,
    ) -> Result<Response, Error> {
        let status = self.process.ended(deadline);
        if !response.success {
            return Err(Error::Failed(self.report(request, Some(&response), log, status)));
        }
        if response.r#type() != request_type(request) {
            let why = format!("success of {:?}", response.r#type());
            return Err(Error::Protocol { request, why });
        }
        Ok(response)
    }

    fn report(
        &mut self,
        request: Request,
        response: Option<&Response>,
        log: Option<Log<'_>>,
        status: Option<ExitStatus>,
    ) -> Box<Report> {
        // Nothing may be written any more when the log is read.
        self.process.kill();
        Box::new(Report {
            request,
            last: self.last.take(),
            refused: self.refused.take(),
            errno: response.and_then(|response| response.cr_errno),
            message: response.and_then(|response| response.cr_errmsg.clone()),
            status,
            stderr: self.stderr.as_mut().and_then(|file| end_of(file).ok()).unwrap_or_default(),
            log: log.and_then(|log| read_log(log).ok()),
        })
    }
}

enum Next {
    Packet(Box<Response>, Vec<OwnedFd>),
    Dead,
    Late,
}

fn request_type(request: Request) -> RequestType {
    match request {
        Request::Version => RequestType::Version,
        Request::FeatureCheck => RequestType::FeatureCheck,
        Request::Check => RequestType::Check,
        Request::CpuinfoDump => RequestType::CpuinfoDump,
        Request::CpuinfoCheck => RequestType::CpuinfoCheck,
        Request::PreDump => RequestType::SinglePreDump,
        Request::Dump => RequestType::Dump,
        Request::Restore => RequestType::Restore,
    }
}

fn wire_request(request: Request, opts: Option<wire::Options>) -> wire::Request {
    let all =
        wire::Features { mem_track: Some(true), lazy_pages: Some(true), pidfd_store: Some(true) };
    wire::Request {
        r#type: request_type(request).into(),
        opts,
        notify_success: None,
        features: (request == Request::FeatureCheck).then_some(all),
    }
}

fn missing(request: Request, what: &str) -> Error {
    Error::Protocol { request, why: format!("success without {what}") }
}

fn read_log(log: Log<'_>) -> io::Result<Summary> {
    let file = openat(log.folder, log.file, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    log::summarize(BufReader::new(File::from(file)), TAIL_LINES)
}

fn end_of(file: &mut File) -> io::Result<String> {
    let length = file.seek(SeekFrom::End(0))?;
    let start = length.saturating_sub(STDERR_BYTES.unsigned_abs());
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
