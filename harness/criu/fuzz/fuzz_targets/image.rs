//! An image file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| criu::fuzzing::image(data));
