//! Socket options that can be read without changing anything.
//!
//! What is left out on purpose has its reason in the list of what is not captured.

/// How the value of an option is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// A number, or bytes.
    Plain,
    /// A text that ends at the first zero.
    Text,
    /// `struct timeval`.
    Seconds,
    /// `struct ucred`.
    Credentials,
    /// `struct tcp_info`.
    TcpInfo,
}

/// A socket option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opt {
    pub(crate) name: &'static str,
    pub(crate) number: i32,
    pub(crate) shape: Shape,
}

/// Options of one level, and the sockets that have it.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) number: i32,
    domains: &'static [i32],
    protocol: Option<i32>,
    pub(crate) options: &'static [Opt],
}

impl Level {
    /// Whether sockets of this family and protocol have options of this level.
    pub(crate) fn applies(&self, domain: i32, protocol: i32) -> bool {
        (self.domains.is_empty() || self.domains.contains(&domain))
            && self.protocol.is_none_or(|wanted| wanted == protocol)
    }
}

/// The name of a socket option, if it is known.
#[must_use]
pub fn option_name(level: i32, number: i32) -> Option<&'static str> {
    let options = LEVELS.iter().filter(|it| it.number == level).flat_map(|it| it.options);
    let unread = NOT_READ.iter().filter(|(it, _)| *it == level).map(|(_, option)| option);
    options.chain(unread).find(|option| option.number == number).map(|option| option.name)
}

const fn plain(name: &'static str, number: i32) -> Opt {
    Opt { name, number, shape: Shape::Plain }
}

const fn shaped(name: &'static str, number: i32, shape: Shape) -> Opt {
    Opt { name, number, shape }
}

const INTERNET: &[i32] = &[libc::AF_INET, libc::AF_INET6];

const fn level(
    number: i32,
    domains: &'static [i32],
    protocol: Option<i32>,
    options: &'static [Opt],
) -> Level {
    Level { number, domains, protocol, options }
}

pub(crate) const LEVELS: &[Level] = &[
    level(libc::SOL_SOCKET, &[], None, SOCKET),
    level(libc::IPPROTO_IP, INTERNET, None, IP),
    level(libc::IPPROTO_IPV6, &[libc::AF_INET6], None, IPV6),
    level(libc::IPPROTO_TCP, INTERNET, Some(libc::IPPROTO_TCP), TCP),
    level(libc::IPPROTO_UDP, INTERNET, Some(libc::IPPROTO_UDP), UDP),
    level(libc::IPPROTO_RAW, INTERNET, Some(libc::IPPROTO_ICMP), RAW),
    level(libc::IPPROTO_RAW, &[libc::AF_INET6], Some(libc::IPPROTO_ICMPV6), RAW),
    level(libc::IPPROTO_ICMPV6, &[libc::AF_INET6], Some(libc::IPPROTO_ICMPV6), ICMPV6),
    level(libc::SOL_NETLINK, &[libc::AF_NETLINK], None, NETLINK),
    level(libc::SOL_PACKET, &[libc::AF_PACKET], None, PACKET),
    level(libc::AF_VSOCK, &[libc::AF_VSOCK], None, VSOCK),
];

/// The level of MPTCP sockets, which libc does not name.
const SOL_MPTCP: i32 = 284;

/// Options that are never read; the list of what is not captured says why.
const NOT_READ: &[(i32, Opt)] = &[
    (libc::SOL_SOCKET, plain("so_error", 4)),
    (libc::SOL_SOCKET, plain("so_bpf_extensions", 48)),
    (libc::SOL_SOCKET, plain("so_cookie", 57)),
    (libc::SOL_SOCKET, plain("so_rcvtimeo_new", 66)),
    (libc::SOL_SOCKET, plain("so_sndtimeo_new", 67)),
    (libc::SOL_SOCKET, plain("so_peerpidfd", 77)),
    (libc::IPPROTO_IP, plain("ip_pktoptions", 9)),
    (libc::IPPROTO_IP, plain("ip_mtu", 14)),
    (libc::IPPROTO_IPV6, plain("ipv6_2292pktoptions", 6)),
    (libc::IPPROTO_IPV6, plain("ipv6_mtu", 24)),
    (libc::IPPROTO_IPV6, plain("ipv6_pathmtu", 61)),
    (libc::IPPROTO_TCP, plain("tcp_repair_queue", 20)),
    (libc::IPPROTO_TCP, plain("tcp_queue_seq", 21)),
    (libc::IPPROTO_TCP, plain("tcp_timestamp", 24)),
    (libc::IPPROTO_TCP, plain("tcp_cc_info", 26)),
    (libc::IPPROTO_TCP, plain("tcp_saved_syn", 28)),
    (libc::IPPROTO_TCP, plain("tcp_repair_window", 29)),
    (libc::IPPROTO_TCP, plain("tcp_zerocopy_receive", 35)),
    (libc::SOL_PACKET, plain("packet_statistics", 6)),
    (libc::SOL_PACKET, plain("packet_hdrlen", 11)),
    (libc::AF_VSOCK, plain("vm_sockets_connect_timeout_new", 8)),
    (SOL_MPTCP, plain("mptcp_info", 1)),
    (SOL_MPTCP, plain("mptcp_tcpinfo", 2)),
    (SOL_MPTCP, plain("mptcp_subflow_addrs", 3)),
    (SOL_MPTCP, plain("mptcp_full_info", 4)),
    // Its length counts instructions, so it is read by a call of its own.
    (libc::SOL_SOCKET, plain("so_get_filter", 26)),
];

