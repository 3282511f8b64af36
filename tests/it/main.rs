//! Everything from outside, in one binary: it links once and shares its fixtures.

mod core;
