//! Giving what a mounted volume's filesystem does not use back to the pool.
//!
//! Files that are deleted stay mapped in the pool until their filesystem discards them; mounting with `discard`
//! does that at every deletion, and slowly. This does it when asked.

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::Trimmed;
use crate::operation::{Event, Operation, Phase};
use convoy_catalog as catalog;
use convoy_fault::Kind;
use convoy_names::VolumeName;
use convoy_thinpool::ThinStatus;
use convoy_units::{ByteRange, Bytes};

/// How much of a volume is trimmed under one claim: a snapshot or an unmount waits for no more.
const PIECE: u64 = 4 << 30;

impl Engine {
    /// Discards what the filesystem of a mounted volume does not use, and says what became of it. Writes go on
    /// meanwhile; other verbs on the volume get their turns. Stopped anywhere, it has discarded less, and nothing
    /// else is different.
    ///
    /// Blocks that a snapshot has too are unmapped and stay in use by that. The pool's figures are of all its
    /// volumes: what others write meanwhile is counted against what is freed.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is not mounted, or broken; `Busy` while it is being made; `Interrupted` when
    /// the caller wants it to stop.
    pub fn trim_volume(&self, name: &VolumeName, op: &Operation<'_>) -> Result<Trimmed, Error> {
        self.refuse_read_only()?;
        let (claim, volume) = self.claim_ready(name)?;
        drop(claim);
        let _span = tracing::info_span!("trim", volume = %name, operation = %op.id).entered();
        let device = self.mounted_device(&volume)?;
        op.phase(Phase::Discarding);
        let (mapped, used) = (self.mapped_bytes(&volume), self.data_used());
        let mut discarded = 0;
        for begin in (0..volume.size.0).step_by(usize::try_from(PIECE).unwrap_or(usize::MAX)) {
            if op.observer.cancelled() {
                let what = format!("trimming volume {name}");
                return Err(Error::new(Kind::Interrupted, what)
                    .hinting("what was given back so far stays so; trim it again for the rest"));
            }
            let end = begin.saturating_add(PIECE).min(volume.size.0);
            discarded += self.trim_piece(&volume, ByteRange { begin, end })?.0;
            op.observer.event(Event::Progress {
                done: Bytes(end),
                total: volume.size,
            });
        }
        // The pool counts a block as free when it has committed that: a flush makes it.
        let doing = || format!("flushing volume {name} after its trim");
        self.machine.flush(&device).doing(doing)?;
        let since = |before: Option<Bytes>, now: Option<Bytes>| {
            Some(Bytes(before?.0.saturating_sub(now?.0)))
        };
        let trimmed = Trimmed {
            volume: volume.name.clone(),
            discarded: Bytes(discarded),
            unmapped: since(mapped, self.mapped_bytes(&volume)),
            freed: since(used, self.data_used()),
        };
        self.meters.trimmed(trimmed.unmapped.unwrap_or(Bytes(0)));
        let bytes = |bytes: Option<Bytes>| bytes.map(|bytes| bytes.0);
        let (unmapped, freed) = (bytes(trimmed.unmapped), bytes(trimmed.freed));
        tracing::info!(discarded, unmapped, freed, "volume trimmed");
        Ok(trimmed)
    }

    /// Under a claim of its own, and wherever the volume is mounted by then.
    fn trim_piece(&self, volume: &catalog::Volume, range: ByteRange) -> Result<Bytes, Error> {
        let _claim = self.volumes.claim(volume.uuid);
        let kernel = self.kernel()?;
        let mounted = kernel
            .mount_of(volume.uuid, None)
            .zip(kernel.device_of(volume.uuid));
        let (target, device) = mounted.ok_or_else(|| not_mounted(volume))?;
        self.steps.run("trim", || {
            self.machine
                .trim(&target, device, range)
                .doing(|| format!("trimming volume {}", volume.name))
        })
    }

    /// The device of a volume that is mounted.
    fn mounted_device(&self, volume: &catalog::Volume) -> Result<std::path::PathBuf, Error> {
        if self.kernel()?.mount_of(volume.uuid, None).is_none() {
            return Err(not_mounted(volume));
        }
        Ok(self.activate(volume)?.node)
    }

    /// What the volume has mapped, where the pool can say.
    fn mapped_bytes(&self, volume: &catalog::Volume) -> Option<Bytes> {
        match self.pool.thin_status(volume.uuid) {
            Ok(ThinStatus::Working { mapped, .. }) => mapped.bytes(),
            _ => None,
        }
    }

    /// What the pool has in use, where it can say.
    fn data_used(&self) -> Option<Bytes> {
        let status = self.pool.status().ok()?;
        let used = status.usage()?.data.used;
        let block = self.pool.spec().block_size.bytes().0;
        used.checked_mul(block).map(Bytes)
    }
}

fn not_mounted(volume: &catalog::Volume) -> Error {
    let name = &volume.name;
    let what =
        format!("volume {name} is not mounted: only its filesystem knows what it does not use");
    Error::new(Kind::Conflict, what).hinting(format!("`convoy mount {name}` first"))
}
