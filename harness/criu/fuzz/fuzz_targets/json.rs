//! An image as JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| criu::fuzzing::json(data));
