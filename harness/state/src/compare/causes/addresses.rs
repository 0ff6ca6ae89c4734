//! Addresses in texts: in which of them two texts differ, if in nothing else.

use std::net::{IpAddr, Ipv4Addr};

/// An address that stands in the place of another one.
pub(super) type Swap = (Address, Address);

/// A network address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Address {
    Ip(IpAddr),
    Hardware([u8; 6]),
}

/// The addresses that differ when two texts are the same but for these; else none.
pub(super) fn swaps(before: &str, after: &str) -> Vec<Swap> {
    let (before, after) = (parts(before), parts(after));
    if before.len() != after.len() {
        return Vec::new();
    }
    let mut swaps = Vec::new();
    for pair in before.into_iter().zip(after) {
        match pair {
            (Part::Address(was), Part::Address(is)) if was != is => swaps.push((was, is)),
            (was, is) if was == is => {}
            _ => return Vec::new(),
        }
    }
    swaps
}

#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Address(Address),
    Text(&'a str),
}

/// A text cut where addresses begin and end.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(from) = rest.find(may_be_in_address) {
        let run = &rest[from..];
        let end = run.find(|c| !may_be_in_address(c)).unwrap_or(run.len());
        parts.push(Part::Text(&rest[..from]));
        of_run(&run[..end], &mut parts);
        rest = &run[end..];
    }
    parts.push(Part::Text(rest));
    parts
}

fn may_be_in_address(c: char) -> bool {
    c.is_ascii_hexdigit() || c == '.' || c == ':'
}

/// The first address in a run, if there is one, and what is around it.
fn of_run<'a>(run: &'a str, parts: &mut Vec<Part<'a>>) {
    let dots = run.match_indices('.').map(|(dot, _)| dot + 1);
    for from in std::iter::once(0).chain(dots) {
        let run_on = &run[from..];
        let stops = run_on.match_indices(['.', ':']).map(|(stop, _)| stop);
        let mut ends = std::iter::once(run_on.len()).chain(stops.rev());
        if let Some((end, address)) = ends.find_map(|end| Some((end, address(&run_on[..end])?))) {
            let (head, tail) = (Part::Text(&run[..from]), Part::Text(&run_on[end..]));
            parts.extend([head, Part::Address(address), tail]);
            return;
        }
    }
    parts.push(Part::Text(run));
}

fn address(text: &str) -> Option<Address> {
    let ip = text.parse().ok().map(Address::Ip);
    ip.or_else(|| hardware(text)).or_else(|| of_proc(text))
}

fn hardware(text: &str) -> Option<Address> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|byte| (byte.len() == 2).then(|| u8::from_str_radix(byte, 16).ok())?)
        .collect();
    bytes?.try_into().ok().map(Address::Hardware)
}

/// `0200580A`, as `/proc/net/tcp` writes an address of IPv4: a number in the order of the machine.
fn of_proc(text: &str) -> Option<Address> {
    let written = text.len() == 8 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'A'..=b'F'));
    let number = u32::from_str_radix(text, 16).ok().filter(|_| written)?;
    Some(Address::Ip(Ipv4Addr::from(number.to_ne_bytes()).into()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10.88.0.2:6379", "10.88.0.3:6379", 1)]
    #[case("eth0 10.88.0.2/24.scope", "eth0 10.88.0.3/24.scope", 1)]
    #[case("pod.route.10.88.0.2", "pod.route.10.88.0.3", 1)]
    #[case("0200580A:18EB-00000000:0000", "0300580A:18EB-00000000:0000", 1)]
    #[case("via fe80::1 dev a", "via fe80::2 dev a", 1)]
    #[case("0a:58:0a:58:00:02", "0a:58:0a:58:00:03", 1)]
    #[case("10.88.0.2:6379", "10.88.0.3:6380", 0)]
    #[case("10.88.0.2", "absent", 0)]
    #[case("65152", "65536", 0)]
    #[case("0", "1", 0)]
    fn only_addresses_may_differ(#[case] before: &str, #[case] after: &str, #[case] count: usize) {
        assert_eq!(swaps(before, after).len(), count, "{:?} {:?}", parts(before), parts(after));
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        assert_eq!(swaps("0200580A:18EB", "0300580A:18EB"), swaps("10.88.0.2", "10.88.0.3"));
    }
}
