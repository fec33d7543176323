//! The verbs: what must be there before, what is done, and what is there after.

use super::check::generation_on;
use super::engines::Asked;
use super::reshape::Reshape;
use super::stage::{POOL, SIZE, Stage};
use crate::verbs::{
    back_up, delete_snapshot, delete_volume, is_sound, mount, name, restore, restore_request,
    silent, snapshot, unmount, volume_request,
};
use convoy_engine::{Config, Engine, Error, GrowPool, pool_options};
use std::fs;
use std::path::PathBuf;

/// What became of a verb that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Finished,
    Undone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    /// The first opening of a root.
    MakePool,
    /// An opening after a reboot.
    Open,
    /// Taking everything down.
    Stop,
    Create,
    Restore,
    Delete,
    Mount,
    Unmount,
    Snapshot,
    DeleteSnapshot,
    /// To a destination that was never used.
    FirstBackup,
    /// On top of another.
    Backup,
    DeleteBackup,
    /// To what its devices have more than before.
    GrowPool,
    Reshape(Reshape),
    Asked(Asked),
    /// Of a volume that is mounted.
    Trim,
}

impl Verb {
    pub(crate) const ALL: [Self; 24] = [
        Self::MakePool,
        Self::Open,
        Self::Stop,
        Self::Create,
        Self::Restore,
        Self::Delete,
        Self::Mount,
        Self::Unmount,
        Self::Snapshot,
        Self::DeleteSnapshot,
        Self::FirstBackup,
        Self::Backup,
        Self::DeleteBackup,
        Self::GrowPool,
        Self::Reshape(Reshape::Clone),
        Self::Reshape(Reshape::Resize),
        Self::Reshape(Reshape::RollBack),
        Self::Reshape(Reshape::Together),
        Self::Reshape(Reshape::Rename),
        Self::Asked(Asked::Hold),
        Self::Asked(Asked::Throw),
        Self::Asked(Asked::Undelete),
        Self::Asked(Asked::EmptyTrash),
        Self::Trim,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::MakePool => "make-pool",
            Self::Open => "open",
            Self::Stop => "stop",
            Self::Create => "create",
            Self::Restore => "restore",
            Self::Delete => "delete",
            Self::Mount => "mount",
            Self::Unmount => "umount",
            Self::Snapshot => "snapshot",
            Self::DeleteSnapshot => "snapshot-delete",
            Self::FirstBackup => "first-backup",
            Self::Backup => "backup",
            Self::DeleteBackup => "backup-delete",
            Self::GrowPool => "grow-pool",
            Self::Trim => "trim",
            Self::Reshape(Reshape::Clone) => "clone",
            Self::Reshape(Reshape::Resize) => "resize",
            Self::Reshape(Reshape::RollBack) => "rollback",
            Self::Reshape(Reshape::Together) => "group",
            Self::Reshape(Reshape::Rename) => "rename",
            Self::Asked(Asked::Hold) => "hold",
            Self::Asked(Asked::Throw) => "trash",
            Self::Asked(Asked::Undelete) => "undelete",
            Self::Asked(Asked::EmptyTrash) => "trash-empty",
        }
    }

    pub(crate) fn parse(word: &str) -> Self {
        let found = Self::ALL.into_iter().find(|verb| verb.word() == word);
        found.unwrap_or_else(|| panic!("no verb is called {word}"))
    }

    /// Brings about what the verb needs, whatever the last attempt left. The attempt after one that was undone
    /// is its repetition, under the same names.
    pub(crate) fn prepare(self, stage: &mut Stage) {
        match self {
            Self::MakePool => fresh_is_gone(stage),
            Self::Open => {
                stage.next_generation();
                stage.take().stop().unwrap();
            }
            Self::Stop => stage.next_generation(),
            Self::Create => without_volume(stage, "c"),
            Self::Restore => {
                stage.url();
                without_volume(stage, "r");
            }
            Self::Delete => {
                if stage.engine().volume(&name("d")).is_err() {
                    restore(stage.engine(), "d", &stage.url());
                    snapshot(stage.engine(), "d", "ds");
                }
            }
            Self::Mount => unmount(stage.engine(), "m"),
            Self::Unmount | Self::Trim => drop(mount(stage.engine(), "m")),
            Self::Snapshot => {
                if has_snapshot(stage, "s") {
                    delete_snapshot(stage.engine(), "s");
                }
                stage.next_generation();
            }
            Self::DeleteSnapshot => {
                if !has_snapshot(stage, "s") {
                    stage.next_generation();
                    snapshot(stage.engine(), "keep", "s");
                }
            }
            Self::FirstBackup => {
                let folder = stage.world.path("first");
                if folder.exists() {
                    fs::remove_dir_all(&folder).unwrap();
                }
                // One that was used before and is empty now is refused, rightly: each is another.
                let n = stage.generation() + 1;
                stage.next_generation();
                fs::create_dir_all(folder.join(n.to_string())).unwrap();
            }
            // What was backed up before is found again and not sent: each is of something new.
            Self::Backup => {
                if let Some(url) = backup_of(stage, "b") {
                    stage.engine().delete_backup(&url, &silent()).unwrap();
                }
                if has_snapshot(stage, "b") {
                    delete_snapshot(stage.engine(), "b");
                }
                stage.next_generation();
                snapshot(stage.engine(), "keep", "b");
            }
            Self::DeleteBackup => {
                if backup_of(stage, "b2").is_none() {
                    back_up(stage.engine(), "b2", &stage.world.dest());
                }
                stage.doomed = backup_of(stage, "b2");
            }
            Self::Reshape(reshape) => reshape.prepare(stage),
            Self::Asked(asked) => asked.prepare(stage),
            Self::GrowPool => {
                // What the last attempt did not take over is taken over before there is more again.
                stage
                    .engine()
                    .grow_pool(&GrowPool::default(), &silent())
                    .unwrap();
                stage.widen();
            }
        }
    }

    pub(crate) fn act(self, stage: &mut Stage) -> Result<(), Error> {
        let op = silent();
        match self {
            Self::MakePool => Engine::open_with(&fresh(stage), stage.seams()).map(drop),
            Self::Open => stage.try_open(),
            Self::Stop => stage.take().stop(),
            Self::Create => {
                let request = volume_request("c", SIZE);
                stage.engine().create_volume(&request, &op).map(drop)
            }
            Self::Restore => {
                let request = restore_request("r", &stage.url());
                stage.engine().create_volume(&request, &op).map(drop)
            }
            Self::Delete => stage.engine().delete_volume(&name("d"), &op),
            Self::Mount => stage.engine().mount_volume(&name("m"), None, &op).map(drop),
            Self::Unmount => stage.engine().unmount_volume(&name("m"), &op),
            Self::Trim => stage.engine().trim_volume(&name("m"), &op).map(drop),
            Self::Snapshot => {
                let engine = stage.engine();
                let made = engine.create_snapshot(&name("keep"), Some(&name("s")), &op);
                made.map(drop)
            }
            Self::DeleteSnapshot => stage.engine().delete_snapshot(&name("s"), &op),
            Self::FirstBackup => {
                let dest = first_destination(stage);
                stage
                    .engine()
                    .create_backup(&name("b1"), &dest, &op)
                    .map(drop)
            }
            Self::Backup => {
                let dest = stage.world.dest();
                stage
                    .engine()
                    .create_backup(&name("b"), &dest, &op)
                    .map(drop)
            }
            Self::DeleteBackup => {
                let url = stage.doomed.as_ref().expect("it was prepared");
                stage.engine().delete_backup(url, &op)
            }
            Self::Reshape(reshape) => reshape.act(stage),
            Self::Asked(asked) => asked.act(stage),
            Self::GrowPool => stage
                .engine()
                .grow_pool(&GrowPool::default(), &op)
                .map(drop),
        }
    }

    /// What there is now, which must be all of it or nothing.
    #[track_caller]
    pub(crate) fn outcome(self, stage: &mut Stage) -> Outcome {
        let done = match self {
            Self::MakePool => {
                let engine = Engine::open_with(&fresh(stage), stage.seams());
                let engine = engine.unwrap_or_else(|error| {
                    panic!("it does not open: {}", convoy_fault::chain(&error))
                });
                assert_eq!(engine.volumes().unwrap().len(), 0);
                engine.stop().unwrap();
                true
            }
            Self::Open | Self::Stop => true,
            Self::Create => stage.engine().volume(&name("c")).is_ok(),
            Self::Restore => match stage.engine().volume(&name("r")) {
                Ok(restored) => {
                    assert_eq!(
                        generation_on(stage, restored.dev_id),
                        1,
                        "the restored volume"
                    );
                    true
                }
                Err(_) => false,
            },
            Self::Delete => {
                let there = stage.engine().volume(&name("d")).is_ok();
                assert_eq!(
                    has_snapshot(stage, "ds"),
                    there,
                    "the volume and its snapshot"
                );
                !there
            }
            // A trim cut short has given less back, and nothing else is different.
            Self::Mount | Self::Trim => is_mounted(stage),
            Self::Unmount => !is_mounted(stage),
            Self::Snapshot => {
                if let Ok(taken) = stage.engine().snapshot(&name("s")) {
                    let found = generation_on(stage, taken.dev_id);
                    assert_eq!(found, stage.generation(), "the snapshot");
                    true
                } else {
                    false
                }
            }
            Self::DeleteSnapshot => !has_snapshot(stage, "s"),
            Self::FirstBackup => {
                let made = stage
                    .engine()
                    .backups(&first_destination(stage), None)
                    .unwrap();
                if let Some(made) = made.first() {
                    is_sound(stage.engine(), &made.url);
                }
                !made.is_empty()
            }
            Self::Backup => match backup_of(stage, "b") {
                Some(url) => {
                    is_sound(stage.engine(), &url);
                    true
                }
                None => false,
            },
            Self::DeleteBackup => backup_of(stage, "b2").is_none(),
            Self::Reshape(reshape) => reshape.is_done(stage),
            Self::Asked(asked) => asked.is_done(stage),
            Self::GrowPool => {
                let pool = stage.engine().info().unwrap().pool;
                pool.data_total == stage.data_size()
            }
        };
        if done {
            Outcome::Finished
        } else {
            Outcome::Undone
        }
    }
}

