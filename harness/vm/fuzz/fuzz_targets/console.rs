//! What a guest writes to its serial console.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vm::fuzzing::console(data));
