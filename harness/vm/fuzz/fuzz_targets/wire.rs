//! What comes from a machine's network card.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vm::fuzzing::wire(data));
