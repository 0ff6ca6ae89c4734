//! The other end: this test binary, started once more in place of CRIU.

use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::os::fd::RawFd;

use nix::sys::socket::{ControlMessage, MsgFlags, recv, send, sendmsg};
use prost::Message;

use crate::rpc::wire::{
    Features, Notify, Request, RequestType, Response, RestoreResponse, Version,
};

const LOG: &str = "\
(00.000001) Error (criu/rlimit.c:25): rlimit: Can't setup RLIMIT_NOFILE for self: no
(00.000002) Error (criu/sockets.c:1): sockets: Can't get 1:16 opt: Operation not supported
";

/// Does nothing as a test. As a peer, plays the part that the environment names, and ends.
#[test]
fn plays_its_part() {
    let (Ok(part), Ok(fd)) = (std::env::var("FAKE_PART"), std::env::var("FAKE_FD")) else {
        return;
    };
    let peer = Peer { fd: fd.parse().expect("a number") };
    let status = peer.play(&part);
    std::process::exit(status);
}

struct Peer {
    fd: RawFd,
}

impl Peer {
    fn play(&self, part: &str) -> i32 {
        match part {
            "inspect" => inspect(),
            "die" => eprintln!("no libnet here"),
            _ => {}
        }
        let request = self.receive();
        match part {
            "version" => self.answer(&version()),
            "features" => self.answer(&features(&request)),
            "succeed" => return self.succeed(),
            "fail" => return self.fail(&request),
            "restore" => self.restore(),
            "babble" => self.send(b"\xff\xff\xff", &[]),
            "hang" => self.hang(),
            _ => return 3,
        }
        0
    }

    fn succeed(&self) -> i32 {
        let go = self.notify("pre-dump", None, &[]) && self.notify("brand-new", None, &[]);
        let cr_errmsg = go.then(|| "a harmless thing".to_owned());
        self.answer(&Response { success: go, cr_errmsg, ..response(RequestType::Dump) });
        i32::from(!go)
    }

    fn fail(&self, request: &Request) -> i32 {
        self.notify("pre-dump", None, &[]);
        let opts = request.opts.clone().expect("options");
        let (parent, folder) = (std::os::unix::process::parent_id(), opts.images_dir_fd);
        let path = format!("/proc/{parent}/fd/{folder}/{}", opts.log_file.expect("a log"));
        File::create(path).and_then(|mut log| log.write_all(LOG.as_bytes())).expect("a log");
        self.answer(&Response {
            success: false,
            cr_errno: Some(95),
            cr_errmsg: LOG.lines().next().map(str::to_owned),
            ..response(RequestType::Dump)
        });
        1
    }

    fn restore(&self) {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(b"from the peer").expect("a pipe");
        drop(writer);
        self.notify("setup-namespaces", Some(4711), &[]);
        let reader = std::os::fd::AsRawFd::as_raw_fd(&reader);
        self.notify("orphan-pts-master", None, &[reader]);
        let restore = Some(RestoreResponse { pid: 4711 });
        self.answer(&Response { restore, ..response(RequestType::Restore) });
    }

    /// Says where it is, and waits for what never comes.
    fn hang(&self) {
        self.notify("network-lock", None, &[]);
        self.receive();
    }

    fn notify(&self, script: &str, pid: Option<i32>, fds: &[RawFd]) -> bool {
        let notify = Some(Notify { script: Some(script.to_owned()), pid });
        let response = Response { notify, ..response(RequestType::Notify) };
        self.send(&response.encode_to_vec(), fds);
        self.receive().notify_success == Some(true)
    }

    fn answer(&self, response: &Response) {
        self.send(&response.encode_to_vec(), &[]);
    }

    fn send(&self, bytes: &[u8], fds: &[RawFd]) {
        if fds.is_empty() {
            send(self.fd, bytes, MsgFlags::empty()).expect("a socket");
            return;
        }
        let rights = [ControlMessage::ScmRights(fds)];
        let parts = [IoSlice::new(bytes)];
        sendmsg::<()>(self.fd, &parts, &rights, MsgFlags::empty(), None).expect("a socket");
    }

    fn receive(&self) -> Request {
        let mut bytes = vec![0; 1 << 16];
        let size = recv(self.fd, &mut bytes, MsgFlags::empty()).expect("a socket");
        Request::decode(&bytes[..size]).expect("a request")
    }
}

fn response(kind: RequestType) -> Response {
    Response { r#type: kind.into(), success: true, ..Response::default() }
}

fn version() -> Response {
    let version =
        Version { major_number: 4, minor_number: 1, sublevel: Some(1), ..Version::default() };
    Response { version: Some(version), ..response(RequestType::Version) }
}

/// Has what it was asked about, but for lazy pages.
fn features(request: &Request) -> Response {
    let asked = request.features.clone().expect("features");
    let features = Features { lazy_pages: Some(false), ..asked };
    Response { features: Some(features), ..response(RequestType::FeatureCheck) }
}

/// Tells what was handed down, on standard error.
fn inspect() {
    let inherited: RawFd =
        std::env::var("FAKE_INHERITED").ok().and_then(|text| text.parse().ok()).expect("a number");
    let mut text = String::new();
    let mut file = File::open(format!("/proc/self/fd/{inherited}")).expect("inherited");
    file.read_to_string(&mut text).expect("a file");
    let folder = std::env::current_dir().expect("a folder");
    eprintln!("{} {text}", folder.display());
}
