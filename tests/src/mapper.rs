//! What device-mapper has: asked, told, and taken down after a test that left something.
//!
//! No program is started where the kernel can be asked: in a lab guest a start is dear, and every test
//! begins with a sweep. That the [`Control`] used here tells what the kernel told is the conformance suite's
//! to show (`tests/lab/pool.rs`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use convoy_thinpool::{Control, DmName, KernelControl, Suspend, loopdev};

use crate::command::tool;
use crate::disk::disks;

/// Where the scratch filesystem is mounted, which all worlds of tests are on.
pub const SCRATCH: &str = "/mnt/lab";

/// Devices and loop devices that were there before the first test of this process: on a machine that is no
/// lab guest they are somebody's, and stay.
static FOUND: OnceLock<BTreeSet<String>> = OnceLock::new();

#[track_caller]
fn control() -> KernelControl {
    KernelControl::open().expect("a kernel with device-mapper, as root")
}

#[track_caller]
fn name(device: &str) -> DmName {
    DmName::new(device).expect("tests use names that device-mapper takes")
}

/// The names of all device-mapper devices but those that were there before the tests.
///
/// # Panics
///
/// When the kernel has no device-mapper.
#[track_caller]
pub fn devices() -> Vec<String> {
    let listed = control().list().expect("device-mapper lists its devices");
    let names = listed.into_iter().map(|device| device.name.to_string());
    names.filter(|name| !found().contains(name)).collect()
}

