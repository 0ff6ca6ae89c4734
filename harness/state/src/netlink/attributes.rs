//! Attributes: type, length and value, one after the other (`struct nlattr`).

use super::socket::u16_at;

/// Length of `struct nlattr`.
const HEADER: usize = 4;

const NESTED: u16 = 1 << 15;
const NET_BYTE_ORDER: u16 = 1 << 14;

/// An attribute of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    /// Its number, without the flags.
    pub(crate) number: u16,
    /// Whether the kernel says that its value is attributes again.
    pub(crate) nested: bool,
    /// Its value.
    pub(crate) value: &'a [u8],
}

/// The attributes in some bytes, up to the first that is cut off.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    std::iter::from_fn(move || {
        let (attribute, rest) = split(bytes)?;
        bytes = rest;
        Some(attribute)
    })
}

/// The value of the first attribute with this number.
pub(crate) fn find(bytes: &[u8], number: u16) -> Option<&[u8]> {
    attributes(bytes).find(|attribute| attribute.number == number).map(|found| found.value)
}

/// Whether some bytes are attributes from beginning to end, with numbers that are plausible.
pub(super) fn are_attributes(mut bytes: &[u8]) -> bool {
    const HIGHEST: u16 = 255;
    while !bytes.is_empty() {
        match split(bytes) {
            Some((attribute, rest)) if (1..=HIGHEST).contains(&attribute.number) => bytes = rest,
            _ => return false,
        }
    }
    true
}

fn split(bytes: &[u8]) -> Option<(Attribute<'_>, &[u8])> {
    let (length, kind) = (usize::from(u16_at(bytes, 0)), u16_at(bytes, 2));
    let value = bytes.get(HEADER..length)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    let number = kind & !(NESTED | NET_BYTE_ORDER);
    Some((Attribute { number, nested: kind & NESTED != 0, value }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_that_is_cut_off_ends_the_list() {
        let mut bytes = vec![6, 0, 3, 0, b'l', b'o', 0, 0, 8, 0, 4, 0x80, 1, 0, 0, 0];
        let all: Vec<_> = attributes(&bytes).collect();
        assert_eq!((all[0].number, all[0].value, all[0].nested), (3, &b"lo"[..], false));
        assert_eq!((all[1].number, all[1].nested), (4, true));
        assert!(are_attributes(&bytes));
        bytes.truncate(14);
        assert_eq!(attributes(&bytes).count(), 1);
        assert!(!are_attributes(&bytes) && !are_attributes(&[0; 8]));
    }
}
