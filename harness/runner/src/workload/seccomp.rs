//! A profile of system calls, in the words of OCI's runtime specification, made into filters.
//!
//! A filter knows two answers, so each further action of a profile becomes a filter of its own, and
//! of several answers the kernel takes the strictest (seccomp(2)).

use std::collections::BTreeMap;
use std::str::FromStr;

use model::pod::{Filter, Instruction};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use serde::Deserialize;
use syscalls::Sysno;

/// What the calls of a profile get, unless a rule says otherwise: EPERM.
const EPERM: u32 = 1;

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Profile {
    default_action: Action,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    names: Vec<String>,
    action: Action,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Vec<Argument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: Operator,
}

#[derive(Clone, Copy, Deserialize)]
enum Action {
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
}

#[derive(Clone, Copy, Deserialize)]
enum Operator {
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

/// Rules of one action, by the number of the system call; without conditions, all its calls.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Makes the filters of a profile, in the order in which they are installed.
///
/// # Errors
/// What the text says that cannot be, in words.
pub(super) fn compile(text: &str) -> Result<Vec<Filter>, String> {
    let profile: Profile = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let Some(other) = profile.architectures.iter().find(|it| *it != "SCMP_ARCH_X86_64") {
        return Err(format!("`architectures`: \"{other}\" is not SCMP_ARCH_X86_64"));
    }
    let default = profile.default_action.answer(profile.default_errno_ret);
    let mut named = Rules::new();
    let mut others: Vec<(SeccompAction, Rules)> = Vec::new();
    for rule in &profile.syscalls {
        let answer = rule.action.answer(rule.errno_ret);
        if answer == default {
            continue;
        }
        rule.add_to(&mut named)?;
        if answer == SeccompAction::Allow {
            continue;
        }
        let known = others.iter().position(|(other, _)| *other == answer);
        let index = known.unwrap_or_else(|| {
            others.push((answer, Rules::new()));
            others.len() - 1
        });
        rule.add_to(&mut others[index].1)?;
    }
    let mut filters = Vec::new();
    if default != SeccompAction::Allow {
        filters.push(filter(named, default, SeccompAction::Allow)?);
    }
    for (answer, rules) in others {
        filters.push(filter(rules, SeccompAction::Allow, answer)?);
    }
    match filters.is_empty() {
        true => Err("it allows everything".to_owned()),
        false => Ok(filters),
    }
}

fn filter(rules: Rules, other: SeccompAction, matching: SeccompAction) -> Result<Filter, String> {
    let filter = SeccompFilter::new(rules, other, matching, TargetArch::x86_64);
    let program = filter.and_then(BpfProgram::try_from).map_err(|error| error.to_string())?;
    Ok(program.into_iter().map(|it| Instruction(it.code, it.jt, it.jf, it.k)).collect())
}

impl Rule {
    fn add_to(&self, rules: &mut Rules) -> Result<(), String> {
        for name in &self.names {
            let number = Sysno::from_str(name)
                .map_err(|()| format!("`names`: there is no system call \"{name}\""))?;
            let number = i64::from(number.id());
            // Without conditions it is all calls, whatever other rules say of some of them.
            if self.args.is_empty() || rules.get(&number).is_some_and(Vec::is_empty) {
                rules.insert(number, Vec::new());
                continue;
            }
            let conditions: Result<Vec<_>, String> = self.args.iter().map(Argument::is).collect();
            let new = SeccompRule::new(conditions?).map_err(|error| error.to_string())?;
            rules.entry(number).or_default().push(new);
        }
        Ok(())
    }
}

impl Argument {
    fn is(&self) -> Result<SeccompCondition, String> {
        let (operator, value) = match self.op {
            Operator::Equal => (SeccompCmpOp::Eq, self.value),
            Operator::NotEqual => (SeccompCmpOp::Ne, self.value),
            Operator::Less => (SeccompCmpOp::Lt, self.value),
            Operator::LessOrEqual => (SeccompCmpOp::Le, self.value),
            Operator::Greater => (SeccompCmpOp::Gt, self.value),
            Operator::GreaterOrEqual => (SeccompCmpOp::Ge, self.value),
            Operator::MaskedEqual => (SeccompCmpOp::MaskedEq(self.value), self.value_two),
        };
        SeccompCondition::new(self.index, SeccompCmpArgLen::Qword, operator, value)
            .map_err(|error| format!("`args`: {error}"))
    }
}

impl Action {
    fn answer(self, errno: Option<u32>) -> SeccompAction {
        match self {
            Action::Allow => SeccompAction::Allow,
            Action::Errno => SeccompAction::Errno(errno.unwrap_or(EPERM)),
            Action::KillThread => SeccompAction::KillThread,
            Action::KillProcess => SeccompAction::KillProcess,
            Action::Log => SeccompAction::Log,
            Action::Trap => SeccompAction::Trap,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn profile(default: &str, rules: &str) -> String {
        format!(r#"{{"defaultAction": "SCMP_ACT_{default}", "syscalls": [{rules}]}}"#)
    }

    /// `SECCOMP_RET_*` values that a filter can answer.
    fn answers(filter: &Filter) -> Vec<u32> {
        let returns = filter.iter().filter(|instruction| instruction.0 == 6);
        let mut answers: Vec<u32> = returns.map(|instruction| instruction.3).collect();
        answers.sort_unstable();
        answers.dedup();
        answers
    }

    #[test]
    fn each_further_action_is_a_filter_of_its_own() {
        let rules = r#"
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]}"#;
        let filters = compile(&profile("ERRNO", rules)).expect("right");
        let (kill, errno, allow) = (0x8000_0000, 0x0005_0000, 0x7fff_0000);
        assert_eq!(answers(&filters[0]), [errno | 1, allow, kill]);
        assert_eq!(answers(&filters[1]), [errno | 38, allow, kill]);
        assert_eq!(filters.len(), 2);
    }

    #[rstest]
    #[case::name(r#"{"names": ["mont"], "action": "SCMP_ACT_KILL"}"#, "no system call \"mont\"")]
    #[case::action(r#"{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}"#, "`SCMP_ACT_NOTIFY`")]
    #[case::field(r#"{"nams": [], "action": "SCMP_ACT_LOG"}"#, "unknown field `nams`")]
    #[case::argument(
        r#"{"names": ["mount"], "action": "SCMP_ACT_LOG",
            "args": [{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}]}"#,
        "`args`: "
    )]
    #[case::nothing("", "it allows everything")]
    fn what_cannot_be_is_told(#[case] rules: &str, #[case] message: &str) {
        let error = compile(&profile("ALLOW", rules)).expect_err("wrong");
        assert!(error.contains(message), "{error}");
    }
}
