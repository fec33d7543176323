//! The devices: slices of the scratch disks, the log on top while a workload runs, a snapshot while it is played.

use crate::power::Devices;
use convoy_tests::command::{tool, word};
use convoy_tests::disk::disks;
use convoy_tests::mapper::{self, SCRATCH};
use convoy_thinpool::{Control, DmName, DmUuid, KernelControl, TableLine, blockdev};
use convoy_units::Sectors;
use nix::mount::umount;
use std::path::{Path, PathBuf};

const MIB: u64 = 2048;
/// The device with all three parts, in sectors.
const WHOLE: u64 = 256 * MIB;
const LOG: u64 = 512 * MIB;
/// What recovery and the look may write at one point.
const COW: u64 = 256 * MIB;

/// Begin and length of each part, in sectors.
const PARTS: [(&str, u64, u64); 3] = [
    (ROOT, 0, 72 * MIB),
    (METADATA, 72 * MIB, 8 * MIB),
    (DATA, 80 * MIB, 176 * MIB),
];

const ROOT: &str = "power-root";
const METADATA: &str = "power-metadata";
const DATA: &str = "power-data";
/// What is logged, or the snapshot of what is played.
const TOP: &str = "power-top";
const BASE: &str = "power-base";
const LOGGED: &str = "power-log";
const AGAIN: &str = "power-again";
const SPACE: &str = "power-space";

/// Slices of the disks that hold nothing, for this workload.
pub(super) fn prepare(number: usize) {
    clear(&[]);
    let (disks, number) = (disks(), number as u64);
    let [base, again, log] = [&disks[0], &disks[1], &disks[2]];
    slice(BASE, base, number * WHOLE, WHOLE);
    slice(AGAIN, again, number * WHOLE, WHOLE);
    slice(LOGGED, log, number * (LOG + COW), LOG);
    slice(SPACE, log, number * (LOG + COW) + LOG, COW);
    for name in [BASE, AGAIN] {
        // The log begins with what is blank.
        tool("blkdiscard", &[word(&path(name))]);
    }
}

/// The three parts of a device whose writes are logged.
pub(super) fn logged() -> Devices {
    let params = format!("{} {}", number(BASE), number(LOGGED));
    make(TOP, line(WHOLE, "log-writes", &params));
    parts()
}

/// Says something in the log, between the writes before it and those after it.
pub(super) fn mark(control: &KernelControl, text: &str) {
    let top = DmName::new(TOP).unwrap();
    // A message's words are parted by blanks.
    let message = format!("mark {}", text.replace(' ', ","));
    control.message(&top, &message).unwrap();
}

/// The three parts of a throw-away copy of what was played so far. `touch` may write to the copy first.
pub(super) fn copied(touch: impl FnOnce(&Path)) -> Devices {
    let params = format!("{} {} N 8", number(AGAIN), number(SPACE));
    make(TOP, line(WHOLE, "snapshot", &params));
    touch(&path(TOP));
    parts()
}

/// Takes down what is above the slices.
pub(super) fn discard() {
    clear(&[BASE, AGAIN, LOGGED, SPACE]);
}

/// The device that is played onto.
pub(super) fn again() -> PathBuf {
    path(AGAIN)
}

/// The log.
pub(super) fn log() -> PathBuf {
    path(LOGGED)
}

fn parts() -> Devices {
    for (name, begin, len) in PARTS {
        slice(name, &path(TOP), begin, len);
    }
    Devices {
        root: path(ROOT),
        metadata: path(METADATA),
        data: path(DATA),
    }
}

fn slice(name: &str, of: &Path, begin: u64, len: u64) {
    let of = blockdev::number_of(of).unwrap();
    make(name, line(len, "linear", &format!("{of} {begin}")));
}

fn line(len: u64, target: &str, params: &str) -> TableLine {
    TableLine {
        start: Sectors(0),
        len: Sectors(len),
        target: target.to_owned(),
        params: params.to_owned(),
    }
}

fn make(name: &str, line: TableLine) {
    let control = KernelControl::open().unwrap();
    let name = DmName::new(name).unwrap();
    let uuid = DmUuid::new(format!("TEST-{name}")).unwrap();
    let made = control.create(&name, &uuid).unwrap();
    control.load(&name, &[line], false).unwrap();
    control.resume(&name).unwrap();
    control.node(&name, made.number).unwrap();
}

fn path(name: &str) -> PathBuf {
    Path::new("/dev/mapper").join(name)
}

fn number(name: &str) -> String {
    blockdev::number_of(&path(name)).unwrap().to_string()
}

/// Unmounts everything, and takes down every device but these.
fn clear(keep: &[&str]) {
    umount("/mnt/probe").ok();
    mapper::unmount_below(Path::new(SCRATCH));
    umount(SCRATCH).ok();
    let control = KernelControl::open().unwrap();
    for _ in 0..5 {
        for device in left(keep) {
            let name = DmName::new(&device).unwrap();
            let Ok(Some(info)) = control.info(&name) else {
                continue;
            };
            if info.suspended && info.live_table {
                control.resume(&name).ok();
            }
            if info.open_count == 0 {
                control.remove(&name).ok();
            }
        }
    }
    assert_eq!(left(keep), Vec::<String>::new(), "these stay");
}

fn left(keep: &[&str]) -> Vec<String> {
    let mut devices = mapper::devices();
    devices.retain(|device| !keep.contains(&device.as_str()));
    devices
}
