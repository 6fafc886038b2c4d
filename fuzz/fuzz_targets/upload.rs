//! [`fuzz::targets::upload`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::upload::run(data));
