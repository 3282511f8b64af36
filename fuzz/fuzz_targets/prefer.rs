#![no_main]

#[path = "../support/gateway.rs"]
#[expect(dead_code, reason = "this check needs a part of it")]
mod gateway;
#[path = "../checks/prefer.rs"]
mod prefer;

libfuzzer_sys::fuzz_target!(|data: &[u8]| prefer::check(data));
