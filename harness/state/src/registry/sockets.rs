//! Lines for sockets: addresses, options of every level, queues and what diagnostics tell.

use super::Kind::{Content, Exact, Identity, Moment};
use super::Rule;
use super::lines::{CHOSEN, STATE, lines};

const OPTION: &str = "getsockopt(2) by pidfd_getfd(2)";
const PATH: &str = "the kernel's estimate of the path, begun anew on a new path";

pub(super) const SOCKET: &[Rule] = lines!("task.*.fd.*.socket.", OPTION;
    Exact, "", STATE =>
        "so_debug", "so_reuseaddr", "so_type", "so_dontroute", "so_broadcast", "so_sndbuf",
        "so_rcvbuf", "so_keepalive", "so_oobinline", "so_no_check", "so_priority", "so_linger", "so_bsdcompat",
        "so_passcred", "so_rcvlowat", "so_sndlowat", "so_rcvtimeo", "so_sndtimeo",
        "so_timestamp", "so_acceptconn", "so_peersec", "so_passsec", "so_timestampns", "so_mark",
        "so_timestamping", "so_protocol", "so_domain", "so_rxq_ovfl", "so_wifi_status";
    Exact, "", "credentials; the pid as the container numbers it" => "so_peercred";
    Exact, "3.4", STATE => "so_peek_off", "so_nofcs";
    Exact, "3.8", STATE => "so_bindtodevice", "so_lock_filter";
    Exact, "3.9", STATE => "so_reuseport";
    Exact, "3.10", STATE => "so_select_err_queue";
    Exact, "3.11", STATE => "so_busy_poll";
    Exact, "3.13", STATE => "so_max_pacing_rate";
    Exact, "4.13", STATE => "so_peergroups";
    Exact, "4.14", STATE => "so_zerocopy";
    Exact, "4.19", STATE => "so_txtime";
    Identity("ifindex"), "5.1", CHOSEN => "so_bindtoifindex";
    Exact, "5.1", STATE => "so_timestamp_new", "so_timestampns_new", "so_timestamping_new";
    Exact, "5.11", STATE => "so_prefer_busy_poll";
    Exact, "5.15", STATE => "so_buf_lock";
    Exact, "5.16", STATE => "so_reserve_mem";
    Exact, "5.18", STATE => "so_txrehash";
    Exact, "6.0", STATE => "so_rcvmark";
    Exact, "6.5", STATE => "so_passpidfd";
    Exact, "6.15", STATE => "so_rcvpriority";
    Exact, "6.16", STATE => "so_passrights";
    Exact, "6.18", STATE => "so_inq";
    Moment, "3.19", "where its last packet was handled" => "so_incoming_cpu";
    Moment, "4.12", "which queue its last packet came by" => "so_incoming_napi_id";
    Moment, "4.12", "memory accounted at the moment" => "so_meminfo";
    Identity("netns cookie"), "5.14", CHOSEN => "so_netns_cookie";
    Content, "4.4", "the classic filter, by its instructions" => "so_get_filter";
);

pub(super) const IP: &[Rule] = lines!("task.*.fd.*.socket.", OPTION;
    Exact, "", STATE =>
        "ip_tos", "ip_ttl", "ip_hdrincl", "ip_options", "ip_router_alert", "ip_recvopts", "ip_retopts", "ip_pktinfo",
        "ip_mtu_discover", "ip_recverr", "ip_recvttl", "ip_recvtos", "ip_freebind",
        "ip_passsec", "ip_transparent", "ip_recvorigdstaddr", "ip_minttl", "ip_nodefrag",
        "ip_multicast_if", "ip_multicast_ttl", "ip_multicast_loop", "ip_multicast_all",
        "ip_unicast_if";
    Exact, "4.1", STATE => "ip_checksum";
    Exact, "4.2", STATE => "ip_bind_address_no_port";
    Exact, "4.14", STATE => "ip_recvfragsize";
    Exact, "5.9", STATE => "ip_recverr_rfc4884";
    Exact, "6.3", STATE => "ip_local_port_range";
    Exact, "6.4", STATE => "ip_protocol";
);

