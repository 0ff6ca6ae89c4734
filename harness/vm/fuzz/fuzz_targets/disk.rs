//! What comes on the socket of a data disk.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vm::fuzzing::disk(data));
