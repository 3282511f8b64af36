//! Owns the figures of this process from Linux' `/proc`; `None` on other systems.

/// Resident memory, in bytes.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Open files and sockets.
pub fn open_fds() -> Option<usize> {
    // Reading the directory opens one more.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}
