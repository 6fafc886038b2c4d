//! [`fuzz::targets::request_head`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::request_head::run(data));
