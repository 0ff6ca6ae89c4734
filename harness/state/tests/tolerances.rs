//! What is right to differ, and what is next to it and wrong.

use model::{Capture, Digest, Memory, PageLabel, PageObject, PageRun, Value};
use rstest::rstest;

const SECOND_NS: u64 = 1_000_000_000;

fn capture(facts: &[(&str, Value)]) -> Capture {
    let facts = facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Capture { facts, ..Capture::default() }
}

fn exact(text: &str) -> Value {
    Value::Exact(text.to_owned())
}

fn ns(id: &str) -> Value {
    Value::Identity { class: "ns.time".to_owned(), id: id.to_owned() }
}

/// How many differences are tolerated, and how many are not, after two seconds.
fn judged(before: &[(&str, Value)], after: &[(&str, Value)]) -> (usize, usize) {
    let level = state::compare(&capture(before), &capture(after), 2 * SECOND_NS).kernel;
    (level.tolerated.len(), level.differences.len())
}

#[rstest]
#[case("/memfd:/dev/zero (deleted)", (1, 0))]
#[case("/memfd:other (deleted)", (0, 1))]
fn shared_anonymous_memory_may_come_back_as_memfd(
    #[case] after: &str,
    #[case] expected: (usize, usize),
) {
    let name = "sidecar.task.1.map.7f00-7f10.pathname";
    let before = [(name, exact("/dev/zero (deleted)"))];
    assert_eq!(judged(&before, &[(name, exact(after))]), expected);
}

#[rstest]
#[case("7", (1, 0))]
#[case("9", (0, 1))]
#[case("3", (0, 1))]
fn a_timerfd_ticks_as_often_as_time_allows(#[case] after: &str, #[case] expected: (usize, usize)) {
    let interval = ("task.1.fd.3.it_interval", exact("1000000000"));
    let before = [interval.clone(), ("task.1.fd.3.ticks", exact("4"))];
    let after = [interval, ("task.1.fd.3.ticks", exact(after))];
    assert_eq!(judged(&before, &after), expected);
}

#[rstest]
#[case(100, 9_000, (1, 0))]
#[case(9_000, 8_000, (0, 0))]
#[case(9_000, 2_000, (0, 1))]
#[case(100, 20_000, (0, 1))]
fn what_is_left_of_a_periodic_timer_goes_round(
    #[case] before_ms: i64,
    #[case] after_ms: i64,
    #[case] expected: (usize, usize),
) {
    let interval = ("task.1.fd.3.it_interval", exact("10000000000"));
    let left = |ms: i64| ("task.1.fd.3.it_value", Value::Clock { ns: ms * 1_000_000 });
    let (before, after) = ([interval.clone(), left(before_ms)], [interval, left(after_ms)]);
    assert_eq!(judged(&before, &after), expected);
}

#[rstest]
#[case("0000000000000a00", (1, 0))]
#[case("0000000000000300", (0, 1))]
#[case("0000000000000800", (0, 1))]
fn only_signals_of_timers_may_have_come(#[case] after: &str, #[case] expected: (usize, usize)) {
    let timer = ("task.1.timer.0.signal", exact("12/0000000000007157"));
    let before = [timer.clone(), ("task.1.status.shdpnd", exact("0000000000000200"))];
    let after = [timer, ("task.1.status.shdpnd", exact(after))];
    assert_eq!(judged(&before, &after), expected);
}

#[rstest]
#[case("0000000000002000", (1, 0))]
#[case("0000000000004000", (0, 1))]
fn a_signal_may_come_between_two_looks_at_a_task(
    #[case] after: &str,
    #[case] expected: (usize, usize),
) {
    let waiting = ("task.1.traced.pending_shared.0.si_signo", exact("14"));
    let before = [waiting.clone(), ("task.1.status.shdpnd", exact("0000000000000000"))];
    let after = [waiting, ("task.1.status.shdpnd", exact(after))];
    assert_eq!(judged(&before, &after), expected);
}