/// include/uapi/asm-generic/socket.h
const SOCKET: &[Opt] = &[
    plain("so_debug", 1),
    plain("so_reuseaddr", 2),
    plain("so_type", 3),
    plain("so_dontroute", 5),
    plain("so_broadcast", 6),
    plain("so_sndbuf", 7),
    plain("so_rcvbuf", 8),
    plain("so_keepalive", 9),
    plain("so_oobinline", 10),
    plain("so_no_check", 11),
    plain("so_priority", 12),
    plain("so_linger", 13),
    plain("so_bsdcompat", 14),
    plain("so_reuseport", 15),
    plain("so_passcred", 16),
    shaped("so_peercred", 17, Shape::Credentials),
    plain("so_rcvlowat", 18),
    plain("so_sndlowat", 19),
    shaped("so_rcvtimeo", 20, Shape::Seconds),
    shaped("so_sndtimeo", 21, Shape::Seconds),
    shaped("so_bindtodevice", 25, Shape::Text),
    plain("so_timestamp", 29),
    plain("so_acceptconn", 30),
    shaped("so_peersec", 31, Shape::Text),
    plain("so_passsec", 34),
    plain("so_timestampns", 35),
    plain("so_mark", 36),
    plain("so_timestamping", 37),
    plain("so_protocol", 38),
    plain("so_domain", 39),
    plain("so_rxq_ovfl", 40),
    plain("so_wifi_status", 41),
    plain("so_peek_off", 42),
    plain("so_nofcs", 43),
    plain("so_lock_filter", 44),
    plain("so_select_err_queue", 45),
    plain("so_busy_poll", 46),
    plain("so_max_pacing_rate", 47),
    plain("so_incoming_cpu", 49),
    plain("so_meminfo", 55),
    plain("so_incoming_napi_id", 56),
    plain("so_peergroups", 59),
    plain("so_zerocopy", 60),
    plain("so_txtime", 61),
    plain("so_bindtoifindex", 62),
    plain("so_timestamp_new", 63),
    plain("so_timestampns_new", 64),
    plain("so_timestamping_new", 65),
    plain("so_prefer_busy_poll", 69),
    plain("so_netns_cookie", 71),
    plain("so_buf_lock", 72),
    plain("so_reserve_mem", 73),
    plain("so_txrehash", 74),
    plain("so_rcvmark", 75),
    plain("so_passpidfd", 76),
    plain("so_rcvpriority", 82),
    plain("so_passrights", 83),
    plain("so_inq", 84),
];

/// include/uapi/linux/in.h
const IP: &[Opt] = &[
    plain("ip_tos", 1),
    plain("ip_ttl", 2),
    plain("ip_hdrincl", 3),
    plain("ip_options", 4),
    plain("ip_router_alert", 5),
    plain("ip_recvopts", 6),
    plain("ip_retopts", 7),
    plain("ip_pktinfo", 8),
    plain("ip_mtu_discover", 10),
    plain("ip_recverr", 11),
    plain("ip_recvttl", 12),
    plain("ip_recvtos", 13),
    plain("ip_freebind", 15),
    plain("ip_passsec", 18),
    plain("ip_transparent", 19),
    plain("ip_recvorigdstaddr", 20),
    plain("ip_minttl", 21),
    plain("ip_nodefrag", 22),
    plain("ip_checksum", 23),
    plain("ip_bind_address_no_port", 24),
    plain("ip_recvfragsize", 25),
    plain("ip_recverr_rfc4884", 26),
    plain("ip_multicast_if", 32),
    plain("ip_multicast_ttl", 33),
    plain("ip_multicast_loop", 34),
    plain("ip_multicast_all", 49),
    plain("ip_unicast_if", 50),
    plain("ip_local_port_range", 51),
    plain("ip_protocol", 52),
];

