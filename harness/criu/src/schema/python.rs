//! The one thing of interest in a `*_pb2.py`: its serialized descriptor.

/// What stands before the literal: since protobuf 3.20, and before.
const MARKS: [&str; 3] = ["AddSerializedFile(", "serialized_pb=_b(", "serialized_pb="];

/// Finds the serialized descriptor in the text of a module.
pub(super) fn descriptor_bytes(text: &str) -> Result<Vec<u8>, String> {
    let literal = MARKS
        .iter()
        .filter_map(|mark| text.split_once(mark))
        .map(|(_, rest)| rest.trim_start())
        .find(|rest| rest.trim_start_matches('b').starts_with(['\'', '"']));
    unescape(literal.ok_or("no serialized descriptor in it")?)
}

/// The bytes of the Python literal at the start of `text`, such as `b'\n\x08\x66s'`.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut chars = text.trim_start_matches('b').chars();
    let quote = chars.next();
    let mut bytes = Vec::new();
    while let Some(char) = chars.next() {
        match char {
            '\\' => bytes.extend(escaped(&mut chars)?),
            _ if Some(char) == quote => return Ok(bytes),
            _ => bytes.push(byte(u32::from(char))?),
        }
    }
    Err("its literal has no end".to_owned())
}

/// What a backslash and the characters after it stand for.
fn escaped(chars: &mut std::str::Chars<'_>) -> Result<Option<u8>, String> {
    let char = chars.next().ok_or("its literal ends in a backslash")?;
    let byte = match char {
        '\n' => return Ok(None),
        'n' => b'\n',
        't' => b'\t',
        'r' => b'\r',
        'a' => 7,
        'b' => 8,
        'v' => 11,
        'f' => 12,
        '\\' | '\'' | '"' => byte(u32::from(char))?,
        'x' => digits(chars, 16, 2, 2, 0)?,
        '0'..='7' => digits(chars, 8, 0, 2, u32::from(char) - u32::from('0'))?,
        _ => return Err(format!("unknown escape `\\{char}`")),
    };
    Ok(Some(byte))
}

/// Reads from `least` to `most` more digits.
fn digits(
    chars: &mut std::str::Chars<'_>,
    radix: u32,
    least: usize,
    most: usize,
    first: u32,
) -> Result<u8, String> {
    let mut value = first;
    for taken in 0..most {
        match chars.clone().next().and_then(|char| char.to_digit(radix)) {
            Some(digit) => value = value * radix + digit,
            None if taken >= least => break,
            None => return Err("too few digits in an escape".to_owned()),
        }
        chars.next();
    }
    byte(value)
}

fn byte(value: u32) -> Result<u8, String> {
    u8::try_from(value).map_err(|_| format!("{value:#x} is no byte"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(r"b'\n\x08\x66s.proto\x12', more", b"\n\x08fs.proto\x12")]
    #[case(r#"b"it's \"it\"""#, b"it's \"it\"")]
    #[case(r"b'\'\\\t\r\0\012\377z'", b"'\\\t\r\0\n\xffz")]
    #[case("'a\\\nb'", b"ab")]
    #[case("b'\u{e4}'", b"\xe4")]
    fn a_literal_becomes_its_bytes(#[case] text: &str, #[case] bytes: &[u8]) {
        assert_eq!(unescape(text).as_deref(), Ok(bytes));
    }

    #[rstest]
    #[case("b'abc", "its literal has no end")]
    #[case("b'abc\\", "its literal ends in a backslash")]
    #[case(r"b'\x1'", "too few digits in an escape")]
    #[case(r"b'\q'", r"unknown escape `\q`")]
    #[case(r"b'\777'", "0x1ff is no byte")]
    fn a_broken_literal_is_refused(#[case] text: &str, #[case] why: &str) {
        assert_eq!(unescape(text), Err(why.to_owned()));
    }

    #[rstest]
    #[case(r"DESCRIPTOR = _pool.Default().AddSerializedFile(b'\n\x04\x61.pb')")]
    #[case(r"  serialized_pb=b'\n\x04\x61.pb'")]
    #[case(r"  serialized_pb=_b('\n\x04\x61.pb')")]
    fn every_style_of_module_is_read(#[case] text: &str) {
        assert_eq!(descriptor_bytes(text).as_deref(), Ok(&b"\n\x04a.pb"[..]));
    }

    #[test]
    fn a_module_without_descriptor_is_refused() {
        let nothing = Err("no serialized descriptor in it".to_owned());
        assert_eq!(descriptor_bytes("import os"), nothing);
    }
}
