//! The memory and the open files of a process, as Linux tells them in /proc (proc(5)).

use std::{fs, io};

/// Resident memory, in bytes.
///
/// # Errors
/// On other systems, and when the process has ended.
pub fn resident(pid: u32) -> io::Result<u64> {
    status(pid, "VmRSS:")
}

/// The most resident memory since the process began, or since [`reset_peak`], in bytes.
///
/// # Errors
/// As [`resident`].
pub fn peak(pid: u32) -> io::Result<u64> {
    status(pid, "VmHWM:")
}

/// Begins to measure [`peak`] anew.
///
/// # Errors
/// As [`resident`].
pub fn reset_peak(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// The paths of the files that the process has open.
///
/// # Errors
/// As [`resident`].
pub fn open_files(pid: u32) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    // A file may be closed between the two looks.
    let files = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Ok(files.map(|file| file.display().to_string()).collect())
}

fn status(pid: u32, field: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no {field} of process {pid}")))?;
    Ok(kib * 1024)
}