pub(super) const IPV6: &[Rule] = lines!("task.*.fd.*.socket.", OPTION;
    Exact, "", STATE =>
        "ipv6_unicast_hops", "ipv6_multicast_if", "ipv6_multicast_hops", "ipv6_multicast_loop",
        "ipv6_mtu_discover", "ipv6_recverr", "ipv6_v6only", "ipv6_flowinfo", "ipv6_hdrincl",
        "ipv6_router_alert",
        "ipv6_flowinfo_send", "ipv6_checksum", "ipv6_recvpktinfo", "ipv6_2292pktinfo",
        "ipv6_recvhoplimit", "ipv6_2292hoplimit", "ipv6_recvhopopts", "ipv6_2292hopopts",
        "ipv6_hopopts", "ipv6_rthdrdstopts", "ipv6_recvrthdr", "ipv6_2292rthdr", "ipv6_rthdr",
        "ipv6_recvdstopts", "ipv6_2292dstopts", "ipv6_dstopts", "ipv6_recvpathmtu",
        "ipv6_dontfrag", "ipv6_recvtclass", "ipv6_tclass", "ipv6_addr_preferences",
        "ipv6_minhopcount", "ipv6_recvorigdstaddr", "ipv6_transparent", "ipv6_unicast_if";
    Exact, "3.17", STATE => "ipv6_autoflowlabel";
    Exact, "4.14", STATE => "ipv6_recvfragsize";
    Exact, "4.19", STATE => "ipv6_freebind";
    Exact, "4.20", STATE => "ipv6_multicast_all", "ipv6_router_alert_isolate";
    Exact, "5.9", STATE => "ipv6_recverr_rfc4884";
);

pub(super) const TCP: &[Rule] = lines!("task.*.fd.*.socket.", OPTION;
    Exact, "", STATE =>
        "tcp_nodelay", "tcp_cork", "tcp_keepidle", "tcp_keepintvl", "tcp_keepcnt", "tcp_syncnt",
        "tcp_linger2", "tcp_defer_accept", "tcp_window_clamp", "tcp_congestion",
        "tcp_thin_linear_timeouts", "tcp_thin_dupack", "tcp_user_timeout", "tcp_repair";
    Exact, "", "state, negotiated options and window scales; the rest estimates the path" =>
        "tcp_info";
    Exact, "3.6", STATE => "tcp_fastopen";
    Exact, "3.12", STATE => "tcp_notsent_lowat";
    Exact, "4.2", STATE => "tcp_save_syn";
    Exact, "4.11", STATE => "tcp_fastopen_connect";
    Exact, "4.13", STATE => "tcp_ulp";
    Exact, "4.15", STATE => "tcp_fastopen_key", "tcp_fastopen_no_cookie";
    Exact, "4.18", STATE => "tcp_inq";
    Exact, "5.4", STATE => "tcp_tx_delay";
    Exact, "6.15", STATE => "tcp_is_mptcp", "tcp_rto_max_ms", "tcp_rto_min_us", "tcp_delack_max_us";
    Moment, "", "the kernel moves it with the traffic, see tcp(7)" => "tcp_quickack";
    Exact, "", STATE => "unconnected.tcp_maxseg";
    Moment, "", PATH => "tcp_maxseg";
);

