//! How a container is confined: what its programs may not do although they could ask for it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What confines a container's programs. The default is what every container has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// Its capabilities; when not given, what a container runtime leaves to root.
    pub capabilities: Option<Capabilities>,
    /// No program gets more rights by being run (`no_new_privs`, see prctl(2)).
    pub no_new_privs: bool,
    /// Filters of system calls, in the order in which they are installed.
    pub seccomp: Vec<Filter>,
    /// The AppArmor profile; its policy is loaded before.
    pub apparmor: Option<String>,
    /// A user namespace of its own.
    pub user_namespace: Option<UserNamespace>,
}

/// Sets of capabilities, each by the kernel's name (`CAP_CHOWN`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    /// What any program in the container can ever have.
    pub bounding: BTreeSet<String>,
    /// What a program with inheritable file capabilities takes over.
    pub inheritable: BTreeSet<String>,
    /// What may be made effective.
    pub permitted: BTreeSet<String>,
    /// What counts.
    pub effective: BTreeSet<String>,
    /// What a program takes over that is not run by root.
    pub ambient: BTreeSet<String>,
}

impl Capabilities {
    /// All five sets, by the names that OCI's runtime specification gives them.
    #[must_use]
    pub fn sets(&self) -> [(&'static str, &BTreeSet<String>); 5] {
        [
            ("bounding", &self.bounding),
            ("inheritable", &self.inheritable),
            ("permitted", &self.permitted),
            ("effective", &self.effective),
            ("ambient", &self.ambient),
        ]
    }
}

/// A filter of system calls: a program for the kernel's classic BPF machine.
pub type Filter = Vec<Instruction>;

/// One instruction, as `struct sock_filter` has it: code, jumps when true and when false, operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction(pub u16, pub u8, pub u8, pub u32);

/// Which ids of the node a user namespace has: from 0 on within, so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserNamespace {
    /// The node's user id of root within.
    pub uid: u32,
    /// The node's group id of root's group within.
    pub gid: u32,
    /// How many users and groups there are.
    pub count: u32,
}
