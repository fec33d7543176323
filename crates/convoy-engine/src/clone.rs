//! A snapshot as the begin of a new volume, which is independent of it from then on.

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::operation::{Operation, Phase};
use crate::root::make_directory;
use crate::volume::{parse_filesystem, whole_blocks};
use convoy_catalog as catalog;
use convoy_catalog::{Action, Change, SnapshotState};
use convoy_fault::Kind;
use convoy_names::SnapshotRef;
use convoy_thinpool::ThinDevice;
use convoy_units::Bytes;

/// The snapshot that a new volume shall begin as.
pub(crate) struct Origin {
    pub(crate) volume: catalog::Volume,
    pub(crate) snapshot: catalog::Snapshot,
}

impl Origin {
    /// The size of the new volume: the snapshot's, or more.
    pub(crate) fn size(&self, asked: Option<Bytes>, pool: &catalog::Pool) -> Result<Bytes, Error> {
        let (name, has) = (&self.snapshot.name, self.snapshot.size);
        let Some(asked) = asked.filter(|asked| asked.0 > 0 && *asked != has) else {
            return Ok(has);
        };
        if asked < has {
            let what = format!(
                "a volume of snapshot {name} cannot have {} bytes: the snapshot has {}, and its filesystem takes them all",
                asked.0, has.0
            );
            return Err(Error::new(Kind::Invalid, what)
                .hinting("leave the size out, or ask for a larger one"));
        }
        whole_blocks(asked, pool)
    }
}

impl Engine {
    /// Finds the snapshot that a new volume shall begin as.
    pub(crate) fn find_origin(&self, reference: &SnapshotRef) -> Result<Origin, Error> {
        let (volume, snapshot) = self.find_snapshot(reference)?;
        parse_filesystem(&volume.filesystem)?;
        Ok(Origin { volume, snapshot })
    }

    /// Makes the thin device of a volume out of a snapshot's. The snapshot's volume is claimed meanwhile: what is
    /// being deleted is emptied first, and must not be copied then.
    pub(crate) fn clone_device(
        &self,
        volume: &catalog::Volume,
        origin: &Origin,
        rows: &[Change],
        op: &Operation<'_>,
    ) -> Result<(), Error> {
        let _claim = self.volumes.claim(origin.volume.uuid);
        let snapshot = self.reread(&origin.snapshot)?;
        let name = &snapshot.name;
        if snapshot.state != SnapshotState::Ready {
            let what = format!("snapshot {name} is {}", snapshot.state.as_str());
            return Err(Error::new(Kind::Busy, what));
        }
        self.refuse_full(|| format!("creating volume {}", volume.name))?;
        let (dev_id, from) = (volume.dev_id, snapshot.dev_id);
        // Nothing writes to a snapshot's device: nothing is held for this.
        self.transact(
            op.id,
            "create a volume of a snapshot",
            vec![Action::CreateSnapshot {
                dev_id,
                origin: from,
            }],
            rows,
            || {
                self.pool
                    .create_snapshot(dev_id, from)
                    .doing(|| format!("making volume {} of snapshot {name}", volume.name))
            },
            |(), _| (),
        )
    }

    /// Gives a fresh copy's filesystem the identity of its volume. What the volume has more than the snapshot is
    /// the filesystem's from the first mount on.
    pub(crate) fn own_filesystem(
        &self,
        volume: &catalog::Volume,
        device: &ThinDevice,
        op: &Operation<'_>,
    ) -> Result<(), Error> {
        op.phase(Phase::Formatting);
        let filesystem = parse_filesystem(&volume.filesystem)?;
        // Its own place: what a kill leaves there goes with it.
        let at = self.root.mount_point(volume.uuid);
        self.steps.run("own-filesystem", || {
            make_directory(&at)?;
            self.machine
                .own_filesystem(&device.node, filesystem, volume.uuid, &at)
                .doing(|| {
                    format!(
                        "giving the filesystem of volume {} an identity of its own",
                        volume.name
                    )
                })
        })
    }
}
