//! Permitted differences of CRIU's images.

use model::{Capture, Value};

use super::{Question, Tolerance};

/// A register that holds no system call.
const NO_CALL: &str = "18446744073709551615";

/// `SI_TIMER` and `SI_KERNEL`, by which POSIX timers and interval timers signal.
const OF_TIMERS: [i32; 2] = [-2, 0x80];

/// Of a `siginfo_t`, in bytes.
const SI_CODE: std::ops::Range<usize> = 8..12;

const SECOND_NS: u64 = 1_000_000_000;

/// Characters of a terminal (`NCCS` of the kernel).
const CHARACTERS: usize = 19;

/// The table.
pub(super) const TOLERANCES: &[Tolerance] = &[
    Tolerance {
        pattern: "image.core.*.gpregs.orig_ax",
        permits: no_call_is_left,
        reason: "the system call that was interrupted is told by `ax` and `ip` already; what is \
                 restored by rt_sigreturn(2) has none left that could be restarted",
        source: "arch/x86/kernel/signal_64.c restore_sigcontext(); CRIU compel \
                 compel_get_task_regs()",
    },
    Tolerance {
        pattern: "image.tcp-stream.*.snd_wl1",
        permits: window_was_told_again,
        reason: "the probe that ends TCP's repair mode lets the peer tell its window again, by a \
                 segment that is not newer than what was received",
        source: "net/ipv4/tcp_input.c tcp_ack_update_window(); tcp_send_window_probe()",
    },
    Tolerance {
        pattern: "image.tcp-stream.*.unsq_len",
        permits: more_was_sent,
        reason: "what the peer has room for is sent when repair mode ends; until it is acknowledged \
                 it stays in the queue, whose place, length and content are compared",
        source: "net/ipv4/tcp_output.c tcp_write_xmit(); CRIU soccr/soccr.c",
    },
    Tolerance {
        pattern: "image.tcp-stream.*.rcv_wnd",
        permits: window_was_offered_again,
        reason: "the same probe offers the peer a receive window anew, as every segment does: its \
                 end never goes back, and it is no larger than the buffer",
        source: "net/ipv4/tcp_output.c tcp_select_window()",
    },
    Tolerance {
        pattern: "image.*.vsec",
        permits: timer_went_round,
        reason: "what is left of a periodic timer begins again with each interval",
        source: "timer_settime(2), timerfd_settime(2), setitimer(2)",
    },
    Tolerance {
        pattern: "image.files.*.tfd.ticks",
        permits: timer_counted,
        reason: "a timer goes on while its task is held: at most one tick for each interval that \
                 passed",
        source: "timerfd_create(2)",
    },
    Tolerance {
        pattern: "image.core.*.posix.*.overrun",
        permits: timer_counted,
        reason: "a timer goes on while its task is held: at most one expiration for each interval \
                 that passed",
        source: "timer_getoverrun(2)",
    },
    Tolerance {
        pattern: "image.files.*.isk.opts.so_pass*",
        permits: off_or_not_written,
        reason: "CRIU from 4.2 on does not write that an inet socket passes nothing along, which is off \
                 where it is not written",
        source: "CRIU criu/sockets.c, dump_socket_opts(); checkpoint-restore/criu#2705",
    },
    Tolerance {
        pattern: "image.core.*.signals.*.siginfo",
        permits: timer_signalled,
        reason: "a timer of the task expired while it was held: its signal waits",
        source: "timer_create(2), setitimer(2)",
    },
    Tolerance {
        pattern: "image.tty-info.*.c_cc",
        permits: of_characters_beyond_the_kernels,
        reason: "a terminal has 19 characters of a byte each; CRIU writes 19 words of four, and so \
                 what comes after them on its own stack",
        source: "CRIU criu/tty.c, dump_tty_info(), TERMIOS_NCC; include/uapi/asm-generic/termbits.h, NCCS",
    },
    Tolerance {
        pattern: "image.mountpoints.*.options",
        permits: super::devices::limits_of_another_boot,
        reason: "how much the node's devtmpfs may hold is what its kernel made of the memory that it \
                 found when it booted; the container has single devices of it",
        source: "mm/shmem.c, shmem_default_max_blocks()",
    },
];

/// The characters themselves are the same: the first bytes of the words.
fn of_characters_beyond_the_kernels(question: &Question<'_>) -> bool {
    let characters = |words: &str| {
        let words = words.split(' ').map(|word| word.parse::<u32>().map(u32::to_le_bytes));
        let bytes: Vec<u8> = words.collect::<Result<Vec<_>, _>>().ok()?.concat();
        bytes.get(..CHARACTERS).map(<[u8]>::to_vec)
    };
    let Some((before, after)) = question.exact() else { return false };
    characters(before).is_some_and(|it| characters(after) == Some(it))
}

