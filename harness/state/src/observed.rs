//! What was seen of a pod, before anybody asks of what kind it is.
//!
//! Looking happens in a guest, where everything is slow that is emulated. The kinds are given where
//! captures are compared.

use std::collections::BTreeMap;

use model::{Capture, Digest, Memory, Value};
use serde::{Deserialize, Serialize};

use crate::registry::{self, Kind};

/// A capture in the guest's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub(crate) schema: u32,
    pub(crate) began_ns: u64,
    pub(crate) ended_ns: u64,
    pub(crate) facts: BTreeMap<String, Seen>,
    pub(crate) not_offered: BTreeMap<String, String>,
    pub(crate) memory: Memory,
}

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Seen {
    /// As the kernel says it.
    Text(String),
    /// Bytes, which stay where they are.
    Content { digest: Digest, length: u64 },
}

impl Observed {
    /// The same, every fact as the kind that the registry gives to its name.
    #[must_use]
    pub fn into_capture(self) -> Capture {
        let typed = |(name, seen): (String, Seen)| {
            let value = value(&name, seen);
            (name, value)
        };
        Capture {
            schema: self.schema,
            began_ns: self.began_ns,
            ended_ns: self.ended_ns,
            facts: self.facts.into_iter().map(typed).collect(),
            not_offered: self.not_offered,
            memory: self.memory,
        }
    }
}

fn value(name: &str, seen: Seen) -> Value {
    let text = match seen {
        Seen::Text(text) => text,
        Seen::Content { digest, length } => return Value::Content { digest, length },
    };
    match registry::rule(name).kind {
        Kind::Exact | Kind::Content => Value::Exact(text),
        Kind::Identity(class) => Value::Identity { class: class.to_owned(), id: text },
        Kind::Moment => Value::Moment(text),
        Kind::Clock => match text.parse() {
            Ok(ns) => Value::Clock { ns },
            Err(_) => Value::Exact(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_says_of_what_kind_a_fact_is() {
        let kind = |name: &str, text: &str| value(name, Seen::Text(text.to_owned()));
        assert_eq!(kind("task.1.fd.3.it_value", "-5"), Value::Clock { ns: -5 });
        assert_eq!(kind("task.1.fd.3.it_value", "odd"), Value::Exact("odd".to_owned()));
        let identity = Value::Identity { class: "ifindex".to_owned(), id: "2".to_owned() };
        assert_eq!(kind("pod.link.eth0.ifindex", "2"), identity);
    }
}
