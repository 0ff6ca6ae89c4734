//! Forks: machines that go on from where another one stood.
//!
//! These tests boot machines: `cargo xtask test` says where a kernel and the guest are.

mod bench;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::message::Request;
use vm::{Notice, Seat, Templates};

use bench::Bench;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_machine_boots_once_and_is_forked_from_then_on() {
    let bench = Bench::new().await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    let templates = Templates::new(&bench.folder.path().join("cache"), move |notice: Notice| {
        eprintln!("{notice}");
        ear.lock().expect("not poisoned").push(notice);
    });
    for number in 0..3 {
        let seat = Seat::new("fork", bench.folder.path().join(format!("{number}.log")));
        let node = templates.fork(&bench.machine, seat).await.expect("forks");
        eprintln!("fork {number}: {} ms", node.start_time().as_millis());
        assert!(node.is_fork(), "{:?}", heard.lock());
        node.guest().request(Request::Ping, SOON).await.expect("answers");
        node.kill().await;
    }
    assert_eq!(heard.lock().expect("not poisoned").len(), 2);
}
