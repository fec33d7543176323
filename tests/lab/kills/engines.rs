//! What container engines ask for, and the trash: what must be there before, what is done, and what is there after.

use super::stage::{SIZE, Stage};
use crate::verbs::{delete_volume, name, silent, snapshot, volume_request};
use convoy_engine::{Engine, Error};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    /// A mount for a container.
    Hold,
    /// Removing a volume with a snapshot, which an engine has mounted and given back.
    Throw,
    Undelete,
    EmptyTrash,
}

const HOLDER: &str = "container";

impl Asked {
    pub(crate) fn prepare(self, stage: &Stage) {
        let engine = stage.engine();
        match self {
            Self::Hold => {
                if engine.volume(&name("h")).is_err() {
                    make(engine, "h");
                }
                // However often the attempts before were counted.
                engine.unmount_volume(&name("h"), &silent()).unwrap();
            }
            Self::Throw => {
                if !is_there(engine) {
                    take_back_or_make(engine);
                }
                engine.hold_volume(&name("t"), HOLDER, &silent()).unwrap();
                engine
                    .release_volume(&name("t"), HOLDER, &silent())
                    .unwrap();
            }
            Self::Undelete | Self::EmptyTrash => {
                if engine.trash().unwrap().is_empty() {
                    if !is_there(engine) {
                        take_back_or_make(engine);
                    }
                    engine.trash_volume(&name("t"), &silent()).unwrap();
                }
            }
        }
    }

    pub(crate) fn act(self, stage: &Stage) -> Result<(), Error> {
        let (engine, op) = (stage.engine(), silent());
        match self {
            Self::Hold => engine.hold_volume(&name("h"), HOLDER, &op).map(drop),
            Self::Throw => engine.trash_volume(&name("t"), &op).map(drop),
            Self::Undelete => engine.undelete_volume(&name("t"), None, &op).map(drop),
            Self::EmptyTrash => engine.empty_trash(None, &op).map(drop),
        }
    }

    /// Whether it was done; what is neither done nor not is no outcome.
    #[track_caller]
    pub(crate) fn is_done(self, stage: &Stage) -> bool {
        let engine = stage.engine();
        match self {
            Self::Hold => {
                let seen = engine.glance(&name("h")).unwrap();
                let mounted = engine.volume(&name("h")).unwrap().mountpoint;
                assert!(seen.holds <= 1, "counted {} times", seen.holds);
                assert!(seen.holds == 0 || mounted.is_some(), "held, not mounted");
                assert_eq!(seen.mountpoint, mounted, "on record as it is");
                seen.holds == 1
            }
            Self::Throw | Self::Undelete => {
                let in_trash = engine.trash().unwrap();
                assert_eq!(in_trash.is_empty(), is_there(engine), "one or the other");
                assert!(in_trash.iter().all(|trashed| trashed.snapshots == 1));
                let listed = engine.snapshot(&name("ts")).is_ok();
                assert_eq!(listed, is_there(engine), "the snapshot goes along");
                is_there(engine) == (self == Self::Undelete)
            }
            Self::EmptyTrash => {
                assert!(!is_there(engine));
                engine.trash().unwrap().is_empty()
            }
        }
    }
}

fn is_there(engine: &Engine) -> bool {
    engine.volume(&name("t")).is_ok()
}

fn make(engine: &Engine, label: &str) {
    engine
        .create_volume(&volume_request(label, SIZE), &silent())
        .unwrap();
}

fn take_back_or_make(engine: &Engine) {
    if engine.undelete_volume(&name("t"), None, &silent()).is_ok() {
        return;
    }
    if is_there(engine) {
        delete_volume(engine, "t");
    }
    make(engine, "t");
    snapshot(engine, "t", "ts");
}
