//! The pod's network: links, addresses, routes, rules, tables, by the node's own programs.

use std::process::Command as Process;

use anyhow::Context;
use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::act::{Act, Offers};
use super::outcome::{changed, refused};
use super::places::inside;
use super::pod::Pod;

/// A command line that is carried out in the pod's network namespace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Command {
    init: i32,
    words: Vec<String>,
}

/// What can be done to every link.
const OF_LINKS: &[&str] = &[
    "link set {} mtu 1400",
    "link set {} txqueuelen 77",
    "link set {} alias spoiled",
    "link set {} down",
    "link set {} promisc on",
    "link set {} allmulticast on",
    "link set {} arp off",
    "link set {} multicast off",
    "link set {} group 7",
    "link set {} addrgenmode none",
    "link set {} gso_max_size 30000",
    "link set {} gso_max_segs 100",
    "link set {} protodown on",
    "link set {} address 0a:58:0a:58:00:77",
    "link set {} name spoiled",
    "link property add dev {} altname spoiledalt",
    "address add 10.99.9.9/32 dev {}",
    "address add fd99::9/128 dev {} nodad",
    "address add 10.99.9.9/32 dev {} scope host",
    "address flush dev {}",
    "maddress add 33:33:00:00:00:77 dev {}",
    "route add 10.98.0.0/16 dev {}",
    "route add 10.98.0.0/16 dev {} metric 77",
    "route add 10.98.0.0/16 dev {} mtu 1300",
    "route add 10.98.0.0/16 dev {} table 77",
    "-6 route add fd98::/64 dev {}",
    "neighbour add 10.88.0.77 lladdr 0a:58:0a:58:00:77 dev {} nud permanent",
    "neighbour add proxy 10.88.0.78 dev {}",
    "nexthop add id 77 dev {}",
    "token set ::77 dev {}",
];

/// What can be done to the namespace.
const OF_ALL: &[&str] = &[
    "link add spoiled type dummy",
    "link add spoiled type veth peer name spoiled2",
    "link add spoiled type bridge",
    "link add spoiled type vrf table 77",
    "link add spoiled type vxlan id 77 dstport 4789",
    "tunnel add spoiled mode ipip remote 10.88.0.1 local 10.88.0.2",
    "route add blackhole 10.97.0.0/16",
    "route add unreachable 10.97.0.0/16",
    "-6 route add blackhole fd97::/64",
    "route delete default",
    "route change default via 10.88.0.1 metric 0 advmss 1000",
    "rule add from 10.96.0.0/16 table 77 priority 777",
    "rule add fwmark 7 lookup main priority 778",
    "rule delete priority 32767",
    "-6 rule add from fd96::/64 table 77 priority 777",
    "nexthop add id 78 blackhole",
    "addrlabel add prefix fd95::/64 label 77",
    "xfrm state add src 10.88.0.2 dst 10.88.0.1 proto esp spi 0x77 mode tunnel enc cipher_null ''",
    "xfrm policy add src 10.94.0.0/16 dst 10.93.0.0/16 dir out action block",
    "mptcp endpoint add 10.88.0.2 id 7 signal",
    "mptcp limits set subflows 5",
];

/// Commands of other programs.
const OTHERS: &[&str] = &[
    "nft add table inet spoiled",
    "nft add table inet spoiled; add chain inet spoiled c { type filter hook input priority 0 ; }",
    "nft add table ip spoiled; add set ip spoiled s { type ipv4_addr ; }",
    "nft add table arp spoiled",
    "tc qdisc replace dev eth0 root pfifo limit 77",
    "tc qdisc replace dev lo root pfifo limit 77",
    "tc qdisc add dev eth0 clsact",
];

pub(super) fn offer(pod: &Pod, offers: &mut Offers) -> anyhow::Result<()> {
    let init = pod.init()?;
    let links = inside(init, CloneFlags::CLONE_NEWNET, || {
        // What stands there belongs to this thread's own namespace.
        let text = std::fs::read_to_string("/proc/thread-self/net/dev")?;
        let names = text.lines().skip(2).filter_map(|line| line.split_once(':'));
        Ok(names.map(|(name, _)| name.trim().to_owned()).collect::<Vec<_>>())
    })?;
    for link in &links {
        for template in OF_LINKS {
            one(init, &format!("ip {}", template.replace("{}", link)), offers);
        }
    }
    for line in OF_ALL {
        one(init, &format!("ip {line}"), offers);
    }
    for line in OTHERS {
        one(init, line, offers);
    }
    Ok(())
}

fn one(init: i32, line: &str, offers: &mut Offers) {
    let words = match line.strip_prefix("nft ") {
        Some(ruleset) => vec!["nft".to_owned(), ruleset.to_owned()],
        None => line.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect(),
    };
    let name = line.replace('/', "_").replace(' ', "-");
    let (program, name) = name.split_once('-').unwrap_or(("ip", &name));
    let object = name.trim_start_matches("6-").split('-').next().unwrap_or(name);
    let act = Act::Network(Command { init, words });
    offers.live(format!("network/{program}-{object}/{name}"), format!("`{line}` in the pod"), &act);
}

/// Shows everything that these commands change.
const SHOW: [&str; 16] = [
    "ip -d address",
    "ip route show table all",
    "ip -6 route show table all",
    "ip rule",
    "ip -6 rule",
    "ip neighbour show nud permanent",
    "ip neighbour show proxy",
    "ip nexthop",
    "ip maddress",
    "ip addrlabel",
    "ip xfrm state",
    "ip xfrm policy",
    "ip mptcp endpoint",
    "ip mptcp limits",
    "nft list ruleset",
    "tc qdisc",
];

impl Command {
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        inside(self.init, CloneFlags::CLONE_NEWNET, || {
            let before = seen()?;
            let (program, arguments) = self.words.split_first().context("no program")?;
            let output = Process::new(program).args(arguments).output().context(program.clone())?;
            if !output.status.success() {
                return Err(refused(program, String::from_utf8_lossy(&output.stderr)));
            }
            changed("the network", &before, &seen()?)
        })
    }
}

fn seen() -> anyhow::Result<String> {
    let mut all = String::new();
    for line in SHOW {
        let mut words = line.split(' ');
        let program = words.next().unwrap_or_default();
        let output = Process::new(program).args(words).output().context(program)?;
        all += &String::from_utf8_lossy(&output.stdout);
    }
    Ok(all)
}
