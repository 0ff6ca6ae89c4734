//! What comes from QEMU's monitor.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vm::fuzzing::monitor(data));