pub(super) const OTHER_LEVELS: &[Rule] = lines!("task.*.fd.*.socket.", OPTION;
    Exact, "", STATE => "udp_cork", "udplite_send_cscov", "udplite_recv_cscov", "udp_encap", "raw_checksum", "raw_hdrincl";
    Exact, "3.16", STATE => "udp_no_check6_tx", "udp_no_check6_rx";
    Exact, "4.18", STATE => "udp_segment";
    Exact, "5.0", STATE => "udp_gro";
    Exact, "", STATE =>
        "netlink_pktinfo", "netlink_broadcast_error", "netlink_no_enobufs", "icmp_filter",
        "icmpv6_filter";
    Exact, "4.2", STATE => "netlink_list_memberships", "netlink_listen_all_nsid";
    Exact, "4.3", STATE => "netlink_cap_ack";
    Exact, "4.10", STATE => "netlink_ext_ack";
    Exact, "4.20", STATE => "netlink_get_strict_chk";
    Exact, "", STATE =>
        "packet_auxdata", "packet_origdev", "packet_version", "packet_reserve", "packet_loss",
        "packet_vnet_hdr", "packet_timestamp", "packet_fanout", "packet_tx_has_off", "packet_copy_thresh";
    Exact, "3.14", STATE => "packet_qdisc_bypass";
    Exact, "5.0", STATE => "packet_ignore_outgoing";
    Exact, "6.4", STATE => "packet_vnet_hdr_sz";
    Exact, "3.9", STATE =>
        "vm_sockets_buffer_size", "vm_sockets_buffer_min_size", "vm_sockets_buffer_max_size",
        "vm_sockets_connect_timeout";
);

pub(super) const ADDRESSES: &[&[Rule]] = &[
    lines!("task.*.fd.*.socket.", "getsockname(2) by pidfd_getfd(2)"; Exact, "", STATE => "sockname";),
    lines!("task.*.fd.*.socket.", "getpeername(2) by pidfd_getfd(2)"; Exact, "", STATE => "peername";),
    lines!("task.*.fd.*.socket.", "fstat(2) by pidfd_getfd(2)";
        Identity("socket"), "", CHOSEN => "ino";
    ),
    lines!("task.*.fd.*.socket.", "ioctl SIOCINQ"; Exact, "", STATE => "siocinq";),
    lines!("task.*.fd.*.socket.", "ioctl SIOCOUTQ"; Exact, "", STATE => "siocoutq";),
    lines!("task.*.fd.*.socket.", "recv(2) with MSG_PEEK";
        Content, "", STATE => "content", "datagram.*.content";
    ),
];

const DIAG: &str = "sock_diag(7)";

pub(super) const UNIX: &[Rule] = lines!("task.*.fd.*.socket.", DIAG;
    Identity("socket"), "3.3", CHOSEN => "peer";
    Identity("inode"), "3.3", CHOSEN => "vfs";
    Exact, "3.3", STATE => "state", "rqueue", "icons";
    Exact, "3.7", STATE => "shutdown";
    Exact, "5.3", STATE => "uid";
    Exact, "", "whether diagnostics of the pod's network show it" => "netns";
    Moment, "3.3",
        "memory in the allocator's units; what was sent is compared where it waits to be read" =>
        "wqueue";
);

/// Beside what a getsockopt(2) tells.
pub(super) const DIAGNOSTICS: &[&[Rule]] = &[
    lines!("task.*.fd.*.socket.netlink.", "sock_diag(7) NETLINK_DIAG";
        Exact, "", "whether diagnostics of the pod's network show it" => "netns";
        Exact, "3.10", STATE => "state", "portid", "dst_portid", "dst_group", "groups";
        Exact, "4.8", STATE => "flags";
    ),
    lines!("task.*.fd.*.socket.packet.", "sock_diag(7) PACKET_DIAG";
        Exact, "", "whether diagnostics of the pod's network show it" => "netns";
        Identity("ifindex"), "3.7", CHOSEN => "ifindex", "mclist.*.ifindex";
        Exact, "3.7", STATE =>
            "num", "version", "reserve", "copy_thresh", "tstamp", "flags", "fanout", "uid",
            "mclist.*.address", "mclist.*.type", "mclist.*.count",
            "rx_ring.block_size", "rx_ring.block_nr", "rx_ring.frame_size", "rx_ring.frame_nr",
            "rx_ring.retire_tmo", "rx_ring.sizeof_priv", "rx_ring.features",
            "tx_ring.block_size", "tx_ring.block_nr", "tx_ring.frame_size", "tx_ring.frame_nr",
            "tx_ring.retire_tmo", "tx_ring.sizeof_priv", "tx_ring.features";
    ),
];
