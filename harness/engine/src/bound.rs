//! Sockets that are bound to the address of a pod's link. They go where that address goes: under
//! another one CRIU cannot bind them, and a connection would have lost its peer.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use model::pod::{Namespace, PodSpec};

use crate::error::{About, Error};
use crate::host::Host;
use crate::store::Places;

/// Tables of sockets of the internet, each as the kernel calls it.
const TABLES: [&str; 2] = ["tcp", "udp"];

/// The same for IPv6, where the kernel has that. Sockets there may have an address of IPv4.
const TABLES_6: [&str; 2] = ["tcp6", "udp6"];

/// A socket of one of the tables.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) table: &'static str,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) inode: u64,
}

/// Sockets of a pod that are bound to its own address, in words, in the kernel's order.
pub(crate) fn sockets(
    host: &dyn Host,
    places: &Places,
    spec: &PodSpec,
) -> Result<Vec<String>, Error> {
    let Some(link) = &spec.link else { return Ok(Vec::new()) };
    let address = link.address.split('/').next().unwrap_or_default();
    let Ok(address) = address.parse::<IpAddr>() else { return Ok(Vec::new()) };
    let rows = rows(host, &places.pin(Namespace::Net))?;
    let bound = rows.iter().filter(|row| row.address == address);
    Ok(bound.map(|row| format!("{} {}:{}", row.table, row.address, row.port)).collect())
}

/// All sockets of a network namespace, in the kernel's order. Those that wait for their end only
/// (inode 0) are no task's.
pub(crate) fn rows(host: &dyn Host, pin: &Path) -> Result<Vec<Row>, Error> {
    let net = Path::new("/proc/sys/net");
    let has_ipv6 = host.list(net).about("list", net)?.iter().any(|name| name == "ipv6");
    let tables: Vec<&'static str> =
        TABLES.into_iter().chain(TABLES_6.into_iter().filter(|_| has_ipv6)).collect();
    let files: Vec<_> = tables.iter().map(|table| Path::new("/proc/net").join(table)).collect();
    let files: Vec<&Path> = files.iter().map(|file| file.as_path()).collect();
    let texts = host.read_in((Namespace::Net, pin), &files).about("read sockets in", pin)?;
    let texts = texts.iter().map(|text| String::from_utf8_lossy(text));
    Ok(tables.into_iter().zip(texts).flat_map(|(table, text)| read(table, &text)).collect())
}

fn read(table: &'static str, text: &str) -> Vec<Row> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = socket_address(words.get(1)?)?;
        let inode = words.get(9)?.parse().ok().filter(|inode| *inode != 0)?;
        Some(Row { table, address, port, inode })
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// Address and port as the kernel writes them: words in the order of this machine's bytes, the port
/// as a number (net/ipv4/tcp_ipv4.c, `get_tcp4_sock`).
fn socket_address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| {
        let digits = address.get(index * 8..index * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let address = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            let bytes: [u8; 16] = words.try_into().ok()?;
            IpAddr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some((address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1
   1: 0200580A:18EB 0100580A:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1
   2: 0200580A:18EB 0100580A:D433 06 00000000:00000000 03:00001500 00000000     0        0 0 3
   3: 0100007F:18EB 0100007F:D435 01 00000000:00000000 00:00000000 00000000     0        0 4713 1
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0000000000000000FFFF00000200580A:1F90 0000000000000000FFFF00000100580A:D431 01 00000000:00000000 00:00000000 00000000     0        0 4714 1
";

    #[test]
    fn a_connection_by_the_pods_address_is_bound_to_it() {
        let address: IpAddr = "10.88.0.2".parse().expect("an address");
        let bound = |table, text| {
            let rows = read(table, text).into_iter().filter(|row| row.address == address);
            rows.map(|row| (row.port, row.inode)).collect::<Vec<_>>()
        };
        assert_eq!(bound("tcp", TCP), [(6379, 4712)]);
        assert_eq!(bound("tcp6", TCP6), [(8080, 4714)]);
    }
}
