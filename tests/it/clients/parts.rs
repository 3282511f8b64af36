//! Owns what clients are made of, and where this machine has it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The programs of a client, which a machine may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Python,
    Node,
    Chromium,
    Firefox,
    /// Chromium, Vite and what `examples/frameworks` are made of.
    Frameworks,
}

impl Part {
    /// What installs it.
    fn job(self) -> &'static str {
        match self {
            Self::Python | Self::Node => "tests",
            Self::Chromium | Self::Firefox | Self::Frameworks => "browsers",
        }
    }
}

/// The command that runs a client; `None` where this machine cannot, which is said, and is a failure in CI.
pub fn client_command(script: &str, part: Part) -> Option<Command> {
    there(&format!("{script} needs"), part.job(), find(script, part))
}

/// Where a program is; `None` where it is not, which is said, and is a failure in CI.
pub fn redis_path() -> Option<PathBuf> {
    let found = in_path(&["redis-server", "valkey-server"]).ok_or_else(|| "redis-server".to_owned());
    there("the tests of tests/it/replicas need", "tests", found)
}

/// A program that tests of `deploy/` start.
pub fn program_path(name: &str) -> Option<PathBuf> {
    there("the tests of deploy/ need", "tests", in_path(&[name]).ok_or_else(|| name.to_owned()))
}

fn there<T>(who_needs: &str, job: &str, found: Result<T, String>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(missing) => {
            let text = format!("NOT RUN: {who_needs} {missing}; try: .ci/install {job}\n");
            let is_ci = std::env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false");
            assert!(!is_ci, "{text}");
            // Not eprintln: a test that passes would keep it to itself.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
            None
        }
    }
}

fn find(script: &str, part: Part) -> Result<Command, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scripts = root.join("tests/clients");
    let mut command = if part == Part::Python {
        let python = root.join("target/clients-venv/bin/python");
        if !is_installed(&scripts.join("requirements.txt"), &root.join("target/clients-venv")) {
            return Err(format!("{} with the packages of tests/clients/requirements.txt", python.display()));
        }
        Command::new(python)
    } else {
        has_packages(root, "tests/clients")?;
        Command::new(in_path(&["node", "nodejs"]).ok_or("Node.js 20 or newer")?)
    };
    match part {
        Part::Python | Part::Node => {}
        Part::Firefox => {
            command.env("FIREFOX", in_path(&["firefox-esr", "firefox"]).ok_or("Firefox")?);
        }
        Part::Chromium | Part::Frameworks => {
            let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
            command.env("CHROMIUM", in_path(&names).ok_or("Chromium")?);
        }
    }
    if part == Part::Frameworks {
        has_packages(root, "examples/frameworks")?;
    }
    command.arg(scripts.join(script)).current_dir(&scripts).stdin(Stdio::piped());
    Ok(command)
}

/// Whether this list was installed there: its copy is written last.
fn is_installed(list: &Path, there: &Path) -> bool {
    let copy = there.join(list.file_name().unwrap_or_default());
    std::fs::read(list).is_ok_and(|list| std::fs::read(copy).is_ok_and(|copy| copy == list))
}

fn has_packages(root: &Path, directory: &str) -> Result<(), String> {
    let (list, there) =
        (root.join(directory).join("package-lock.json"), root.join(directory).join("node_modules"));
    if is_installed(&list, &there) {
        Ok(())
    } else {
        Err(format!("the packages of {directory}/package-lock.json in {directory}/node_modules"))
    }
}

fn in_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Where Debian keeps nginx, which ordinary users do not look for; and where .ci/install unpacks it.
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/proxies/usr");
    let more = [PathBuf::from("/usr/sbin"), unpacked.join("sbin"), unpacked.join("bin")];
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).chain(more).collect();
    names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name))).find(|file| file.is_file())
}
