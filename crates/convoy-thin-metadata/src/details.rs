//! What the pool records of each thin device beside its mappings.

use convoy_units::{DevId, TransactionId};
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// One device's row in the details tree. The pool does not record a device's virtual size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceDetails {
    /// The device.
    pub dev_id: DevId,
    /// How many of its thin blocks are mapped.
    pub mapped_blocks: u64,
    /// The pool's transaction id when the device was created.
    pub transaction: TransactionId,
    /// Pool time when it was created.
    pub creation_time: u32,
    /// Pool time of the last snapshot it took part in: an older mapping counts as shared to the kernel.
    pub snapshotted_time: u32,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    mapped_blocks: U64,
    transaction: U64,
    creation_time: U32,
    snapshotted_time: U32,
}

/// Bytes of a value in the details tree.
pub(crate) const VALUE_SIZE: u32 = 24;

impl DeviceDetails {
    pub(crate) fn parse(dev_id: DevId, value: &[u8]) -> Self {
        let raw = Raw::ref_from_bytes(value).expect("the value size was checked to be 24");
        Self {
            dev_id,
            mapped_blocks: raw.mapped_blocks.get(),
            transaction: TransactionId(raw.transaction.get()),
            creation_time: raw.creation_time.get(),
            snapshotted_time: raw.snapshotted_time.get(),
        }
    }
}
