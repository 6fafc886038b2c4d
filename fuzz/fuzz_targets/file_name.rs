//! [`fuzz::targets::file_name`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::file_name::run(data));
