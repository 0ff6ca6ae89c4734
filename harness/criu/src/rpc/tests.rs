//! Sessions with a peer that plays CRIU: answers, notifications, and ways to fail.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use super::*;

mod peer;

/// A session whose peer plays this part.
fn session(part: &str) -> Session {
    command(part).spawn().expect("the fake starts")
}

fn command(part: &str) -> Command {
    let mut command =
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/rpc/testdata/fake-criu"));
    command.env("FAKE_BINARY", std::env::current_exe().expect("a test binary"));
    command.env("FAKE_PART", part);
    command
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn dump(part: &str, answer: Answer) -> (Result<(), Error>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let images = File::open(folder.path()).expect("a folder");
    let mut seen = Vec::new();
    let result =
        session(part).dump(&DumpOptions::new(7, images.as_fd()), soon(), &mut |notification| {
            seen.push(notification.kind.to_string());
            answer
        });
    (result, seen)
}

fn report(result: Result<(), Error>) -> (String, Report) {
    let error = result.expect_err("the part is to fail");
    let text = error.to_string();
    (text, error.report().expect("a report").clone())
}

#[test]
fn a_version_is_told() {
    let version = session("version").version(soon()).expect("an answer");
    assert_eq!((version.major, version.minor, version.sublevel), (4, 1, Some(1)));
    assert_eq!(version.to_string(), "4.1.1");
}

#[test]
fn features_are_told() {
    let features = session("features").features(soon()).expect("an answer");
    assert_eq!(features, Features { mem_track: true, lazy_pages: false, pidfd_store: true });
}

#[test]
fn a_success_with_an_error_message_is_a_success() {
    let (result, seen) = dump("succeed", Answer::Go);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(seen, ["pre-dump", "brand-new"]);
}

#[test]
fn a_refusal_is_passed_on_and_remembered() {
    let (result, seen) = dump("succeed", Answer::Fail);
    let (text, report) = report(result);
    assert_eq!(seen, ["pre-dump"]);
    assert_eq!(report.refused, Some(NotificationKind::PreDump));
    assert_eq!(text, "dump failed: no reason given, refused at pre-dump");
}

#[test]
fn a_failure_names_the_first_error_of_the_log() {
    let (text, report) = report(dump("fail", Answer::Go).0);
    assert_eq!(
        text,
        "dump failed: sockets: Can't get 1:16 opt: Operation not supported (errno 95), \
         last notification pre-dump"
    );
    assert_eq!(report.errno, Some(95));
    assert!(report.message.is_some_and(|message| message.contains("RLIMIT_NOFILE")));
    assert_eq!(report.status.and_then(|status| status.code()), Some(1));
    assert_eq!(report.log.map(|log| log.lines), Some(2));
}

#[test]
fn a_death_without_an_answer_tells_status_and_standard_error() {
    let (text, report) = report(dump("die", Answer::Go).0);
    assert_eq!(
        text,
        "dump failed: no libnet here, no notification, \
         CRIU died without an answer (exit status: 3)"
    );
    assert_eq!(report.log, None);
}

#[test]
fn a_log_of_an_earlier_try_is_not_taken_for_this_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = "(00.1) Error (criu/x.c:1): of yesterday\n";
    std::fs::write(folder.path().join("dump.log"), old).expect("a file");
    let images = File::open(folder.path()).expect("a folder");
    let options = DumpOptions::new(7, images.as_fd());
    let result = session("die").dump(&options, soon(), &mut |_| Answer::Go);
    assert_eq!(report(result).1.log, None);
}

/// A dump by a peer that hangs, with ever more patience until it has said where.
fn hanging_dump() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let images = File::open(folder.path()).expect("a folder");
    let options = DumpOptions::new(7, images.as_fd());
    let mut patience = Duration::from_millis(100);
    loop {
        let mut reached = false;
        let deadline = Instant::now() + patience;
        let result = session("hang").dump(&options, deadline, &mut |_| {
            reached = true;
            Answer::Go
        });
        if reached {
            return result;
        }
        patience *= 2;
    }
}

#[test]
fn a_peer_that_hangs_is_left_at_the_deadline() {
    let (text, report) = report(hanging_dump());
    assert_eq!(report.last, Some(NotificationKind::NetworkLock));
    assert_eq!(
        text,
        "dump failed: no reason given, last notification network-lock, \
         no answer within the deadline"
    );
}

#[test]
fn a_dropped_session_leaves_no_process_behind() {
    let session = session("hang");
    let pid = session.pid();
    drop(session);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn an_answer_that_is_no_message_is_nonsense() {
    let (result, _) = dump("babble", Answer::Go);
    assert!(matches!(result, Err(Error::Protocol { request: Request::Dump, .. })), "{result:?}");
}

#[test]
fn success_of_something_else_is_nonsense() {
    let (result, _) = dump("version", Answer::Go);
    let text = result.expect_err("not a dump").to_string();
    assert_eq!(text, "dump: CRIU answered nonsense: success of Version");
}

#[test]
fn a_restore_tells_the_pid_and_hands_over_descriptors() {
    let folder = tempfile::tempdir().expect("a folder");
    let images = File::open(folder.path()).expect("a folder");
    let mut handed = Vec::new();
    let options = RestoreOptions::new(images.as_fd());
    let pid = session("restore").restore(&options, soon(), &mut |mut notification| {
        handed.push((notification.kind.clone(), notification.pid));
        for fd in notification.fds.drain(..) {
            let mut text = String::new();
            File::from(fd).read_to_string(&mut text).expect("a file");
            assert_eq!(text, "from the peer");
        }
        Answer::Go
    });
    assert_eq!(pid.expect("an answer"), 4711);
    let expected = [
        (NotificationKind::SetupNamespaces, Some(4711)),
        (NotificationKind::OrphanPtsMaster, None),
    ];
    assert_eq!(handed, expected);
}

#[test]
fn only_what_is_set_goes_on_the_wire() {
    let folder = File::open("/").expect("a folder");
    let mut options = DumpOptions::new(7, folder.as_fd());
    options.shared.images = folder.as_fd();
    options.shared.notify_scripts = false;
    let bare = options.to_wire();
    let expected = wire::Options {
        images_dir_fd: folder.as_raw_fd(),
        pid: Some(7),
        log_file: Some("dump.log".to_owned()),
        log_level: Some(4),
        ..wire::Options::default()
    };
    assert_eq!(bare, expected);
}

#[test]
fn the_child_gets_its_environment_folder_and_descriptors() {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"inherited").expect("a file");
    file.seek(SeekFrom::Start(0)).expect("a file");
    let mut command = command("inspect");
    command.current_dir("/usr");
    let number = command.inherit(file);
    command.env("FAKE_INHERITED", number.to_string());
    let error = command.spawn().expect("the fake starts").version(soon()).expect_err("it dies");
    assert_eq!(error.report().map(|report| report.stderr.as_str()), Some("/usr inherited\n"));
}

#[test]
fn a_missing_program_is_named() {
    let error = Command::new("/no/such/criu").spawn().expect_err("it is not there");
    let expected = "cannot start /no/such/criu: exec: No such file or directory (os error 2)";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_step_that_failed_is_named() {
    let mut command = command("version");
    command.enter(File::open("/dev/null").expect("a device"));
    let text = command.spawn().expect_err("no namespace").to_string();
    assert!(
        text.ends_with(": enter namespace /dev/null: Invalid argument (os error 22)"),
        "{text}"
    );
}
