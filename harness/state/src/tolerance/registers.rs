//! The restart of an interrupted system call, as registers show it.
//!
//! A task that is frozen in a system call has not decided yet what becomes of it: `orig_rax` holds
//! the call's number, and `rax` an error that no program ever sees. CRIU decides as the kernel would
//! have done: it goes back to the instruction that calls, with the number in `rax`
//! (`compel_get_task_regs()` in compel/arch/x86/src/lib/infect.c), and what comes back from its
//! frame is in no system call (`restore_sigcontext()` in arch/x86/kernel/signal_64.c).

use model::{Capture, Value};

use super::Question;

/// Bytes of the instruction `syscall`.
const SYSCALL: u64 = 2;

/// What the kernel has in `rax` of a call that it begins anew: ERESTARTSYS, ERESTARTNOINTR and
/// ERESTARTNOHAND. Not ERESTART_RESTARTBLOCK: CRIU makes EINTR of it, which is a loss.
const RESTARTS: [i64; 3] = [-512, -513, -514];

/// The call is begun anew.
pub(super) fn restarted(question: &Question<'_>) -> bool {
    let read = |capture, word| register(question, capture, word);
    let (before, after) = (question.capture_before, question.capture_after);
    let restarts = || {
        let result = read(before, "rax")?.cast_signed();
        let again = read(after, "rip")? == read(before, "rip")?.wrapping_sub(SYSCALL);
        let same = read(after, "rax")? == read(before, "orig_rax")?;
        Some(RESTARTS.contains(&result) && again && same)
    };
    let moves = question.fact.ends_with(".rax") || question.fact.ends_with(".rip");
    moves && in_a_call(question) && restarts().unwrap_or(false)
}

/// No call is under way any more.
pub(super) fn in_no_call(question: &Question<'_>) -> bool {
    let now = register(question, question.capture_after, "orig_rax");
    in_a_call(question) && now == Some(u64::MAX)
}

fn in_a_call(question: &Question<'_>) -> bool {
    let call = register(question, question.capture_before, "orig_rax");
    call.is_some_and(|call| call.cast_signed() >= 0)
}

fn register(question: &Question<'_>, capture: &Capture, word: &str) -> Option<u64> {
    match question.beside(capture, word)? {
        Value::Exact(text) => u64::from_str_radix(text.strip_prefix("0x")?, 16).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NANOSLEEP: u64 = 35;

    fn thread(rax: u64, rip: u64, orig_rax: u64) -> Capture {
        let words = [("rax", rax), ("rip", rip), ("orig_rax", orig_rax)];
        let facts = words.map(|(word, value)| {
            (format!("task.1.traced.regs.{word}"), Value::Exact(format!("{value:#x}")))
        });
        Capture { facts: facts.into(), ..Capture::default() }
    }

    #[rstest]
    #[case("rip", -512, NANOSLEEP, 0x1000, true)]
    #[case("rbx", -512, NANOSLEEP, 0x1000, false)]
    #[case("rip", -516, NANOSLEEP, 0x1000, false)]
    #[case("rip", -512, NANOSLEEP, 0x1001, false)]
    #[case("rax", -512, NANOSLEEP + 1, 0x1000, false)]
    fn only_a_call_that_is_begun_anew_moves_the_registers(
        #[case] word: &str,
        #[case] error: i64,
        #[case] rax: u64,
        #[case] rip: u64,
        #[case] expected: bool,
    ) {
        let before = thread(error.cast_unsigned(), 0x1002, NANOSLEEP);
        let after = thread(rax, rip, u64::MAX);
        let name = &format!("task.1.traced.regs.{word}");
        let question = Question {
            fact: name,
            full_name: name,
            before: before.facts.get(name),
            after: after.facts.get(name),
            capture_before: &before,
            capture_after: &after,
            passed_ns: 0,
        };
        assert_eq!(restarted(&question), expected);
        assert!(in_no_call(&question));
    }
}
