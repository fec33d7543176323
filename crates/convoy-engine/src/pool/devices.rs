//! The devices under a pool: those that were given, or loop devices over files of ours.

use crate::error::{Doing, Error};
use crate::failpoints::Steps;
use crate::machine::Machine;
use convoy_catalog as catalog;
use convoy_fault::Kind;
use convoy_thinpool::loopdev;
use convoy_units::{Bytes, DataBlockSize};
use std::path::{Path, PathBuf};

/// The most a loop-backed pool's data file may promise; sparse, it takes up what is written.
const LOOP_DATA: Bytes = Bytes::gib(100);
/// The least a loop-backed pool is made with.
const LOOP_DATA_MIN: Bytes = Bytes::mib(64);

/// The block devices of a pool, loop devices attached where it has files.
pub(super) struct Devices {
    pub(super) data: PathBuf,
    pub(super) metadata: PathBuf,
}

/// Makes the sparse files of a new loop-backed pool. Ones that exist are left as they are: they are this
/// pool's, from a start that was cut short, and are checked like any device.
pub(super) fn make_loop_files(record: &catalog::Pool, steps: &Steps) -> Result<(), Error> {
    for (file, size) in [
        (&record.data, record.data_size),
        (&record.metadata, record.metadata_size),
    ] {
        match (file.exists(), record.initialised) {
            (true, _) => (),
            (false, false) => {
                steps.run("loop.file", || {
                    loopdev::create_file(file, size).doing(|| format!("making {}", file.display()))
                })?;
            }
            (false, true) => {
                let what = format!("the pool's file {} is gone", file.display());
                return Err(Error::new(Kind::PoolUnhealthy, what)
                    .hinting("is the filesystem mounted that holds the root directory?"));
            }
        }
    }
    Ok(())
}

/// How much a new loop-backed pool may promise: what the filesystem under it could hold, so that the pool
/// is full before the filesystem is and writers meet the pool's rules, not I/O errors.
pub(super) fn loop_data_size(directory: &Path, block_size: DataBlockSize) -> Result<Bytes, Error> {
    let stat = nix::sys::statvfs::statvfs(directory)
        .map_err(std::io::Error::from)
        .doing(|| format!("asking for the space of {}", directory.display()))?;
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    let size = (free / 10 * 9).min(LOOP_DATA.0);
    let size = size / block_size.bytes().0 * block_size.bytes().0;
    if size < LOOP_DATA_MIN.0 {
        let what = format!(
            "{} has {} free, too little for a loop-backed pool of at least {LOOP_DATA_MIN}",
            directory.display(),
            Bytes(free)
        );
        return Err(Error::new(Kind::PoolFull, what).hinting(
            "free some space, use another --root, or give dm.datadev and dm.metadatadev",
        ));
    }
    Ok(Bytes(size))
}

pub(super) fn device_size(machine: &dyn Machine, path: &Path) -> Result<Bytes, Error> {
    machine
        .size_of(path)
        .doing(|| format!("asking for the size of {}", path.display()))
}

pub(super) fn open_devices(record: &catalog::Pool, steps: &Steps) -> Result<Devices, Error> {
    if !record.loop_backed {
        return Ok(Devices {
            data: record.data.clone(),
            metadata: record.metadata.clone(),
        });
    }
    let attach = |file: &Path| -> Result<PathBuf, Error> {
        let attached = steps.run("loop.attach", || {
            loopdev::attach(file).doing(|| format!("attaching {} as a loop device", file.display()))
        })?;
        Ok(attached.node)
    };
    Ok(Devices {
        data: attach(&record.data)?,
        metadata: attach(&record.metadata)?,
    })
}
