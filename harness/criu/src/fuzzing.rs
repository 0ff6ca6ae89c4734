//! Doors for the fuzzer (`fuzz/`): each takes any bytes as an image that a stranger sends, and checks
//! what must hold whatever they are. Nothing here belongs to the public face.
//!
//! The corpus in `fuzz/corpus` is replayed by a test, too, which needs no fuzzer.

use crate::image::{Image, Place, decode};
use crate::testing::schema;

const NAME: &str = "fuzz.img";

/// An image file: refused with a place within the file, or read and written byte for byte, both
/// directly and through JSON.
///
/// # Panics
/// When that does not hold.
pub fn image(data: &[u8]) {
    match decode(&schema(), NAME, data) {
        Ok(image) => {
            assert_eq!(bytes(&image), data);
            assert_eq!(bytes(&again(&image.to_json())), data);
        }
        Err(error) => match error.place {
            Place::Offset(offset) => assert!(offset <= data.len() as u64, "{error}"),
            Place::Json(_) => panic!("no offset: {error}"),
        },
    }
}

/// JSON: refused, or made an image that reads back as the same.
///
/// # Panics
/// When that does not hold.
pub fn json(data: &[u8]) {
    let Ok(image) = Image::from_json(&schema(), NAME, &String::from_utf8_lossy(data)) else {
        return;
    };
    let mut file = Vec::new();
    // Text that claims to be a message may be too long for one.
    if image.write(&mut file).is_ok() {
        let read = decode(&schema(), NAME, file.as_slice()).expect("what was written is sound");
        assert_eq!(bytes(&read), file);
    }
}

fn again(json: &str) -> Image {
    Image::from_json(&schema(), NAME, json).expect("own JSON")
}

fn bytes(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write(&mut bytes).expect("a vector");
    bytes
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    type Door = (&'static str, fn(&[u8]));

    #[test]
    fn the_corpus_of_the_fuzzer_does_no_harm() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let doors: [Door; 2] = [("image", super::image), ("json", super::json)];
        for (name, door) in doors {
            let files = std::fs::read_dir(corpus.join(name)).expect("a corpus");
            let inputs = files.map(|it| std::fs::read(it.expect("an entry").path()));
            inputs.for_each(|input| door(&input.expect("a file")));
        }
    }
}
