#![no_main]

#[path = "../checks/id.rs"]
mod id;

libfuzzer_sys::fuzz_target!(|data: &[u8]| id::check(data));
