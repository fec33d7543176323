//! Is a new pool's device nobody's? Anything but blank is refused before the kernel sees it.

use super::devices::Devices;
use crate::error::{Doing, Error};
use crate::machine::Machine;
use convoy_catalog as catalog;
use convoy_fault::Kind;
use convoy_thin_metadata::{SuperblockState, View, read_superblock};
use convoy_units::TransactionId;
use std::path::Path;

/// A pool not made yet: both devices must be nobody's. `begun_before` says that an earlier start recorded
/// this pool and was cut short before it could record that the kernel had made it.
pub(super) fn check_blank(
    record: &catalog::Pool,
    devices: &Devices,
    machine: &dyn Machine,
    begun_before: bool,
) -> Result<(), Error> {
    let (data, metadata) = (&devices.data, &devices.metadata);
    if machine
        .number_of(data)
        .doing(|| format!("looking at {}", data.display()))?
        == machine
            .number_of(metadata)
            .doing(|| format!("looking at {}", metadata.display()))?
    {
        let what = format!(
            "{} and {} are the same device",
            data.display(),
            metadata.display()
        );
        return Err(Error::new(Kind::Invalid, what));
    }
    let ours = begun_before && is_freshly_made(record, devices, machine)?;
    for device in [data, metadata] {
        let found = machine
            .signature_of(device)
            .doing(|| format!("looking at what is on {}", device.display()))?;
        if let Some(found) = found.filter(|_| !(ours && device == metadata)) {
            return Err(carries(device, &found.what));
        }
    }
    let blank = machine
        .first_block_is_zero(metadata)
        .doing(|| format!("reading the first block of {}", metadata.display()))?;
    if blank || ours {
        Ok(())
    } else {
        Err(carries(metadata, "data we do not know"))
    }
}

/// Whether the metadata device is what the kernel makes of a blank one: no transaction, no device.
fn is_freshly_made(
    record: &catalog::Pool,
    devices: &Devices,
    machine: &dyn Machine,
) -> Result<bool, Error> {
    let doing = || format!("reading {}", devices.metadata.display());
    let source = machine.metadata(&devices.metadata).doing(doing)?;
    let Ok(SuperblockState::Valid(superblock)) = read_superblock(&source) else {
        return Ok(false);
    };
    let fresh = superblock.transaction == TransactionId(0)
        && superblock.data_block_size == record.block_size;
    Ok(fresh
        && View::live(source)
            .doing(doing)?
            .devices()
            .doing(doing)?
            .is_empty())
}

fn carries(device: &Path, what: &str) -> Error {
    let device = device.display();
    Error::new(Kind::Conflict, format!("{device} is not blank: it carries {what}")).hinting(format!(
        "nothing was written. If its content may go: wipefs --all {device} && dd if=/dev/zero of={device} bs=4096 count=1 conv=fsync"
    ))
}