fn no_call_is_left(question: &Question<'_>) -> bool {
    question.exact().is_some_and(|(_, after)| after == NO_CALL)
}

/// One CRIU has written the default, another one nothing.
fn off_or_not_written(question: &Question<'_>) -> bool {
    let sides = [question.before, question.after];
    sides.contains(&None) && sides.iter().flatten().all(|side| exact(Some(side)) == Some("false"))
}

/// Sequence numbers wrap.
fn window_was_told_again(question: &Question<'_>) -> bool {
    let number = |text: &str| text.parse::<u32>().ok();
    let Some((before, after)) = question.exact() else { return false };
    let received = exact(question.beside(question.capture_after, "inq_seq")).and_then(number);
    let (Some(before), Some(after), Some(received)) = (number(before), number(after), received)
    else {
        return false;
    };
    let is_newer = after.wrapping_sub(before) <= received.wrapping_sub(before)
        && received.wrapping_sub(before) < 1 << 31;
    // What the probe itself writes down: one less than what comes next.
    is_newer || after.wrapping_add(1) == received
}

/// Of the same queue less is unsent, and no more is sent than the peer's window takes.
fn more_was_sent(question: &Question<'_>) -> bool {
    let number = |capture, word| exact(question.beside(capture, word))?.parse::<u32>().ok();
    let sent = |capture| {
        let (length, unsent) = (number(capture, "outq_len")?, number(capture, "unsq_len")?);
        Some((number(capture, "outq_seq")?, length, length.checked_sub(unsent)?))
    };
    let window = number(question.capture_after, "snd_wnd");
    match (sent(question.capture_before), sent(question.capture_after)) {
        (Some((seq, length, before)), Some((same_seq, same_length, after))) => {
            (seq, length) == (same_seq, same_length) && after > before && Some(after) <= window
        }
        _ => false,
    }
}

/// The window may only grow, as far as there is room.
fn window_was_offered_again(question: &Question<'_>) -> bool {
    let Some((before, after)) = question.exact() else { return false };
    let (Ok(before), Ok(after)) = (before.parse::<u32>(), after.parse::<u32>()) else {
        return false;
    };
    let in_captures = [question.capture_before, question.capture_after];
    let beside = in_captures.map(|capture| exact(question.beside(capture, "rcv_wup")));
    let room = question.full_name.strip_suffix(".rcv_wnd").and_then(|stream| {
        let buffer = stream.replace("image.tcp-stream.", "image.files.") + ".isk.opts.so_rcvbuf";
        exact(question.capture_before.facts.get(&buffer))?.parse::<u32>().ok()
    });
    beside[0].is_some() && beside[0] == beside[1] && after >= before && Some(after) <= room
}

fn timer_went_round(question: &Question<'_>) -> bool {
    let (Some(Value::Clock { ns: before }), Some(Value::Clock { ns: after })) =
        (question.before, question.after)
    else {
        return false;
    };
    let Some(interval) = interval_ns(question).map(u64::cast_signed) else { return false };
    let went = before.wrapping_sub(*after).rem_euclid(interval).cast_unsigned();
    (0..=interval).contains(after) && went <= question.passed_ns
}

fn timer_counted(question: &Question<'_>) -> bool {
    let Some((before, after)) = question.exact() else { return false };
    let (Ok(before), Ok(after)) = (before.parse::<u64>(), after.parse::<u64>()) else {
        return false;
    };
    let intervals = interval_ns(question).map_or(0, |interval| question.passed_ns / interval);
    after > before && after - before <= intervals.saturating_add(1)
}

/// Nanoseconds between two expirations, from the fields beside.
fn interval_ns(question: &Question<'_>) -> Option<u64> {
    let beside = |field: &str| -> Option<u64> {
        exact(question.beside(question.capture_before, field))?.parse().ok()
    };
    let rest = beside("insec").or_else(|| Some(beside("iusec")?.saturating_mul(1000)));
    let interval = beside("isec")?.saturating_mul(SECOND_NS).saturating_add(rest.unwrap_or(0));
    Some(interval).filter(|interval| *interval > 0)
}

/// One more signal in the queue, and it is a timer's.
fn timer_signalled(question: &Question<'_>) -> bool {
    let code = exact(question.after).and_then(|text| {
        let digits = text.get(2 * SI_CODE.start..2 * SI_CODE.end)?;
        u32::from_str_radix(digits, 16).ok().map(|code| code.swap_bytes().cast_signed())
    });
    question.before.is_none() && code.is_some_and(|code| OF_TIMERS.contains(&code)) && {
        let task = question.full_name.split(".signals_").next().unwrap_or_default();
        has_timer(question.capture_before, task)
    }
}

