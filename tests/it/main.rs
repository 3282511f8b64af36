//! The integration tests, as one binary: it links once, and its tests share their fixtures.

mod answers;
mod browser;
mod conditional;
mod core;
mod crowd;
mod ids;
mod key;
mod layering;
mod mirror;
mod process;
mod support;
