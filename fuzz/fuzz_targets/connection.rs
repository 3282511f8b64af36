#![no_main]

#[path = "../checks/connection.rs"]
mod connection;
#[path = "../support/gateway.rs"]
#[expect(dead_code, reason = "this check needs a part of it")]
mod gateway;

libfuzzer_sys::fuzz_target!(|data: &[u8]| connection::check(data));
