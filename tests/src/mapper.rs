//! Device-mapper and loop devices that tests left: named, and taken down.

use std::path::Path;
use std::process::Command;

use crate::command::{run, tool, word};

/// The names of all device-mapper devices.
///
/// # Panics
///
/// When the kernel has no device-mapper, or `dmsetup` is missing.
#[track_caller]
pub fn devices() -> Vec<String> {
    parse_names(&tool("dmsetup", &["ls"]))
}

fn parse_names(listed: &str) -> Vec<String> {
    let names = listed.lines().filter(|line| *line != "No devices found");
    names
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Unmounts everything below `place`, resumes and removes every device-mapper device, and detaches
/// every loop device: the state a guest boots into.
///
/// # Panics
///
/// When a device stays, with what holds it.
#[track_caller]
pub fn sweep(place: &Path) {
    unmount_below(place);
    // Thin devices hold their pool: what cannot go in one round goes in the next.
    for _ in 0..5 {
        for device in devices() {
            run(Command::new("dmsetup").args(["resume", &device]));
            run(Command::new("dmsetup").args(["remove", &device]));
        }
    }
    assert!(
        devices().is_empty(),
        "these stay:\n{}",
        tool("dmsetup", &["info", "-c"])
    );
    tool("losetup", &["--detach-all"]);
}

/// Unmounts everything strictly below a folder, last mounted first.
///
/// # Panics
///
/// When something is in use.
#[track_caller]
pub fn unmount_below(place: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("proc is mounted");
    for target in targets_below(&mounts, place).iter().rev() {
        tool("umount", &[word(Path::new(target))]);
    }
}

/// Mount points strictly below a folder, in the order they were mounted; `\040` is a space (fstab(5)).
fn targets_below(mounts: &str, place: &Path) -> Vec<String> {
    let targets = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let targets = targets.map(|target| target.replace("\\040", " "));
    targets
        .filter(|t| Path::new(t).starts_with(place) && Path::new(t) != place)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_devices_is_no_name() {
        assert!(parse_names("No devices found").is_empty());
        assert_eq!(
            parse_names("pool\t(253:0)\nthin-1\t(253:1)"),
            ["pool", "thin-1"]
        );
    }

    #[test]
    fn only_what_is_below_is_unmounted() {
        let mounts = "a /mnt ext4 rw 0 0\nb /mnt/x\\040y ext4 rw 0 0\nc /mnt2 ext4 rw 0 0\n";
        assert_eq!(targets_below(mounts, Path::new("/mnt")), ["/mnt/x y"]);
    }
}
