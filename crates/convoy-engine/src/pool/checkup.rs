//! Is the metadata of the pool sound: all of it, while the pool is used.

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::operation::{Operation, Phase};
use convoy_thin_metadata::{CheckOptions, check};
use convoy_units::Bytes;

/// What a check of a pool found: it is sound if there are no findings and no metadata check is asked for.
#[derive(Debug, Clone, Default)]
pub struct PoolCheck {
    /// What is wrong, one sentence each, up to a number that is good to read.
    pub findings: Vec<String>,
    /// How many more there are.
    pub more_findings: u64,
    /// Thin devices of the pool: volumes, snapshots, and what is not ours.
    pub devices: u64,
    /// Bytes mapped by all devices together, a shared block once for each.
    pub mapped: Bytes,
    /// The kernel asks for a metadata check before it writes again.
    pub needs_check: bool,
}

impl Engine {
    /// Reads every mapping tree of the pool as of this moment, and checks it. Nothing is written and nobody waits
    /// but other readers of the metadata. What only a pool that is down can be asked (the space maps against the
    /// trees) is `convoy-pdata_tools thin_check`'s.
    ///
    /// # Errors
    /// `PoolUnhealthy` when the kernel does not give a snapshot of the metadata. What is wrong with it is no
    /// error but in the answer.
    pub fn check_pool(&self, op: &Operation<'_>) -> Result<PoolCheck, Error> {
        /// More than anybody reads.
        const TOLD: usize = 100;
        self.refuse_read_only()?;
        op.phase(Phase::Verifying);
        let held = self
            .pool
            .reserve_metadata_snapshot()
            .doing(|| "reserving a snapshot of the pool's metadata")?;
        let options = CheckOptions {
            metadata_snapshot: Some(held.root()),
            max_findings: Some(TOLD),
            ..CheckOptions::default()
        };
        let report = self
            .machine
            .metadata(held.metadata_device())
            .and_then(|source| check(&source, &options))
            .doing(|| "checking the pool's metadata");
        held.release()
            .doing(|| "releasing the snapshot of the pool's metadata")?;
        let report = report?;
        let record = self.pool_record()?;
        let status = self
            .pool
            .status()
            .doing(|| "asking the kernel for the pool's status")?;
        Ok(PoolCheck {
            findings: report.findings.iter().map(ToString::to_string).collect(),
            more_findings: report.uncounted,
            devices: report.devices,
            mapped: Bytes(
                report
                    .mapped_blocks
                    .saturating_mul(record.block_size.bytes().0),
            ),
            needs_check: status.needs_check(),
        })
    }

    /// What all volumes together may come to hold, however much of it is written.
    pub(crate) fn provisioned(&self) -> Result<Bytes, Error> {
        let volumes = self.catalog.volumes().doing(|| "reading volumes")?;
        let sizes = volumes.iter().map(|volume| volume.size.0);
        Ok(Bytes(sizes.fold(0, u64::saturating_add)))
    }
}
