//! What comes on the agent's port.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vm::fuzzing::agent_port(data));
