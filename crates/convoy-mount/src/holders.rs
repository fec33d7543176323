//! Who keeps a device from being unmounted or removed, as far as `/proc` tells.
//!
//! Nothing here touches the file systems themselves: a file is told by the mount its descriptor is of
//! (`/proc/PID/fdinfo`), never by `stat`, which would hang with a dead network share. A best effort: a
//! process may come and go while we look, and the kernel itself holds devices without any.

use crate::mountinfo::{MountEntry, parse_mountinfo};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A process, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Its name, as the kernel has it: 15 bytes at most.
    pub comm: String,
    /// What it holds: a file, a folder it is in, the device itself, or a mount in its own namespace.
    pub target: PathBuf,
}

/// How many holders a message names.
const NAMED: usize = 5;

/// The processes that hold this device: through an open file, their current folder or root, a mapping,
/// the open device node, or a mount of it in another mount namespace. One entry for each process.
/// Only what this process may look at is seen: all of it for root.
pub fn holders(device: (u32, u32)) -> Vec<Holder> {
    let mut found = BTreeMap::new();
    let mut namespaces = BTreeSet::from_iter(namespace(Path::new("/proc/self")));
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    for process in processes.flatten() {
        let pid = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| *pid != std::process::id()) else {
            continue;
        };
        let path = process.path();
        let target =
            held_by(&path, device).or_else(|| foreign_mount(&path, device, &mut namespaces));
        if let Some(target) = target {
            let comm = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
            let comm = comm
                .trim_end()
                .chars()
                .filter(|c| !c.is_control())
                .collect();
            found.insert(pid, Holder { pid, comm, target });
        }
    }
    found.into_values().collect()
}

/// For messages: ` by nginx (pid 123: /mnt/x)`; empty if nobody was seen.
pub(crate) fn describe(holders: &[Holder]) -> String {
    let named = holders.iter().take(NAMED).map(|holder| {
        let (comm, pid, target) = (&holder.comm, holder.pid, holder.target.display());
        format!("{comm} (pid {pid}: {target})")
    });
    let named: Vec<String> = named.collect();
    match holders.len() {
        0 => String::new(),
        all if all > NAMED => format!(" by {} and {} more", named.join(", "), all - NAMED),
        _ => format!(" by {}", named.join(", ")),
    }
}

fn held_by(process: &Path, device: (u32, u32)) -> Option<PathBuf> {
    let table = std::fs::read(process.join("mountinfo")).ok()?;
    let mut table = parse_mountinfo(&table).ok()?;
    table.retain(|entry| entry.device == device);
    stands_in(process, &table)
        .or_else(|| has_open(process, &table, device))
        .or_else(|| has_mapped(process, device))
}

/// Whether its current folder or its root is on one of these mounts.
fn stands_in(process: &Path, mounts: &[MountEntry]) -> Option<PathBuf> {
    let links = ["cwd", "root"].map(|link| std::fs::read_link(process.join(link)));
    let mut links = links.into_iter().flatten();
    links.find(|path| mounts.iter().any(|entry| path.starts_with(&entry.target)))
}

/// Whether a descriptor is of one of these mounts, or of the device itself.
fn has_open(process: &Path, mounts: &[MountEntry], device: (u32, u32)) -> Option<PathBuf> {
    let node = PathBuf::from(format!("/dev/dm-{}", device.1));
    for descriptor in std::fs::read_dir(process.join("fd")).ok()?.flatten() {
        let Ok(path) = std::fs::read_link(descriptor.path()) else {
            continue;
        };
        let info = process.join("fdinfo").join(descriptor.file_name());
        let info = std::fs::read_to_string(info).unwrap_or_default();
        let mount_id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
        let mount_id = mount_id.and_then(|id| id.trim().parse::<u64>().ok());
        let on_mount = mounts.iter().any(|entry| Some(entry.mount_id) == mount_id);
        if on_mount || path == node {
            return Some(path);
        }
    }
    None
}

/// Whether a file of the device is mapped: `maps` has device numbers in hexadecimal.
fn has_mapped(process: &Path, (major, minor): (u32, u32)) -> Option<PathBuf> {
    let maps = std::fs::read(process.join("maps")).ok()?;
    let maps = String::from_utf8_lossy(&maps);
    let wanted = format!("{major:02x}:{minor:02x}");
    maps.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(3);
        let is_ours = words.next() == Some(wanted.as_str());
        is_ours.then(|| PathBuf::from(words.nth(1).unwrap_or("a mapped file")))
    })
}

/// Whether its mount namespace, unless looked at before, has the device mounted.
fn foreign_mount(
    process: &Path,
    device: (u32, u32),
    seen: &mut BTreeSet<PathBuf>,
) -> Option<PathBuf> {
    if !seen.insert(namespace(process)?) {
        return None;
    }
    let table = std::fs::read(process.join("mountinfo")).ok()?;
    let table = parse_mountinfo(&table).ok()?;
    let entry = table.into_iter().find(|entry| entry.device == device)?;
    Some(entry.target)
}

fn namespace(process: &Path) -> Option<PathBuf> {
    std::fs::read_link(process.join("ns/mnt")).ok()
}

#[cfg(test)]
mod tests {
    //! A process of ours that holds something, and messages.

    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_stands_in_a_folder_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep")
            .arg("60")
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let table = crate::mounts().unwrap();
        let mut covering = table
            .into_iter()
            .filter(|entry| dir.path().starts_with(&entry.target));
        let device = covering.next_back().unwrap().device;
        let found = holders(device);
        child.kill().unwrap();
        child.wait().unwrap();
        let holder = found.iter().find(|holder| holder.pid == child.id());
        assert!(holder.is_some(), "{found:?}");
    }

    #[test]
    fn messages_name_some_of_them() {
        let holder = |pid| Holder {
            pid,
            comm: "nginx".into(),
            target: "/mnt/v".into(),
        };
        assert_eq!(describe(&[]), "");
        assert_eq!(describe(&[holder(1)]), " by nginx (pid 1: /mnt/v)");
        let many: Vec<_> = (1..9).map(holder).collect();
        assert!(describe(&many).ends_with("and 3 more"));
    }
}
