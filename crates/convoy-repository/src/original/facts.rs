//! A backup of the original's as plain values.

use super::block::{BLOCK, ZEROS};
use super::layout::{Checksum, VolumeDirectory};
use super::wire::{WireBackup, WireVolume, is_of, of_other, shortened};
use convoy_units::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

/// What is told of a backup without looking at its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalFacts {
    /// Where its volume lies. Its name is the one in URLs: a UUID before version 0.5.
    pub directory: VolumeDirectory,
    /// The backup's name in URLs: a UUID before version 0.5.
    pub name: String,
    /// The volume's name as people know it.
    pub volume_name: String,
    /// The driver that made it: `devicemapper`, or one without blocks. Empty where nothing tells.
    pub driver: String,
    /// The volume's size as its text has it: that of the *first* volume of this name which was backed up here.
    /// `None` where the text is lost or tells none.
    pub volume_size: Option<Bytes>,
    /// When that volume was made.
    pub volume_created: Option<Timestamp>,
    /// What is in it, where the text tells: before version 0.5.
    pub filesystem: Option<String>,
    /// The snapshot's identity: before version 0.5.
    pub snapshot: Option<Uuid>,
    /// What the snapshot was called.
    pub snapshot_name: String,
    /// When it was taken.
    pub snapshot_created: Option<Timestamp>,
    /// When it was backed up.
    pub created: Option<Timestamp>,
    /// Whether it is one file (a tar archive, by driver `vfs`) instead of blocks.
    pub is_single_file: bool,
    /// What is wrong with its texts, as far as one sees without reading blocks.
    pub problem: Option<String>,
}

/// One block of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginalBlock {
    /// Its first byte in the volume: a multiple of [`BLOCK`].
    pub offset: u64,
    /// Half of the SHA-512 of its bytes.
    pub checksum: Checksum,
}

impl OriginalBlock {
    /// One past its last byte in the volume.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(BLOCK)
    }

    /// Whether all its bytes are zero, as its checksum proves.
    pub fn is_zero(&self) -> bool {
        self.checksum == ZEROS
    }
}

/// A backup with all its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalBackup {
    /// What is told of it.
    pub facts: OriginalFacts,
    /// Every block, in the order of offsets, none twice; the rest of the volume reads as zeros. Empty for a
    /// single file.
    pub blocks: Vec<OriginalBlock>,
}

impl OriginalBackup {
    /// One past the last byte that a block holds.
    pub fn end(&self) -> Bytes {
        Bytes(self.blocks.last().map_or(0, OriginalBlock::end))
    }
}

/// What both texts of a backup say; `Err` says why the backup's cannot be what it should be.
pub(super) fn backup(
    directory: &VolumeDirectory,
    name: &str,
    text: WireBackup,
    volume: &Result<WireVolume, String>,
) -> Result<OriginalBackup, String> {
    let known = volume.as_ref().ok();
    let said = if text.uuid.is_empty() {
        &text.name
    } else {
        &text.uuid
    };
    if said != name {
        return Err(of_other("backup", said));
    }
    let of = if text.volume_uuid.is_empty() {
        &text.volume_name
    } else {
        &text.volume_uuid
    };
    if !is_of(of, directory.name()) {
        return Err(of_other("volume", of));
    }
    let is_single_file = !text.single_file.file_path.is_empty();
    if is_single_file && !text.blocks.0.is_empty() {
        return Err("it has blocks and a single file".to_owned());
    }
    let driver = if text.driver.is_empty() {
        known
            .map(|volume| shortened(&volume.driver))
            .unwrap_or_default()
    } else {
        shortened(&text.driver)
    };
    let mut facts = OriginalFacts {
        is_single_file,
        driver,
        snapshot: Uuid::parse_str(&text.snapshot_uuid).ok(),
        snapshot_name: plain(&text.snapshot_name),
        snapshot_created: time(&text.snapshot_created_at),
        created: time(&text.created_time),
        ..unknown(directory, name, volume)
    };
    let end = text.blocks.0.last().map_or(0, OriginalBlock::end);
    if let Some(size) = facts.volume_size.filter(|size| size.0 < end) {
        facts.problem = Some(format!(
            "it has blocks up to byte {end}, and its volume is said to have {} only: a later volume of the same name was larger",
            size.0
        ));
    }
    Ok(OriginalBackup {
        facts,
        blocks: text.blocks.0,
    })
}

/// What is known of a backup from its place and its volume alone.
pub(super) fn unknown(
    directory: &VolumeDirectory,
    name: &str,
    volume: &Result<WireVolume, String>,
) -> OriginalFacts {
    let known = volume.as_ref().ok();
    let label = known.map(|volume| plain(&volume.name)).unwrap_or_default();
    let size = known.and_then(|volume| u64::try_from(volume.size).ok());
    OriginalFacts {
        directory: directory.clone(),
        name: name.to_owned(),
        volume_name: if label.is_empty() {
            directory.name().to_owned()
        } else {
            label
        },
        driver: String::new(),
        volume_size: size.filter(|size| *size > 0).map(Bytes),
        volume_created: known.and_then(|volume| time(&volume.created_time)),
        filesystem: known
            .map(|volume| plain(&volume.file_system))
            .filter(|name| !name.is_empty()),
        snapshot: None,
        snapshot_name: String::new(),
        snapshot_created: None,
        created: None,
        is_single_file: false,
        problem: volume.as_ref().err().cloned(),
    }
}

/// A name for people: anybody may have written it.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(128).collect()
}

/// As Ruby writes a date, and Go's `time.RubyDate`: `Sun Nov 22 08:04:40 +0000 2026`.
fn time(text: &str) -> Option<Timestamp> {
    Timestamp::strptime("%a %b %d %H:%M:%S %z %Y", text).ok()
}
