//! Who a node is.

use serde::{Deserialize, Serialize};

/// What makes a node different from another one of the same machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its hostname.
    pub hostname: String,
    /// `/etc/machine-id`: 32 hexadecimal digits; the image's own stays where this is empty.
    pub machine_id: String,
    /// Seeds the kernel's random numbers anew.
    #[serde(with = "serde_bytes")]
    pub entropy: Vec<u8>,
    /// The time of day, in nanoseconds since 1970; the clock stays as it is without one.
    pub clock_ns: Option<u64>,
    /// Its network cards, in the order in which the machine has them.
    pub cards: Vec<Card>,
    /// Names of other nodes.
    pub hosts: Vec<KnownHost>,
}

/// A network card of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its addresses, such as `10.77.0.1/24`.
    pub addresses: Vec<String>,
}

/// A line of `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownHost {
    /// An IP address.
    pub address: String,
    /// A name.
    pub name: String,
}