#[rstest]
#[case("14", "128", (3, 0))]
#[case("14", "0", (0, 3))]
#[case("10", "128", (0, 3))]
fn an_alarm_of_the_kernel_may_have_come(
    #[case] number: &str,
    #[case] code: &str,
    #[case] expected: (usize, usize),
) {
    let mask = |waits: bool| {
        let number: u64 = number.parse().expect("a number");
        let mask = if waits { 1 << (number - 1) } else { 0 };
        ("task.1.thread.2.status.shdpnd", exact(&format!("{mask:016x}")))
    };
    let after = [
        mask(true),
        ("task.1.thread.2.traced.pending_shared.0.si_signo", exact(number)),
        ("task.1.thread.2.traced.pending_shared.0.si_code", exact(code)),
    ];
    assert_eq!(judged(&[mask(false)], &after), expected);
}

#[rstest]
#[case("2", (1, 0))]
#[case("1", (0, 0))]
fn a_task_of_the_nodes_time_namespace_may_get_one_of_its_own(
    #[case] after: &str,
    #[case] expected: (usize, usize),
) {
    let node = ("node.ns.time", ns("1"));
    let before = [node.clone(), ("task.1.ns.time", ns("1"))];
    let after = [node, ("task.1.ns.time", ns(after))];
    assert_eq!(judged(&before, &after), expected);
}

#[rstest]
#[case(true, PageRun::Zero { first: 5, count: 1 }, 0)]
#[case(false, PageRun::Zero { first: 5, count: 1 }, 1)]
#[case(true, PageRun::Pages { first: 5, digests: vec![Digest(2)] }, 1)]
fn memory_that_may_be_dropped_may_read_as_zero(
    #[case] droppable: bool,
    #[case] after: PageRun,
    #[case] differing: u64,
) {
    let with = |run: PageRun| {
        let text = "anonymous memory".to_owned();
        let labels = vec![PageLabel { first: 5, count: 1, text, droppable }];
        let object = PageObject { labels, runs: vec![run] };
        let objects = [("task.1.memory".to_owned(), object)].into();
        Capture { memory: Memory { page_bytes: 4096, objects }, ..Capture::default() }
    };
    let before = with(PageRun::Pages { first: 5, digests: vec![Digest(1)] });
    let found = state::compare(&before, &with(after), 0).memory;
    assert_eq!((found.pages, found.differing), (1, differing));
}

#[test]
fn what_a_kernel_cannot_show_is_neither_equal_nor_lost() {
    let before = capture(&[("task.1.traced.rseq.flags", exact("0"))]);
    let mut after = capture(&[]);
    after.not_offered.insert("task.*.traced.rseq.*".to_owned(), "too old".to_owned());
    let level = state::compare(&before, &after, 0).kernel;
    assert_eq!((level.facts, level.differences.len(), level.not_offered.len()), (0, 0, 1));
}

#[rstest]
#[case("65536", (1, 0))]
#[case("64000", (0, 1))]
#[case("131073", (0, 1))]
fn a_receive_window_grows_at_most_to_its_buffer(
    #[case] after: &str,
    #[case] expected: (usize, usize),
) {
    let beside = [
        ("image.tcp-stream.task.1.fd.12.rcv_wup", exact("77")),
        ("image.files.task.1.fd.12.isk.opts.so_rcvbuf", exact("131072")),
    ];
    let with = |window| {
        let window = ("image.tcp-stream.task.1.fd.12.rcv_wnd", exact(window));
        capture(&[beside.as_slice(), &[window]].concat())
    };
    let level = state::images::compare(&with("65152"), &with(after), 0);
    assert_eq!((level.tolerated.len(), level.differences.len()), expected);
}

#[rstest]
#[case::back_from_the_call("0000000000010000", "0000000000010000", (1, 0))]
#[case::another_one("0000000000020000", "0000000000010000", (0, 1))]
#[case::lost("0000000000020000", "0000000000020000", (0, 2))]
fn a_call_may_have_other_signals_blocked(
    #[case] blocked: &str,
    #[case] lasting: &str,
    #[case] expected: (usize, usize),
) {
    let (mask, back) = ("task.1.status.sigblk", "task.1.traced.sigmask");
    let before = [(mask, exact("0000000000000000")), (back, exact("0000000000010000"))];
    assert_eq!(judged(&before, &[(mask, exact(blocked)), (back, exact(lasting))]), expected);
}

