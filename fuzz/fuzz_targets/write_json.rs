//! Wire bytes to JSON, under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::write_json(data));
