//! Owns the choice of two cores: one serves, one makes the load.

use crate::Failure;

/// Two of the cores that this process may use.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    /// The core of the contenders, of which one works at a time.
    pub server: usize,
    /// The core of clients, wrk and origin.
    pub load: usize,
}

impl Cores {
    /// Chooses two cores, and pins this process to the one for load.
    pub fn take() -> Result<Self, Failure> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
            .ok_or("no Cpus_allowed_list in /proc/self/status")?;
        let [server, load] =
            first_two(list.trim()).ok_or("two cores are needed, one serves and one loads")?;
        // Threads and child processes inherit the core.
        let pid = std::process::id().to_string();
        let pinned = std::process::Command::new("taskset")
            .args(["--all-tasks", "--pid", "--cpu-list", &load.to_string(), &pid])
            .stdout(std::process::Stdio::null())
            .status()?;
        if !pinned.success() {
            return Err("taskset cannot pin this process".into());
        }
        Ok(Self { server, load })
    }
}

/// The first two cores of a list such as `0,2-5`.
fn first_two(list: &str) -> Option<[usize; 2]> {
    let ranges = list.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?)
    });
    let mut cores = ranges.flatten();
    Some([cores.next()?, cores.next()?])
}
