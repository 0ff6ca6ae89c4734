//! Lines for the tables of sockets of the pod's network.

use super::Kind::{Exact, Identity, Moment};
use super::Rule;
use super::lines::{CHOSEN, HISTORY, STATE, lines};

const NET_FOLDER: &str = "/proc/PID/net";

pub(super) const SOCKETS: &[Rule] = lines!("pod.net.", NET_FOLDER;
    Moment, "", "a closed connection that waits for stray packets" =>
        "tcp_time_wait.*", "tcp6_time_wait.*";
    Identity("socket"), "", CHOSEN => "*.inode";
    Moment, "",
        "what is left of a retransmission or probe, which go on while the pod is held" =>
        "*.tm_when";
    Moment, "", "which timer runs at the moment" => "*.tr";
    Moment, "", HISTORY => "*.retrnsmt", "*.timeout";
);

/// Tables of `/proc/PID/net` whose rows are captured, and those of which the number of rows is.
pub(super) const TABLES: &[&[Rule]] = &[
    lines!("pod.net.", "/proc/PID/net/tcp"; Exact, "", STATE => "tcp.*";),
    lines!("pod.net.", "/proc/PID/net/tcp6"; Exact, "", STATE => "tcp6.*";),
    lines!("pod.net.", "/proc/PID/net/udp"; Exact, "", STATE => "udp.*";),
    lines!("pod.net.", "/proc/PID/net/udp6"; Exact, "", STATE => "udp6.*";),
    lines!("pod.net.", "/proc/PID/net/udplite"; Exact, "", STATE => "udplite.*";),
    lines!("pod.net.", "/proc/PID/net/udplite6"; Exact, "", STATE => "udplite6.*";),
    lines!("pod.net.", "/proc/PID/net/raw"; Exact, "", STATE => "raw.*";),
    lines!("pod.net.", "/proc/PID/net/raw6"; Exact, "", STATE => "raw6.*";),
    lines!("pod.net.", "/proc/PID/net/unix"; Exact, "", STATE => "unix.rows";),
    lines!("pod.net.", "/proc/PID/net/packet"; Exact, "", STATE => "packet.rows";),
    lines!("pod.net.", "/proc/PID/net/icmp"; Exact, "", STATE => "icmp.rows";),
    lines!("pod.net.", "/proc/PID/net/icmp6"; Exact, "", STATE => "icmp6.rows";),
    lines!("pod.net.", "/proc/PID/net/netlink";
        Moment, "", "counts the observer's own sockets" => "netlink.rows";
    ),
    lines!("pod.net.", "/proc/PID/net/igmp";
        Exact, "", "groups that a link listens to, and for how many" => "igmp.*.users";
    ),
    lines!("pod.net.", "/proc/PID/net/igmp6";
        Exact, "", "groups that a link listens to, and for how many" => "igmp6.*.users";
        Moment, "", "how the kernel last reported the group" => "igmp6.*.flags";
    ),
    lines!("pod.net.", "/proc/PID/net/mcfilter";
        Exact, "", "senders that a group is taken from" => "mcfilter.*.inc", "mcfilter.*.exc";
    ),
    lines!("pod.net.", "/proc/PID/net/mcfilter6";
        Exact, "", "senders that a group is taken from" => "mcfilter6.*.inc", "mcfilter6.*.exc";
    ),
    lines!("pod.net.", "/proc/PID/net/anycast6"; Exact, "", STATE => "anycast6.*.users";),
    lines!("pod.net.", "/proc/PID/net/ip6_flowlabel";
        Exact, "", STATE => "ip6_flowlabel.*.share", "ip6_flowlabel.*.users",
            "ip6_flowlabel.*.destination";
    ),
];
