//! [`fuzz::targets::credentials_answer`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::credentials_answer::run(data));
