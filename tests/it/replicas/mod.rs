//! Owns the tests of several gateways with one key, which share a Redis.

mod gateways;
mod redis_server;
mod tier;
mod trouble;
