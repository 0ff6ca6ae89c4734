//! How the bytes of an attribute are meant.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::read;

/// What a table knows about an attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// Its number.
    pub(crate) number: u16,
    /// The last part of its fact's name, in iproute2's words where that has any.
    pub(crate) name: &'static str,
    /// How its bytes are meant.
    pub(crate) shape: Shape,
}

/// An entry of a table.
pub(crate) const fn field(number: u16, name: &'static str, shape: Shape) -> Field {
    Field { number, name, shape }
}

/// How bytes are meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// A number of as many bytes as there are, as this machine writes it.
    Number,
    /// The same, with a sign.
    Signed,
    /// A number as the network writes it.
    Network,
    /// A number, in hexadecimal: bits.
    Bits,
    /// A number that has a name.
    Named(&'static [(u32, &'static str)]),
    /// The number of a link, told by the link's name.
    Link,
    /// A text that ends with a zero.
    Text,
    /// An IPv4 or IPv6 address, or a hardware address.
    Address,
    /// Nothing but that it is there.
    Flag,
    /// Attributes, told by a table.
    Nested(&'static [Field]),
    /// Attributes if they look so, else bytes.
    Opaque,
}

/// A number's name, or the number.
pub(crate) fn named(names: &[(u32, &str)], number: u32) -> String {
    let found = names.iter().find(|(have, _)| *have == number);
    found.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An address by its length: IPv4, IPv6, or hardware.
pub(crate) fn address(bytes: &[u8]) -> String {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Ipv4Addr::from(bytes).to_string();
    }
    if let Ok(bytes) = <[u8; 16]>::try_from(bytes) {
        return Ipv6Addr::from(bytes).to_string();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// A number of one to eight bytes; of more or fewer, the bytes.
pub(super) fn number(bytes: &[u8], network: bool) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 8 {
        return None;
    }
    let mut word = [0u8; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    if network {
        word[..bytes.len()].reverse();
    }
    Some(u64::from_le_bytes(word))
}

/// A number with a sign, of as many bytes as there are.
pub(super) fn signed(bytes: &[u8]) -> Option<i64> {
    let unused = 64 - 8 * u32::try_from(bytes.len()).ok()?;
    number(bytes, false).map(|number| (number << unused).cast_signed() >> unused)
}

/// A text up to its end.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    read::one_line(&bytes[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_length_that_they_have() {
        assert_eq!(number(&[1, 2], false), Some(0x201));
        assert_eq!(number(&[1, 2], true), Some(0x102));
        assert_eq!(signed(&[0xff, 0xff, 0xff, 0xff]), Some(-1));
        assert_eq!((number(&[], false), number(&[0; 9], true)), (None, None));
    }

    #[test]
    fn an_address_is_told_by_its_length() {
        assert_eq!(address(&[10, 0, 0, 1]), "10.0.0.1");
        assert_eq!(address(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), "::1");
        assert_eq!(address(&[2, 0xab, 0, 0, 0, 1]), "02:ab:00:00:00:01");
    }
}
