//! Volumes reshaped: what must be there before, what is done, and what is there after.

use super::check::generation_on;
use super::stage::{POOL, SIZE, Stage};
use crate::probe::look_at;
use crate::verbs::{
    delete_snapshot, delete_volume, mount, name, restore, silent, snapshot, unmount,
};
use convoy_engine::{CreateVolume, Engine, Error, VolumeInfo};
use convoy_names::VolumeName;
use convoy_thinpool::blockdev;
use convoy_units::Bytes;
use nix::mount::{MsFlags, umount};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much larger a volume becomes each time.
const STEP: u64 = 8 << 20;
const MARK: &str = "marked";
const PROBE: &str = "/mnt/probe";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reshape {
    Clone,
    /// While it is mounted.
    Resize,
    RollBack,
    /// Snapshots of two volumes.
    Together,
    Rename,
}

impl Reshape {
    pub(crate) fn prepare(self, stage: &mut Stage) {
        match self {
            Self::Clone => {
                if stage.engine().volume(&name("cl")).is_ok() {
                    delete_volume(stage.engine(), "cl");
                }
            }
            Self::Resize => {
                mount(stage.engine(), "m");
                let size = volume(stage, "m").size.0.to_string();
                fs::write(stage.world.path("size"), size).unwrap();
            }
            Self::RollBack => {
                rollback_volume(stage);
                for label in safeties(stage) {
                    delete_snapshot(stage.engine(), &label);
                }
                let at = mount(stage.engine(), "rb");
                let mut file = File::create(at.join(MARK)).unwrap();
                file.write_all(b"later").unwrap();
                file.sync_all().unwrap();
                drop(file);
                unmount(stage.engine(), "rb");
            }
            Self::Together => {
                for label in ["g-keep", "g-m"] {
                    if stage.engine().snapshot(&name(label)).is_ok() {
                        delete_snapshot(stage.engine(), label);
                    }
                }
                stage.next_generation();
            }
            Self::Rename => rollback_volume(stage),
        }
    }

    pub(crate) fn act(self, stage: &Stage) -> Result<(), Error> {
        let (engine, op) = (stage.engine(), silent());
        match self {
            Self::Clone => {
                let request = CreateVolume {
                    name: Some(name("cl")),
                    from_snapshot: Some(name("b1")),
                    ..CreateVolume::default()
                };
                engine.create_volume(&request, &op).map(drop)
            }
            Self::Resize => {
                let size = Bytes(size_before(stage) + STEP);
                engine.resize_volume(&name("m"), size, &op).map(drop)
            }
            Self::RollBack => engine.roll_back(&name("rb1"), &op).map(drop),
            Self::Together => {
                let volumes = ["keep", "m"].map(name::<VolumeName>);
                let made = engine.create_snapshots(&volumes, Some(&name("g")), &op);
                made.map(drop)
            }
            Self::Rename => {
                let renamed = engine.rename_volume(&name("rb"), &name("renamed"), &op);
                renamed.map(drop)
            }
        }
    }

    /// Whether all of it is there; else nothing is.
    #[track_caller]
    pub(crate) fn is_done(self, stage: &Stage) -> bool {
        match self {
            Self::Clone => match stage.engine().volume(&name("cl")) {
                Ok(made) => {
                    assert_eq!(generation_on(stage, made.dev_id), 1, "the clone");
                    assert_eq!(ext4(&made.device).1, *made.uuid.as_bytes());
                    true
                }
                Err(_) => false,
            },
            Self::Resize => {
                let now = volume(stage, "m");
                assert_eq!(blockdev::size(&now.device).unwrap(), now.size);
                // What is on record is made up for, in the filesystem too.
                let filesystem = ext4(&now.device).0;
                assert!(
                    now.size.0 - filesystem < STEP,
                    "{filesystem} of {}",
                    now.size
                );
                let before = size_before(stage);
                assert!([before, before + STEP].contains(&now.size.0));
                now.size.0 > before
            }
            Self::RollBack => {
                let now = volume(stage, "rb");
                let done = !is_marked(stage, now.dev_id);
                let kept = safeties(stage);
                assert_eq!(kept.len(), usize::from(done), "{kept:?}");
                for label in kept {
                    let safety = stage.engine().snapshot(&name(&label)).unwrap();
                    assert!(is_marked(stage, safety.dev_id), "what it was before");
                }
                assert_eq!(generation_on(stage, now.dev_id), 1);
                done
            }
            Self::Together => {
                let found = ["g-keep", "g-m"].map(|label| stage.engine().snapshot(&name(label)));
                let [keep, m] = found;
                assert_eq!(keep.is_ok(), m.is_ok(), "one without the other");
                if let (Ok(keep), Ok(m)) = (&keep, &m) {
                    assert_eq!(generation_on(stage, keep.dev_id), stage.generation());
                    assert_ne!(keep.dev_id, m.dev_id);
                }
                keep.is_ok()
            }
            Self::Rename => {
                let there = |label: &str| stage.engine().volume(&name(label)).is_ok();
                assert_ne!(there("rb"), there("renamed"), "one of its names");
                there("renamed")
            }
        }
    }
}

fn volume(stage: &Stage, label: &str) -> VolumeInfo {
    stage.engine().volume(&name(label)).unwrap()
}

fn size_before(stage: &Stage) -> u64 {
    let text = fs::read_to_string(stage.world.path("size")).unwrap();
    text.parse().unwrap()
}

/// A volume with a snapshot of what it was made as, under its first name.
fn rollback_volume(stage: &Stage) {
    let engine = stage.engine();
    let there = |label: &str| engine.volume(&name(label)).is_ok();
    if there("renamed") {
        let (from, to) = (name("renamed"), name("rb"));
        engine.rename_volume(&from, &to, &silent()).unwrap();
    }
    if !there("rb") {
        restore(engine, "rb", &stage.url());
        snapshot(engine, "rb", "rb1");
    }
}

fn safeties(stage: &Stage) -> Vec<String> {
    let engine: &Engine = stage.engine();
    let all = engine.snapshots(None).unwrap().into_iter();
    all.map(|snapshot| snapshot.name.to_string())
        .filter(|label| label.starts_with("before-rollback-"))
        .collect()
}

fn is_marked(stage: &Stage, dev_id: convoy_units::DevId) -> bool {
    look_at(&stage.control, POOL, dev_id, SIZE, |node| {
        fs::create_dir_all(PROBE).unwrap();
        let (flags, options) = (MsFlags::MS_RDONLY, Some("noload"));
        nix::mount::mount(Some(node), PROBE, Some("ext4"), flags, options).unwrap();
        let marked = Path::new(PROBE).join(MARK).exists();
        umount(PROBE).unwrap();
        marked
    })
}

/// The size of an ext4 by its superblock, and its UUID.
fn ext4(device: &Path) -> (u64, [u8; 16]) {
    let mut head = [0; 4096];
    let device = File::open(device).unwrap();
    device.read_exact_at(&mut head, 0).unwrap();
    let le = |at: usize| u32::from_le_bytes(head[1024 + at..][..4].try_into().unwrap());
    let uuid = head[1024 + 0x68..][..16].try_into().unwrap();
    (u64::from(le(4)) * (1024 << le(0x18)), uuid)
}
