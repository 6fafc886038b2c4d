//! [`fuzz::targets::multipart`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::multipart::run(data));
