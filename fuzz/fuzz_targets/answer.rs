#![no_main]

#[path = "../checks/answer.rs"]
mod answer;
#[path = "../support/gateway.rs"]
#[expect(dead_code, reason = "this check needs a part of it")]
mod gateway;

libfuzzer_sys::fuzz_target!(|data: &[u8]| answer::check(data));
