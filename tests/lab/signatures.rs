//! What devices carry that must not be overwritten: made with the tools at hand, or by hand as blkid
//! looks for it.

use convoy_tests::command::tool as run;
use std::fs;
use std::os::unix::fs::FileExt;

/// Puts it on a device.
type Make = fn(&str);

/// What is found, by blkid's word for it, and how it comes to be there.
pub(crate) const SIGNATURES: [(&str, Make); 9] = [
    ("ext4", ext4),
    ("swap", swap),
    ("gpt", gpt),
    ("partition table", mbr),
    ("LVM2_member", lvm),
    ("linux_raid_member", raid),
    ("xfs", xfs),
    ("btrfs", btrfs),
    ("crypto_LUKS", luks),
];

fn ext4(device: &str) {
    run("mkfs.ext4", &["-q", "-F", device]);
}

fn swap(device: &str) {
    run("mkswap", &["-q", device]);
}

fn btrfs(device: &str) {
    write(device, 0x10040, b"_BHRfS_M");
}

fn luks(device: &str) {
    write(device, 0, b"LUKS\xba\xbe\x00\x01");
}

fn gpt(device: &str) {
    run(
        "sh",
        &["-c", &format!("echo 'label: gpt' | sfdisk -q {device}")],
    );
}

/// Writes bytes to a device, durably.
pub(crate) fn write(device: &str, offset: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(device).unwrap();
    file.write_all_at(bytes, offset).unwrap();
    file.sync_all().unwrap();
}

/// A partition table of the old kind with one partition.
fn mbr(device: &str) {
    let kind = 0x83;
    let mut sector = [0; 512];
    sector[446..462].copy_from_slice(&[
        0, 0, 2, 0, kind, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff, 3, 0,
    ]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    write(device, 0, &sector);
}

/// The label of an LVM physical volume (`lib/format_text/layout.h` of LVM2): blkid checks its checksum.
fn lvm(device: &str) {
    let mut label = [0; 512];
    label[..8].copy_from_slice(b"LABELONE");
    label[8..16].copy_from_slice(&1u64.to_le_bytes());
    label[20..24].copy_from_slice(&32u32.to_le_bytes());
    label[24..32].copy_from_slice(b"LVM2 001");
    label[32..64].copy_from_slice(b"abcdefghijklmnopqrstuvwxyz012345");
    // CRC-32 as zlib's, but begun with 0xf597a6cf and not inverted at the end.
    let crc = label[20..].iter().fold(0xf597_a6cfu32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    label[16..20].copy_from_slice(&crc.to_le_bytes());
    write(device, 512, &label);
}

/// An array member's superblock of version 1.2 (Linux, `md_p.h`), 4 KiB into the device.
fn raid(device: &str) {
    let mut superblock = [0u8; 256];
    superblock[..4].copy_from_slice(&0xa92b_4efcu32.to_le_bytes());
    superblock[4..8].copy_from_slice(&1u32.to_le_bytes());
    superblock[144..152].copy_from_slice(&8u64.to_le_bytes());
    let sum: u64 = superblock
        .chunks(4)
        .map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())))
        .sum();
    let folded = u32::try_from((sum & 0xffff_ffff) + (sum >> 32)).unwrap();
    superblock[216..220].copy_from_slice(&folded.to_le_bytes());
    write(device, 4096, &superblock);
}

/// As much of an XFS superblock as blkid checks.
fn xfs(device: &str) {
    let mut block = vec![0; 512];
    block[..4].copy_from_slice(b"XFSB");
    block[4..8].copy_from_slice(&4096u32.to_be_bytes());
    block[8..16].copy_from_slice(&16384u64.to_be_bytes());
    block[80..84].copy_from_slice(&1u32.to_be_bytes()); // blocks in a real-time extent
    block[84..88].copy_from_slice(&4096u32.to_be_bytes()); // blocks in an allocation group
    block[88..92].copy_from_slice(&4u32.to_be_bytes()); // groups
    block[96..100].copy_from_slice(&1024u32.to_be_bytes()); // log blocks
    block[100..102].copy_from_slice(&4u16.to_be_bytes()); // version
    block[102..104].copy_from_slice(&512u16.to_be_bytes());
    block[104..106].copy_from_slice(&512u16.to_be_bytes()); // inode size
    block[106..108].copy_from_slice(&8u16.to_be_bytes());
    block[120..126].copy_from_slice(&[12, 9, 9, 3, 12, 0]);
    block[127] = 25;
    write(device, 0, &block);
}