/// include/uapi/linux/in6.h
const IPV6: &[Opt] = &[
    plain("ipv6_2292pktinfo", 2),
    plain("ipv6_2292hopopts", 3),
    plain("ipv6_2292dstopts", 4),
    plain("ipv6_2292rthdr", 5),
    plain("ipv6_checksum", 7),
    plain("ipv6_2292hoplimit", 8),
    plain("ipv6_flowinfo", 11),
    plain("ipv6_unicast_hops", 16),
    plain("ipv6_multicast_if", 17),
    plain("ipv6_multicast_hops", 18),
    plain("ipv6_multicast_loop", 19),
    plain("ipv6_router_alert", 22),
    plain("ipv6_mtu_discover", 23),
    plain("ipv6_recverr", 25),
    plain("ipv6_v6only", 26),
    plain("ipv6_multicast_all", 29),
    plain("ipv6_router_alert_isolate", 30),
    plain("ipv6_recverr_rfc4884", 31),
    plain("ipv6_flowinfo_send", 33),
    plain("ipv6_hdrincl", 36),
    plain("ipv6_recvpktinfo", 49),
    plain("ipv6_recvhoplimit", 51),
    plain("ipv6_recvhopopts", 53),
    plain("ipv6_hopopts", 54),
    plain("ipv6_rthdrdstopts", 55),
    plain("ipv6_recvrthdr", 56),
    plain("ipv6_rthdr", 57),
    plain("ipv6_recvdstopts", 58),
    plain("ipv6_dstopts", 59),
    plain("ipv6_recvpathmtu", 60),
    plain("ipv6_dontfrag", 62),
    plain("ipv6_recvtclass", 66),
    plain("ipv6_tclass", 67),
    plain("ipv6_autoflowlabel", 70),
    plain("ipv6_addr_preferences", 72),
    plain("ipv6_minhopcount", 73),
    plain("ipv6_recvorigdstaddr", 74),
    plain("ipv6_transparent", 75),
    plain("ipv6_unicast_if", 76),
    plain("ipv6_recvfragsize", 77),
    plain("ipv6_freebind", 78),
];

/// include/uapi/linux/tcp.h
const TCP: &[Opt] = &[
    plain("tcp_nodelay", 1),
    plain("tcp_maxseg", 2),
    plain("tcp_cork", 3),
    plain("tcp_keepidle", 4),
    plain("tcp_keepintvl", 5),
    plain("tcp_keepcnt", 6),
    plain("tcp_syncnt", 7),
    plain("tcp_linger2", 8),
    plain("tcp_defer_accept", 9),
    plain("tcp_window_clamp", 10),
    shaped("tcp_info", 11, Shape::TcpInfo),
    plain("tcp_quickack", 12),
    shaped("tcp_congestion", 13, Shape::Text),
    plain("tcp_thin_linear_timeouts", 16),
    plain("tcp_thin_dupack", 17),
    plain("tcp_user_timeout", 18),
    plain("tcp_repair", 19),
    plain("tcp_fastopen", 23),
    plain("tcp_notsent_lowat", 25),
    plain("tcp_save_syn", 27),
    plain("tcp_fastopen_connect", 30),
    shaped("tcp_ulp", 31, Shape::Text),
    plain("tcp_fastopen_key", 33),
    plain("tcp_fastopen_no_cookie", 34),
    plain("tcp_inq", 36),
    plain("tcp_tx_delay", 37),
    plain("tcp_is_mptcp", 43),
    plain("tcp_rto_max_ms", 44),
    plain("tcp_rto_min_us", 45),
    plain("tcp_delack_max_us", 46),
];

/// include/uapi/linux/udp.h
const UDP: &[Opt] = &[
    plain("udp_cork", 1),
    plain("udplite_send_cscov", 10),
    plain("udplite_recv_cscov", 11),
    plain("udp_encap", 100),
    plain("udp_no_check6_tx", 101),
    plain("udp_no_check6_rx", 102),
    plain("udp_segment", 103),
    plain("udp_gro", 104),
];

/// include/uapi/linux/netlink.h
const NETLINK: &[Opt] = &[
    plain("netlink_pktinfo", 3),
    plain("netlink_broadcast_error", 4),
    plain("netlink_no_enobufs", 5),
    plain("netlink_listen_all_nsid", 8),
    plain("netlink_list_memberships", 9),
    plain("netlink_cap_ack", 10),
    plain("netlink_ext_ack", 11),
    plain("netlink_get_strict_chk", 12),
];

/// include/uapi/linux/if_packet.h, without PACKET_STATISTICS (reading clears it)
const PACKET: &[Opt] = &[
    plain("packet_copy_thresh", 7),
    plain("packet_auxdata", 8),
    plain("packet_origdev", 9),
    plain("packet_version", 10),
    plain("packet_reserve", 12),
    plain("packet_loss", 14),
    plain("packet_vnet_hdr", 15),
    plain("packet_timestamp", 17),
    plain("packet_fanout", 18),
    plain("packet_tx_has_off", 19),
    plain("packet_qdisc_bypass", 20),
    plain("packet_ignore_outgoing", 23),
    plain("packet_vnet_hdr_sz", 24),
];

/// include/uapi/linux/icmp.h, and of raw IPv6 sockets
const RAW: &[Opt] = &[plain("icmp_filter", 1), plain("raw_checksum", 7), plain("raw_hdrincl", 36)];

/// include/uapi/linux/icmpv6.h
const ICMPV6: &[Opt] = &[plain("icmpv6_filter", 1)];

/// include/uapi/linux/vm_sockets.h
const VSOCK: &[Opt] = &[
    plain("vm_sockets_buffer_size", 0),
    plain("vm_sockets_buffer_min_size", 1),
    plain("vm_sockets_buffer_max_size", 2),
    shaped("vm_sockets_connect_timeout", 6, Shape::Seconds),
];