/// What a device's targets say, a line each, as `dmsetup status` prints it.
///
/// # Panics
///
/// When there is no such device.
#[track_caller]
pub fn status(device: &str) -> String {
    let targets = control().status(&name(device)).expect("the device exists");
    let lines = targets.iter().map(|target| {
        let (start, len) = (target.start.0, target.len.0);
        format!("{start} {len} {} {}", target.target, target.text)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The root of a pool's metadata snapshot, `-` if it has none (the seventh word of its status).
///
/// # Panics
///
/// When it is no pool, or one that has failed.
#[track_caller]
pub fn held_root(pool: &str) -> String {
    let status = status(pool);
    let word = status.split_whitespace().nth(6);
    word.expect("a working pool tells its held root").to_owned()
}

/// A node of the device that holds a pool's metadata.
///
/// # Panics
///
/// When it is no pool.
#[track_caller]
pub fn metadata_device(pool: &str) -> PathBuf {
    let table = control().table(&name(pool)).expect("the device exists");
    let line = table.first().expect("it has a table");
    let number = line.params.split_whitespace().next();
    let number = number.expect("a pool's line begins with its metadata device");
    let link = fs::read_link(Path::new("/sys/dev/block").join(number));
    let link = link.expect("the kernel knows its own device");
    Path::new("/dev").join(link.file_name().expect("the link ends in a name"))
}

/// Sends a message to a pool.
///
/// # Panics
///
/// When the kernel refuses it.
#[track_caller]
pub fn message(pool: &str, text: &str) {
    let sent = control().message(&name(pool), text);
    assert!(sent.is_ok(), "{pool} does not take {text:?}: {sent:?}");
}

/// Holds a device's IO back, with the filesystem on it frozen.
///
/// # Panics
///
/// When the kernel refuses it.
#[track_caller]
pub fn suspend(device: &str) {
    let (lockfs, flush) = (true, true);
    let how = Suspend { lockfs, flush };
    let suspended = control().suspend(&name(device), how);
    assert!(suspended.is_ok(), "{device}: {suspended:?}");
}

/// Whether a device's IO is held back.
///
/// # Panics
///
/// When there is no such device.
#[track_caller]
pub fn is_suspended(device: &str) -> bool {
    let info = control().info(&name(device)).expect("the kernel answers");
    info.expect("the device exists").suspended
}

/// The number of a device, as tables name it.
///
/// # Panics
///
/// When there is no such device.
#[track_caller]
pub fn number(device: &str) -> String {
    let info = control().info(&name(device)).expect("the kernel answers");
    info.expect("the device exists").number.to_string()
}

/// Unmounts everything below the scratch filesystem, and takes down every device-mapper and loop device that
/// was not there before the tests: the state a guest boots into.
///
/// # Panics
///
/// When a device stays, with what holds it.
#[track_caller]
pub fn sweep() {
    found();
    unmount_below(Path::new(SCRATCH));
    let control = control();
    // Thin devices hold their pool: what cannot go in one round goes in the next.
    for _ in 0..5 {
        let left = devices();
        if left.is_empty() {
            break;
        }
        for device in left {
            take_down(&control, &name(&device));
        }
    }
    assert!(
        devices().is_empty(),
        "these stay:\n{}",
        tool("dmsetup", &["info", "-c"])
    );
    for device in loops() {
        loopdev::detach(&device).expect("an attached loop device can be detached");
    }
}

/// Removes a device unless somebody holds it; one whose IO is held back has it let go first.
fn take_down(control: &KernelControl, device: &DmName) {
    let Ok(Some(info)) = control.info(device) else {
        return;
    };
    if info.open_count > 0 {
        return;
    }
    // A device without a table cannot be resumed, and need not be.
    if info.suspended {
        control.resume(device).ok();
    }
    // Whether it is gone is looked at when all have been asked to go.
    control.remove(device).ok();
}

/// What is not ours, looked up at the first call: what was there and is not made of our disks. (A test
/// run before, in another process, may have left something that is.)
fn found() -> &'static BTreeSet<String> {
    FOUND.get_or_init(|| {
        let listed = control().list().expect("device-mapper lists its devices");
        let theirs = listed.into_iter().filter(|device| {
            let number = device.number.to_string();
            !is_made_of_ours(&Path::new("/sys/dev/block").join(number))
        });
        let devices = theirs.map(|device| device.name.to_string());
        let loops = attached().into_iter().filter(|node| !is_test_file(node));
        let loops = loops.map(|node| node.display().to_string());
        devices.chain(loops).collect()
    })
}

/// Whether a device, by its folder in sysfs, is stacked on a scratch disk or on a test's loop device.
fn is_made_of_ours(device: &Path) -> bool {
    let under = fs::read_dir(device.join("slaves")).into_iter().flatten();
    under.filter_map(Result::ok).any(|slave| {
        let node = Path::new("/dev").join(slave.file_name());
        disks().contains(&node) || is_test_file(&node) || is_made_of_ours(&slave.path())
    })
}

/// Whether it is a loop device over a file of a test's world.
fn is_test_file(node: &Path) -> bool {
    let name = node.file_name().unwrap_or_default();
    let file = Path::new("/sys/block").join(name).join("loop/backing_file");
    fs::read_to_string(file).is_ok_and(|file| Path::new(&file).starts_with(SCRATCH))
}

/// The nodes of loop devices that have a file, but for those that were there before the tests.
///
/// # Panics
///
/// When there is no sysfs.
#[track_caller]
pub fn loops() -> Vec<PathBuf> {
    let is_ours = |path: &PathBuf| !found().contains(&path.display().to_string());
    attached().into_iter().filter(is_ours).collect()
}

/// The nodes of all loop devices that have a file: only they have a folder `loop` in sysfs.
fn attached() -> Vec<PathBuf> {
    let all = fs::read_dir("/sys/block").expect("sysfs is mounted");
    let names = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| name.starts_with("loop"))
        .filter(|name| Path::new("/sys/block").join(name).join("loop").exists())
        .map(|name| Path::new("/dev").join(name))
        .collect()
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
        let unmounted = nix::mount::umount(target.as_str());
        assert!(unmounted.is_ok(), "{target}: {unmounted:?}");
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
    fn only_what_is_below_is_unmounted() {
        let mounts = "a /mnt ext4 rw 0 0\nb /mnt/x\\040y ext4 rw 0 0\nc /mnt2 ext4 rw 0 0\n";
        assert_eq!(targets_below(mounts, Path::new("/mnt")), ["/mnt/x y"]);
    }
}
