//! [`fuzz::targets::jwt_expiry`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::jwt_expiry::run(data));
