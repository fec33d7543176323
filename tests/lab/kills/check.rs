//! What must hold after every opening, whatever came before.

use super::stage::{POOL, SIZE, Stage, read_generation};
use crate::agreement::{all_agree, nothing_is_up};
use crate::probe::look_at;
use crate::verbs::{is_sound, mount, name, unmount};
use convoy_tests::command::{tool as run, word};
use convoy_units::DevId;
use nix::mount::{MsFlags, umount};
use std::path::{Path, PathBuf};

const PROBE: &str = "/mnt/probe";

/// Nothing waits, nothing leaked, and the catalog, the pool, the devices and the mounts say the same.
#[track_caller]
pub(crate) fn everything_holds(stage: &Stage) {
    let engine = stage.engine();
    all_agree(engine, &stage.control, POOL, &metadata(stage));
    // Nothing is kept from being deleted by who is dead.
    let target = engine.volume(&name("keep")).unwrap().mountpoint;
    let found = read_generation(&target.expect("it is mounted again"));
    assert_eq!(found, stage.generation(), "what was acknowledged");
}

/// The slow judges, once for each verb: damage stays.
#[track_caller]
pub(crate) fn judges(stage: &mut Stage) {
    is_sound(stage.engine(), &stage.url());
    let b1 = stage.engine().snapshot(&name("b1")).unwrap().dev_id;
    assert_eq!(generation_on(stage, b1), 1);
    let b2 = stage.engine().snapshot(&name("b2")).unwrap().dev_id;
    assert_eq!(generation_on(stage, b2), 2);
    unmount(stage.engine(), "keep");
    unmount(stage.engine(), "m");
    for volume in stage.engine().volumes().unwrap() {
        run("e2fsck", &["-fn", word(&volume.device)]);
    }
    mount(stage.engine(), "keep");
    stage.take().stop().unwrap();
    nothing_is_up(&stage.control);
    run("thin_check", &[word(&metadata(stage))]);
    stage.open();
}

fn metadata(stage: &Stage) -> PathBuf {
    convoy_thinpool::loopdev::attach(&stage.world.path("metadata"))
        .unwrap()
        .node
}

/// The generation of the file on a thin device, which is mounted for it, read-only, under a device of our own.
#[track_caller]
pub(crate) fn generation_on(stage: &Stage, dev_id: DevId) -> u64 {
    look_at(&stage.control, POOL, dev_id, SIZE, |node| {
        std::fs::create_dir_all(PROBE).unwrap();
        let (flags, options) = (MsFlags::MS_RDONLY, Some("noload"));
        nix::mount::mount(Some(node), PROBE, Some("ext4"), flags, options).unwrap();
        let generation = read_generation(Path::new(PROBE));
        umount(PROBE).unwrap();
        generation
    })
}