/// A capture of this kernel.
fn on(release: &str, facts: &[(&str, Value)]) -> Capture {
    let kernel = ("node.kernel.release", Value::Moment(release.to_owned()));
    capture(&[facts, &[kernel]].concat())
}

/// Differences, and what could not be shown, from one kernel to another.
fn between(one: &Capture, other: &Capture) -> (Vec<String>, usize) {
    let level = state::compare(one, other, 0).kernel;
    let facts = level.differences.into_iter().map(|difference| difference.fact).collect();
    (facts, level.not_offered.len())
}

#[rstest]
#[case::a_sysctl("pod.sysctl.net.ipv4.new_one", 0, 1)]
#[case::newer_than_that_kernel("task.1.fd.3.eventfd-semaphore", 0, 1)]
#[case::what_both_show("task.1.stat.nice", 1, 0)]
fn what_another_kernel_does_not_show_is_not_lost(
    #[case] fact: &str,
    #[case] lost: usize,
    #[case] not_offered: usize,
) {
    let facts = [(fact, exact("0"))];
    let (differences, untold) = between(&on("6.12.117", &facts), &on("6.1.176", &[]));
    assert_eq!((differences.len(), untold), (lost, not_offered), "{differences:?}");
    let (differences, untold) = between(&on("6.12.117", &facts), &on("6.12.117", &[]));
    assert_eq!((differences.len(), untold), (1, 0), "on the same kernel it is lost");
}

#[test]
fn a_kernel_brings_a_vdso_of_its_own_and_nothing_else() {
    let range = |text: &str, name: &str| {
        [
            (format!("task.1.map.{text}.pathname"), exact(name)),
            (format!("task.1.map.{text}.perms"), exact("r-xp")),
        ]
    };
    let facts = |ranges: &[[(String, Value); 2]], size: &str| {
        let size = ("task.1.status.vmsize".to_owned(), exact(size));
        ranges.concat().into_iter().chain([size]).collect::<Vec<_>>()
    };
    let kept = range("7000-9000", "[vdso]");
    let was = facts(std::slice::from_ref(&kept), "100 kB");
    let is = |name, size| facts(&[range("7000-9000", ""), range("1000-3000", name)], size);
    let judged = |release: &str, is: Vec<(String, Value)>| {
        fn named(facts: &[(String, Value)]) -> Vec<(&str, Value)> {
            facts.iter().map(|(name, value)| (name.as_str(), value.clone())).collect()
        }
        between(&on("6.12.117", &named(&was)), &on(release, &named(&is))).0
    };
    assert_eq!(judged("6.1.176", is("[vdso]", "108 kB")), [""; 0]);
    assert_eq!(judged("6.1.176", is("[vdso]", "112 kB")), ["task.1.status.vmsize"]);
    let other = judged("6.1.176", is("/lib/x", "100 kB"));
    assert_eq!(other, ["task.1.map.1000-3000.pathname", "task.1.map.1000-3000.perms"]);
    assert!(!judged("6.12.117", is("[vdso]", "108 kB")).is_empty(), "on the same kernel");
}

#[rstest]
#[case::beyond([3, 28, 127, 0x5500_0004, 5, 9], (1, 0))]
#[case::within_a_word([3, 28, 127, 0x5500_0004, 0x0100_0005, 7], (1, 0))]
#[case::a_character([3, 28, 127, 0x5500_0004, 0x0001_0005, 7], (0, 1))]
#[case::the_first([2, 28, 127, 0x5500_0004, 5, 7], (0, 1))]
fn a_terminal_has_nineteen_characters(#[case] after: [u32; 6], #[case] expected: (usize, usize)) {
    let before = [3, 28, 127, 0x5500_0004, 5, 7];
    // The fifth word has three characters, and whatever its last byte held.
    let words = |words: [u32; 6]| exact(&words.map(|word| word.to_string()).join(" "));
    let name = "image.tty-info.task.1.fd.4.termios.c_cc";
    let [before, after] = [before, after].map(|it| capture(&[(name, words(it))]));
    let level = state::images::compare(&before, &after, SECOND_NS);
    assert_eq!((level.tolerated.len(), level.differences.len()), expected);
}