fn without_volume(stage: &Stage, label: &str) {
    if stage.engine().volume(&name(label)).is_ok() {
        delete_volume(stage.engine(), label);
    }
}

fn has_snapshot(stage: &Stage, label: &str) -> bool {
    stage.engine().snapshot(&name(label)).is_ok()
}

fn is_mounted(stage: &Stage) -> bool {
    let volume = stage.engine().volume(&name("m")).unwrap();
    volume.mountpoint.is_some()
}

fn backup_of(stage: &Stage, snapshot: &str) -> Option<String> {
    let backups = stage.engine().backups(&stage.world.dest(), None).unwrap();
    let found = backups
        .into_iter()
        .find(|backup| backup.snapshot_name == snapshot);
    found.map(|backup| backup.url)
}

fn first_destination(stage: &Stage) -> String {
    let n = stage.generation().to_string();
    format!("vfs://{}", stage.world.path("first").join(n).display())
}

fn fresh_root(stage: &Stage) -> PathBuf {
    stage.world.path("fresh")
}

/// A pool of its own beside the other.
fn fresh(stage: &Stage) -> Config {
    let mut config = Config::new(fresh_root(stage));
    let pool = format!("fresh-{POOL}");
    let options = [("dm.thinpoolname".to_owned(), pool)];
    config.pool = pool_options(&options).unwrap();
    config
}

fn fresh_is_gone(stage: &Stage) {
    let root = fresh_root(stage);
    if root.exists() {
        fs::remove_dir_all(root).unwrap();
    }
}