/// Whether any timer of the task runs: only a pod that has one is given this room. Of a thread, the
/// timers are those of its process, which the image of another thread holds.
fn has_timer(capture: &Capture, thread: &str) -> bool {
    let image = thread.rsplit_once("core.").map_or("image.", |(head, _)| head).to_owned() + "core.";
    let facts = capture.facts.range(image.clone()..);
    let mut timers = facts.take_while(|(fact, _)| fact.starts_with(&image));
    timers
        .any(|(fact, value)| fact.contains(".timers.") && matches!(value, Value::Clock { ns: 1.. }))
}

pub(super) fn exact(value: Option<&Value>) -> Option<&str> {
    match value {
        Some(Value::Exact(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::images::compare;

    const SECONDS_NS: u64 = 7_000_000_000;
    const TIMER: &str = "0e00000000000000feffffff";
    const USER: &str = "0e0000000000000000000000";

    fn capture(facts: &[(&str, &str)]) -> Capture {
        let fact = |(name, value): &(&str, &str)| {
            let name = format!("image.{name}");
            match value.strip_suffix(" ns") {
                Some(ns) => (name, Value::Clock { ns: ns.parse().expect("a number") }),
                None => (name, Value::Exact((*value).to_owned())),
            }
        };
        Capture { facts: facts.iter().map(fact).collect(), ..Capture::default() }
    }

    #[rstest]
    #[case::no_call("core.3.thread_info.gpregs.orig_ax", "202", "18446744073709551615", true)]
    #[case::other_call("core.3.thread_info.gpregs.orig_ax", "202", "203", false)]
    #[case::other_register("core.3.thread_info.gpregs.ax", "202", "18446744073709551615", false)]
    #[case::window("tcp-stream.s.snd_wl1", "4294967290", "5", true)]
    #[case::window_of_the_future("tcp-stream.s.snd_wl1", "4294967290", "12", false)]
    #[case::window_of_the_past("tcp-stream.s.snd_wl1", "4294967290", "4294967280", false)]
    #[case::window_of_the_probe("tcp-stream.s.snd_wl1", "9", "8", true)]
    #[case::less_unsent("tcp-stream.s.unsq_len", "70", "60", true)]
    #[case::more_unsent("tcp-stream.s.unsq_len", "70", "71", false)]
    #[case::more_sent_than_there_is_room("tcp-stream.s.unsq_len", "70", "49", false)]
    #[case::larger_window("tcp-stream.s.rcv_wnd", "100", "300", true)]
    #[case::smaller_window("tcp-stream.s.rcv_wnd", "100", "99", false)]
    #[case::window_beyond_the_buffer("tcp-stream.s.rcv_wnd", "100", "401", false)]
    #[case::overrun("core.1.tc.timers.posix.0.overrun", "0", "4", true)]
    #[case::too_many_overruns("core.1.tc.timers.posix.0.overrun", "0", "5", false)]
    fn a_change_is_permitted_within_its_bound(
        #[case] fact: &str,
        #[case] before: &str,
        #[case] after: &str,
        #[case] permitted: bool,
    ) {
        let beside = [
            ("tcp-stream.s.inq_seq", "9"),
            ("tcp-stream.s.rcv_wup", "9"),
            ("tcp-stream.s.outq_seq", "1"),
            ("tcp-stream.s.outq_len", "100"),
            ("tcp-stream.s.snd_wnd", "50"),
            ("files.s.isk.opts.so_rcvbuf", "400"),
            ("core.1.tc.timers.posix.0.isec", "2"),
            ("core.1.tc.timers.posix.0.insec", "0"),
        ];
        let with = |value| capture(&[beside.as_slice(), &[(fact, value)]].concat());
        let level = compare(&with(before), &with(after), SECONDS_NS);
        let found = (level.tolerated.len(), level.differences.len());
        assert_eq!(found, if permitted { (1, 0) } else { (0, 1) }, "{level:?}");
    }

    #[rstest]
    #[case::of_a_timer(TIMER, "5 ns", true)]
    #[case::of_a_user(USER, "5 ns", false)]
    #[case::of_a_timer_that_is_off(TIMER, "0 ns", false)]
    fn a_signal_may_come_from_a_timer_that_runs(
        #[case] siginfo: &str,
        #[case] left: &str,
        #[case] permitted: bool,
    ) {
        let timer = [("core.1.tc.timers.real.vsec", left)];
        let signal = [("core.5.thread_core.signals_p.signals.0.siginfo", siginfo)];
        let after = capture(&[timer, signal].concat());
        let level = compare(&capture(&timer), &after, SECONDS_NS);
        assert_eq!(level.differences.is_empty(), permitted, "{level:?}");
    }
}
