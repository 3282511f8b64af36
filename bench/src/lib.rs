//! Owns what the benchmarks share: the program that is measured, as a process, and where the repository lies.

mod gateway;
mod requests;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub use self::gateway::{Gateway, address_after};
pub use self::requests::Requests;

/// Why a benchmark cannot go on.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The repository.
pub fn root() -> &'static Path {
    const HERE: &str = env!("CARGO_MANIFEST_DIR");
    Path::new(HERE).parent().unwrap_or(Path::new(HERE))
}

/// Variables that cargo sets for a benchmark. The build script of ring watches them: with other values than in a build by
/// hand, ring and all that needs it would be built again each time.
const OF_THIS_CRATE: [&str; 7] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];

/// Builds the program as it is released, once, and says where it is.
///
/// # Errors
/// The build fails.
pub fn program() -> Result<PathBuf, Failure> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(built) = BUILT.get() {
        return Ok(built.clone());
    }
    let build = ["build", "--quiet", "--release", "--locked", "--package", "taskgate"];
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(build).current_dir(root());
    for name in OF_THIS_CRATE {
        cargo.env_remove(name);
    }
    let status = cargo.status()?;
    if !status.success() {
        return Err("taskgate could not be built".into());
    }
    // A benchmark stands in `deps`, beside which cargo puts the programs.
    let benchmark = std::env::current_exe()?;
    let directory = benchmark.parent().and_then(Path::parent).ok_or("a benchmark outside of target")?;
    Ok(BUILT.get_or_init(|| directory.join("taskgate")).clone())
}
