//! Checking a volume's filesystem before it is mounted, where it asks for that itself.
//!
//! What the engine suspects by itself is checked whole (`health/suspects.rs`); this is what a boot would do.

use crate::engine::Engine;
use crate::error::Error;
use crate::health::Severity;
use convoy_catalog as catalog;
use convoy_mount::{Checked, Filesystem};
use std::path::Path;

impl Engine {
    /// Does what the filesystem of a volume asks for (`None`: nothing). For just before a mount: the volume is up,
    /// claimed and not mounted anywhere.
    ///
    /// # Errors
    /// `Integrity` when there is damage that a person has to look at; whatever keeps the check from being made.
    pub(super) fn preen(
        &self,
        volume: &catalog::Volume,
        node: &Path,
        filesystem: Filesystem,
    ) -> Result<Option<Checked>, Error> {
        let name = &volume.name;
        let preened = self.steps.run("preen", || {
            self.machine.preen(node, filesystem).map_err(|error| {
                let what = format!(
                    "volume {name} is not mounted: its filesystem asks for a check, and does not check clean"
                );
                Error::of(what, error).hinting(repair_hint(volume, node, filesystem))
            })
        })?;
        let Some(preened) = preened else {
            return Ok(None);
        };
        let outcome = match preened.checked {
            Checked::Repaired => "was repaired",
            Checked::Clean | Checked::OnMount => "is clean",
        };
        let what = format!(
            "volume {name}: its filesystem {outcome}; it was checked since {}",
            preened.why
        );
        self.note(Severity::Info, what);
        Ok(Some(preened.checked))
    }
}

/// What to do about a filesystem that may not be repaired without a person looking.
pub(crate) fn repair_hint(volume: &catalog::Volume, node: &Path, filesystem: Filesystem) -> String {
    let (name, node) = (&volume.name, node.display());
    let tool = match filesystem {
        Filesystem::Ext4 => "e2fsck -f",
        Filesystem::Xfs => "xfs_repair",
    };
    format!(
        "take a snapshot of it first (`convoy snapshot create {name}`), then repair it with `{tool} {node}` and mount it again; or restore its last backup"
    )
}
