//! Owns what clients are made of, and where this machine has it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The programs of a client, which a machine may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Python,
    Node,
    Chromium,
}

/// The command that runs a client; `None` where this machine cannot, which is said, and is a failure in CI.
pub fn client_command(script: &str, part: Part) -> Option<Command> {
    there(&format!("{script} needs"), find(script, part))
}

/// Where a program is; `None` where it is not, which is said, and is a failure in CI.
pub fn program_path(name: &str) -> Option<PathBuf> {
    there("the tests of deploy/ need", in_path(&[name]).ok_or_else(|| name.to_owned()))
}

fn there<T>(who_needs: &str, found: Result<T, String>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(missing) => {
            let text = format!("NOT RUN: {who_needs} {missing}; try: .ci/install tests\n");
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
    let mut command = match part {
        Part::Python => {
            let python = root.join("target/clients-venv/bin/python");
            // Copied last, so it stands for a finished installation of this list.
            let list = |dir: &Path| std::fs::read(dir.join("requirements.txt")).ok();
            if list(&root.join("target/clients-venv")) != list(&scripts) {
                return Err(format!(
                    "{} with the packages of tests/clients/requirements.txt",
                    python.display()
                ));
            }
            Command::new(python)
        }
        Part::Node | Part::Chromium => {
            let node = in_path(&["node", "nodejs"]).ok_or("Node.js 18 or newer")?;
            if !scripts.join("node_modules/package-lock.json").exists() {
                return Err("the packages of tests/clients/package.json in tests/clients/node_modules".into());
            }
            Command::new(node)
        }
    };
    if part == Part::Chromium {
        let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
        command.env("CHROMIUM", in_path(&names).ok_or("Chromium")?);
    }
    command.arg(scripts.join(script)).current_dir(&scripts).stdin(Stdio::piped());
    Ok(command)
}

fn in_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Where Debian keeps nginx, which ordinary users do not look for; and where .ci/install unpacks it.
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/proxies/usr");
    let more = [PathBuf::from("/usr/sbin"), unpacked.join("sbin"), unpacked.join("bin")];
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).chain(more).collect();
    names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name))).find(|file| file.is_file())
}
