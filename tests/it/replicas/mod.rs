//! Owns the tests of several gateways with one key, which share a Redis.

mod anywhere;
mod busy;
mod gateways;
mod redis_server;
mod rolling;
mod three;
mod tier;
mod trouble;
mod wire;
