//! Numbers that iproute2 has words for.

type Words = &'static [(u32, &'static str)];

/// `ifi_type`: include/uapi/linux/if_arp.h.
pub(super) const LINK_TYPES: Words = &[
    (1, "ether"),
    (512, "ppp"),
    (768, "ipip"),
    (769, "tunnel6"),
    (772, "loopback"),
    (776, "sit"),
    (778, "gre"),
    (823, "gre6"),
    (65534, "none"),
];

/// `ifi_flags` by their bits: include/uapi/linux/if.h.
pub(super) const LINK_FLAGS: &[&str] = &[
    "UP",
    "BROADCAST",
    "DEBUG",
    "LOOPBACK",
    "POINTOPOINT",
    "NOTRAILERS",
    "RUNNING",
    "NOARP",
    "PROMISC",
    "ALLMULTI",
    "MASTER",
    "SLAVE",
    "MULTICAST",
    "PORTSEL",
    "AUTOMEDIA",
    "DYNAMIC",
    "LOWER_UP",
    "DORMANT",
    "ECHO",
];

/// `ifa_flags` by their bits: include/uapi/linux/if_addr.h.
pub(super) const ADDRESS_FLAGS: &[&str] = &[
    "secondary",
    "nodad",
    "optimistic",
    "dadfailed",
    "home",
    "deprecated",
    "tentative",
    "permanent",
    "mngtmpaddr",
    "noprefixroute",
    "autojoin",
    "stable-privacy",
];

/// `IFLA_OPERSTATE`: RFC 2863.
pub(super) const OPERSTATES: Words = &[
    (0, "UNKNOWN"),
    (1, "NOTPRESENT"),
    (2, "DOWN"),
    (3, "LOWERLAYERDOWN"),
    (4, "TESTING"),
    (5, "DORMANT"),
    (6, "UP"),
];

pub(super) const LINK_MODES: Words = &[(0, "DEFAULT"), (1, "DORMANT")];

pub(super) const ADDRESS_MODES: Words =
    &[(0, "eui64"), (1, "none"), (2, "stable_secret"), (3, "random")];

pub(super) const FAMILIES: Words =
    &[(2, "inet"), (7, "bridge"), (10, "inet6"), (128, "ipmr"), (129, "ip6mr")];

pub(super) const SCOPES: Words =
    &[(0, "global"), (200, "site"), (253, "link"), (254, "host"), (255, "nowhere")];

pub(super) const TABLES: Words = &[(253, "default"), (254, "main"), (255, "local")];

pub(super) const ROUTE_TYPES: Words = &[
    (0, "none"),
    (1, "unicast"),
    (2, "local"),
    (3, "broadcast"),
    (4, "anycast"),
    (5, "multicast"),
    (6, "blackhole"),
    (7, "unreachable"),
    (8, "prohibit"),
    (9, "throw"),
    (10, "nat"),
];

pub(super) const PROTOCOLS: Words = &[
    (0, "unspec"),
    (1, "redirect"),
    (2, "kernel"),
    (3, "boot"),
    (4, "static"),
    (9, "ra"),
    (16, "dhcp"),
];

pub(super) const ADDRESS_PROTOCOLS: Words =
    &[(0, "unspec"), (1, "kernel_lo"), (2, "kernel_ra"), (3, "kernel_ll")];

pub(super) const RULE_ACTIONS: Words = &[
    (1, "to_table"),
    (2, "goto"),
    (3, "nop"),
    (6, "blackhole"),
    (7, "unreachable"),
    (8, "prohibit"),
];

pub(super) const PREFERENCES: Words = &[(0, "medium"), (1, "high"), (3, "low")];

/// The words of the bits that are set; bits without a word as a number.
pub(super) fn flags(words: &[&str], bits: u32) -> Vec<String> {
    let set = |bit: &usize| bits.checked_shr(*bit as u32).is_some_and(|bits| bits & 1 == 1);
    let word = |bit: usize| {
        words.get(bit).map_or_else(|| format!("{:#x}", 1u32 << bit), |word| (*word).to_owned())
    };
    (0..32).filter(set).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_without_a_word_are_told_as_numbers() {
        assert_eq!(flags(LINK_FLAGS, 0x10049), ["UP", "LOOPBACK", "RUNNING", "LOWER_UP"]);
        assert_eq!(flags(&["A"], 0x8000_0001), ["A", "0x80000000"]);
    }
}
