#![no_main]

#[path = "../checks/status.rs"]
mod status;

libfuzzer_sys::fuzz_target!(|data: &[u8]| status::check(data));
