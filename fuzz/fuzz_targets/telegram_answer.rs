//! [`fuzz::targets::telegram_answer`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::telegram_answer::run(data));
