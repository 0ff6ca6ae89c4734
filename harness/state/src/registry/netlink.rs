//! Lines for what netlink tells of the pod's network.

use super::Kind::{Content, Exact, Identity, Moment};
use super::Rule;
use super::lines::{CHOSEN, HISTORY, STAMP, STATE, lines};

const LINK: &str = "rtnetlink(7) RTM_GETLINK";
const ADDRESS: &str = "rtnetlink(7) RTM_GETADDR";
const ROUTE: &str = "rtnetlink(7) RTM_GETROUTE";
const RULE: &str = "rtnetlink(7) RTM_GETRULE";
const NEIGHBOUR: &str = "rtnetlink(7) RTM_GETNEIGH";
const RUNS_DOWN: &str = "runs down; for ever is told by the flags";
const SYSCTL: &str = "each number of it is a sysctl, and compared there";
const HOLDERS: &str = "how many hold it at the moment";
const CACHE: &str = "times and counts of a cache at the moment";

/// By the message that asks for them.
pub(super) const TABLES: &[&[Rule]] = &[
    lines!("pod.", "the kernel's messages"; Identity("ifindex"), "", CHOSEN => "*.ifindex";),
    lines!("pod.link.", LINK;
        Moment, "", "the number of the other end, in another namespace" => "*.link_index";
        Moment, "", "the number of another namespace" => "*.link_netnsid";
        Moment, "", SYSCTL => "*.af_spec.inet.conf", "*.af_spec.inet6.conf";
        Moment, "", CACHE => "*.af_spec.inet6.cacheinfo";
        Moment, "", HISTORY =>
            "*.stats", "*.stats64", "*.carrier_changes", "*.carrier_up_count", "*.carrier_down_count", "*.info_xstats";
        Identity("bpf program"), "", CHOSEN => "*.xdp.*prog_id";
        Exact, "", STATE => "*";
    ),
    lines!("pod.addr.", ADDRESS;
        Moment, "", RUNS_DOWN => "*.valid_life_time", "*.preferred_life_time";
        Moment, "", "its duplicate is still being looked for" => "*.tentative";
        Exact, "", STATE => "*";
    ),
    lines!("pod.route.", ROUTE;
        Moment, "", CACHE => "*.cacheinfo", "*.cacheinfo.*";
        Moment, "", RUNS_DOWN => "*.expires";
        Exact, "", STATE => "*";
    ),
    lines!("pod.rule", RULE; Exact, "", STATE => ".*", "6.*", "_ipmr.*", "_ip6mr.*";),
    lines!("pod.neigh", NEIGHBOUR;
        Moment, "", "a cache that fills and ages by itself" => "_cache.*";
        Moment, "", CACHE => "*.cacheinfo", "*.probes";
        Exact, "", STATE => ".*", "_proxy.*";
    ),
    lines!("pod.nexthop.", "rtnetlink(7) RTM_GETNEXTHOP"; Exact, "5.3", STATE => "*";),
    lines!("pod.addrlabel.", "rtnetlink(7) RTM_GETADDRLABEL"; Exact, "", STATE => "*";),
    lines!("pod.qdisc.", "rtnetlink(7) RTM_GETQDISC";
        Identity("qdisc"), "", CHOSEN => "*.handle";
        Moment, "", HOLDERS => "*.refcnt";
        Exact, "", STATE => "*";
    ),
    lines!("pod.class.", "rtnetlink(7) RTM_GETTCLASS"; Exact, "", STATE => "*";),
    lines!("pod.filter.", "rtnetlink(7) RTM_GETTFILTER"; Exact, "", STATE => "*";),
    lines!("pod.xfrm_state.", "netlink(7) XFRM_MSG_GETSA";
        Moment, "", HISTORY => "*.used", "*.last_used";
        Content, "", STATE => "*.algorithm_1", "*.algorithm_2", "*.algorithm_18", "*.algorithm_20";
        Exact, "", STATE => "*";
    ),
    lines!("pod.xfrm_policy.", "netlink(7) XFRM_MSG_GETPOLICY";
        Moment, "", HISTORY => "*.used", "*.last_used";
        Moment, "", CHOSEN => "*.index";
        Exact, "", STATE => "*";
    ),
    lines!("pod.conntrack.", "netlink(7) IPCTNL_MSG_CT_GET";
        Moment, "", "runs down while nothing passes" => "*.timeout";
        Moment, "", CHOSEN => "*.id";
        Moment, "", HOLDERS => "*.use";
        Moment, "", STAMP => "*.timestamp", "*.timestamp.*";
        Exact, "", STATE => "*";
    ),
    lines!("pod.iptables.", "/proc/PID/net/ip_tables_names"; Exact, "", STATE => "ip";),
    lines!("pod.iptables.", "/proc/PID/net/ip6_tables_names"; Exact, "", STATE => "ip6";),
    lines!("pod.iptables.", "/proc/PID/net/arp_tables_names"; Exact, "", STATE => "arp";),
    lines!("pod.iptables.ip", "getsockopt(2) IPT_SO_GET_ENTRIES";
        Content, "", STATE => ".*.content", "6.*.content";
        Exact, "", STATE => ".*.packets", "6.*.packets", ".*.bytes", "6.*.bytes";
    ),
    lines!("pod.nft.", "netlink(7) NFT_MSG_GETRULE, nft -j list ruleset";
        Moment, "", CHOSEN => "*.handle";
        Content, "", STATE => "*.content";
        Exact, "", STATE => "*";
    ),
];
