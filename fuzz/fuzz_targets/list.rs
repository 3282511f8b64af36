#![no_main]

#[path = "../support/gateway.rs"]
mod gateway;
#[path = "../checks/list.rs"]
mod list;

libfuzzer_sys::fuzz_target!(|data: &[u8]| list::check(data));
