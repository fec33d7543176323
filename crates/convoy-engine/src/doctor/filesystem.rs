//! What the begin of a filesystem tells of the volume it is on: identity, type, label and size.
//!
//! Offsets after the kernel's `fs/ext4/ext4.h` (superblock at byte 1024) and `fs/xfs/libxfs/xfs_format.h` (at
//! byte 0), as their public documentation has them.

use convoy_units::Bytes;
use uuid::Uuid;

/// How much of a device is looked at.
pub(crate) const HEAD: usize = 4096;

/// A filesystem by its superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filesystem {
    /// Volumes that we format bear their own UUID as their filesystem's.
    pub(crate) uuid: Uuid,
    /// `ext4` or `xfs`.
    pub(super) kind: &'static str,
    /// Empty if it has none, or one that is not text.
    pub(super) label: String,
    /// How much of the device it takes.
    pub(crate) size: Bytes,
    /// Whether it was mounted for writing since it was made. xfs does not tell.
    pub(crate) was_mounted: bool,
}

/// The filesystem that begins so, if it is one of ours.
pub(crate) fn parse(head: &[u8; HEAD]) -> Option<Filesystem> {
    ext4(head).or_else(|| xfs(head))
}

fn ext4(head: &[u8; HEAD]) -> Option<Filesystem> {
    const SUPER: usize = 1024;
    const INCOMPAT_64BIT: u32 = 0x80;
    let le = |at: usize| Some(u32::from_le_bytes(field(head, SUPER + at)?));
    if field(head, SUPER + 0x38)? != [0x53, 0xef] {
        return None;
    }
    let high = match le(0x60)? & INCOMPAT_64BIT {
        0 => 0,
        _ => le(0x150)?,
    };
    let blocks = u64::from(high) << 32 | u64::from(le(0x04)?);
    let block = 1024_u64.checked_shl(le(0x18)?).filter(|size| *size != 0)?;
    Some(Filesystem {
        uuid: Uuid::from_bytes(field(head, SUPER + 0x68)?),
        kind: "ext4",
        label: label(&field::<16>(head, SUPER + 0x78)?),
        size: Bytes(blocks.checked_mul(block)?),
        // The time of the last mount: mkfs leaves it zero.
        was_mounted: le(0x2c)? != 0,
    })
}

fn xfs(head: &[u8; HEAD]) -> Option<Filesystem> {
    if &field::<4>(head, 0)? != b"XFSB" {
        return None;
    }
    let block = u64::from(u32::from_be_bytes(field(head, 4)?));
    let blocks = u64::from_be_bytes(field(head, 8)?);
    Some(Filesystem {
        uuid: Uuid::from_bytes(field(head, 32)?),
        kind: "xfs",
        label: label(&field::<12>(head, 108)?),
        size: Bytes(blocks.checked_mul(block)?),
        was_mounted: false,
    })
}

fn field<const N: usize>(head: &[u8; HEAD], at: usize) -> Option<[u8; N]> {
    head.get(at..at + N)?.try_into().ok()
}

fn label(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    let text = bytes
        .get(..end)
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    //! Superblocks as mkfs writes them, and none.

    use super::*;

    #[test]
    fn ext4_and_xfs_tell_who_they_are() {
        let mut head = [0; HEAD];
        assert_eq!(parse(&head), None);
        head[1024 + 0x38..][..2].copy_from_slice(&[0x53, 0xef]);
        head[1024 + 0x04..][..4].copy_from_slice(&16384_u32.to_le_bytes());
        head[1024 + 0x18..][..4].copy_from_slice(&2_u32.to_le_bytes());
        head[1024 + 0x60..][..4].copy_from_slice(&0x80_u32.to_le_bytes());
        head[1024 + 0x150..][..4].copy_from_slice(&1_u32.to_le_bytes());
        head[1024 + 0x68..][..16].copy_from_slice(&[7; 16]);
        head[1024 + 0x78..][..3].copy_from_slice(b"web");
        let found = parse(&head).unwrap();
        assert_eq!((found.kind, found.label.as_str()), ("ext4", "web"));
        assert_eq!(found.uuid, Uuid::from_bytes([7; 16]));
        assert_eq!(found.size, Bytes(((1 << 32) + 16384) * 4096));
        assert!(!found.was_mounted);
        head[1024 + 0x2c] = 1;
        assert!(parse(&head).unwrap().was_mounted);

        let mut head = [0; HEAD];
        head[..4].copy_from_slice(b"XFSB");
        head[4..8].copy_from_slice(&4096_u32.to_be_bytes());
        head[8..16].copy_from_slice(&80_000_u64.to_be_bytes());
        head[32..48].copy_from_slice(&[9; 16]);
        head[108..120].copy_from_slice(b"twelve-bytes");
        let found = parse(&head).unwrap();
        assert_eq!((found.kind, found.label.as_str()), ("xfs", "twelve-bytes"));
        assert_eq!(found.size, Bytes(80_000 * 4096));
    }

    #[test]
    fn hostile_numbers_are_no_filesystem() {
        let mut head = [0xff; HEAD];
        assert_eq!(parse(&head), None);
        head[1024 + 0x38..][..2].copy_from_slice(&[0x53, 0xef]);
        assert_eq!(parse(&head), None);
        head[..4].copy_from_slice(b"XFSB");
        assert_eq!(parse(&head), None);
    }
}
