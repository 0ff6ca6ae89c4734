//! Bytes as text, as `crit` writes them: base64, or quoted-printable for socket names.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{FieldDescriptor, Value};

/// How a field of bytes is written in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Base64,
    QuotedPrintable,
}

impl Text {
    /// By the field's option `(criu).conv` of CRIU's schema.
    pub(super) fn of(field: &FieldDescriptor) -> Text {
        let unix_name = field
            .parent_pool()
            .get_extension_by_name("criu")
            .map(|extension| field.options().get_extension(&extension).into_owned())
            .and_then(|options| match options {
                Value::Message(options) => {
                    options.get_field_by_name("conv").map(|conv| conv.as_str() == Some("unix_name"))
                }
                _ => None,
            });
        if unix_name == Some(true) { Text::QuotedPrintable } else { Text::Base64 }
    }

    pub(super) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Text::Base64 => STANDARD.encode(bytes),
            Text::QuotedPrintable => quote(bytes),
        }
    }

    /// The bytes, or what is wrong with the text. White space in base64 is skipped: `crit` breaks
    /// its lines.
    pub(super) fn decode(self, text: &str) -> Result<Vec<u8>, String> {
        match self {
            Text::Base64 => {
                let packed: String =
                    text.chars().filter(|char| !char.is_ascii_whitespace()).collect();
                STANDARD.decode(packed).map_err(|error| format!("not base64: {error}"))
            }
            Text::QuotedPrintable => unquote(text.as_bytes()),
        }
    }
}

/// A space at the end is escaped too: readers of quoted-printable may drop it there.
fn quote(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for (index, &byte) in bytes.iter().enumerate() {
        let inner_space = byte == b' ' && index + 1 < bytes.len();
        if inner_space || byte.is_ascii_graphic() && byte != b'=' {
            text.push(byte.into());
        } else {
            text.push_str(&format!("={byte:02X}"));
        }
    }
    text
}

/// `=XX` is a byte, `=` at the end of a line continues it, all else stands for itself.
fn unquote(mut text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    while let Some((&first, rest)) = text.split_first() {
        text = rest;
        match (first, rest) {
            (b'=', [b'\n', rest @ ..]) => text = rest,
            (b'=', [high, low, rest @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let byte = digit(*high).zip(digit(*low)).map(|(high, low)| high * 16 + low);
                let byte = byte.and_then(|byte| u8::try_from(byte).ok());
                bytes.push(byte.ok_or("not quoted-printable: `=` without two digits")?);
                text = rest;
            }
            (b'=', _) => return Err("not quoted-printable: `=` at the end".to_owned()),
            _ => bytes.push(first),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(b"\0foo/bar", "=00foo/bar")]
    #[case(b"a = b ", "a =3D b=20")]
    #[case(b"\xc3\xa4", "=C3=A4")]
    fn a_socket_name_stays_readable(#[case] bytes: &[u8], #[case] text: &str) {
        assert_eq!(Text::QuotedPrintable.encode(bytes), text);
    }

    #[rstest]
    #[case(Text::Base64, "aGVs\nbG8=\n", b"hello")]
    #[case(Text::QuotedPrintable, "=00a b=\nc=c3", b"\0a bc\xc3")]
    fn what_crit_writes_is_read(#[case] kind: Text, #[case] text: &str, #[case] bytes: &[u8]) {
        assert_eq!(kind.decode(text).as_deref(), Ok(bytes));
    }

    #[rstest]
    #[case(Text::Base64, "a")]
    #[case(Text::QuotedPrintable, "=")]
    #[case(Text::QuotedPrintable, "=g0")]
    #[case(Text::QuotedPrintable, "=+1")]
    #[case(Text::QuotedPrintable, "=0")]
    fn what_is_no_such_text_is_refused(#[case] kind: Text, #[case] text: &str) {
        assert!(kind.decode(text).is_err());
    }

    proptest! {
        #[test]
        fn every_byte_comes_back(bytes: Vec<u8>) {
            for kind in [Text::Base64, Text::QuotedPrintable] {
                prop_assert_eq!(kind.decode(&kind.encode(&bytes)), Ok(bytes.clone()));
            }
        }
    }
}
