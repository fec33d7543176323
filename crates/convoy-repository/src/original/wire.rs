//! The original's two JSON texts, of both generations: names since version 0.5, UUIDs before.
//!
//! Go reads them with any key missing, `null` for an empty value, and further keys; so do we. A key twice, a
//! value of another type, and bytes behind the object are damage.

use super::block::BLOCK;
use super::facts::OriginalBlock;
use super::layout::{Checksum, VolumeDirectory};
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, SeqAccess, Visitor};
use std::fmt;

/// `volume.cfg`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WireVolume {
    /// Before 0.5: the identity, which the directory is named by.
    #[serde(rename = "UUID", deserialize_with = "nullable")]
    pub uuid: String,
    /// The name; since 0.5 the directory is named by it.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// `devicemapper`, `vfs`.
    #[serde(deserialize_with = "nullable")]
    pub driver: String,
    /// Bytes; 0 with drivers that have no block device.
    #[serde(deserialize_with = "nullable")]
    pub size: i64,
    /// Before 0.5.
    #[serde(deserialize_with = "nullable")]
    pub file_system: String,
    /// As Ruby writes a date.
    #[serde(deserialize_with = "nullable")]
    pub created_time: String,
}

/// `backup_<name>.cfg`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WireBackup {
    /// Before 0.5: the identity, which the object is named by.
    #[serde(rename = "UUID", deserialize_with = "nullable")]
    pub uuid: String,
    /// Since 0.5: what the object is named by.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// Empty: the volume's holds.
    #[serde(deserialize_with = "nullable")]
    pub driver: String,
    /// Before 0.5: the volume's identity.
    #[serde(rename = "VolumeUUID", deserialize_with = "nullable")]
    pub volume_uuid: String,
    /// Since 0.5: the volume's name.
    #[serde(deserialize_with = "nullable")]
    pub volume_name: String,
    /// Before 0.5.
    #[serde(rename = "SnapshotUUID", deserialize_with = "nullable")]
    pub snapshot_uuid: String,
    /// May be empty before 0.5.
    #[serde(deserialize_with = "nullable")]
    pub snapshot_name: String,
    /// As Ruby writes a date.
    #[serde(deserialize_with = "nullable")]
    pub snapshot_created_at: String,
    /// As Ruby writes a date.
    #[serde(deserialize_with = "nullable")]
    pub created_time: String,
    /// Every block, in the order of offsets.
    pub blocks: Blocks,
    /// For drivers without blocks.
    #[serde(deserialize_with = "nullable")]
    pub single_file: SingleFile,
}

/// A backup in one file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SingleFile {
    /// Where it lies; empty where there is none. Never used as a path.
    #[serde(deserialize_with = "nullable")]
    pub file_path: String,
}

/// Blocks, each on its own place; in the order of offsets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blocks(pub Vec<OriginalBlock>);

/// Reads a `volume.cfg`; `Err` says what is wrong with it.
pub fn volume(text: &[u8]) -> Result<WireVolume, String> {
    read(text)
}

/// Reads the text of a backup; `Err` says what is wrong with it.
pub fn backup(text: &[u8]) -> Result<WireBackup, String> {
    read(text)
}

impl WireVolume {
    /// Itself, if it is of the volume whose directory it lies in.
    pub(super) fn of(self, directory: &str) -> Result<Self, String> {
        let said = if self.uuid.is_empty() {
            &self.name
        } else {
            &self.uuid
        };
        if is_of(said, directory) {
            Ok(self)
        } else {
            Err(of_other("volume", said))
        }
    }
}

/// What is wrong with a text that is of something else, or that does not say: not even the names are in it that
/// every version writes, and what it lacks besides cannot be known.
pub(super) fn of_other(what: &str, said: &str) -> String {
    if said.is_empty() {
        "it does not say what it is of".to_owned()
    } else {
        format!("it is of {what} {:?}", shortened(said))
    }
}

/// Whether a text names the volume of a directory; a listing of the original's may have filled its name up.
pub(super) fn is_of(text: &str, directory: &str) -> bool {
    VolumeDirectory::of_name(text).is_some_and(|named| named.name() == directory)
}

/// The beginning of a text that may be long.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    if text.is_empty() {
        // What the original leaves behind when it is cut short over NFS.
        return Err("it is empty".to_owned());
    }
    // A list would be taken for the values of the keys in their order.
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err("it is no JSON object".to_owned());
    }
    // What is passed over of a text is looked at no closer than this.
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn nullable<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    value: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

/// One mapping as the text has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireBlock {
    offset: u64,
    block_checksum: Checksum,
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Checksum;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("64 hexadecimal digits in lower case")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Checksum, E> {
                let refused = || E::invalid_value(de::Unexpected::Str(&shortened(text)), &self);
                Checksum::parse(text).ok_or_else(refused)
            }
        }
        text.deserialize_str(Digits)
    }
}

impl<'de> Deserialize<'de> for Blocks {
    fn deserialize<D: Deserializer<'de>>(blocks: D) -> Result<Self, D::Error> {
        struct Ordered;
        impl<'de> Visitor<'de> for Ordered {
            type Value = Blocks;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of blocks in the order of their offsets")
            }

            fn visit_unit<E>(self) -> Result<Blocks, E> {
                Ok(Blocks::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Blocks, A::Error> {
                let mut blocks: Vec<OriginalBlock> = Vec::new();
                while let Some(block) = seq.next_element::<WireBlock>()? {
                    let block = OriginalBlock {
                        offset: block.offset,
                        checksum: block.block_checksum,
                    };
                    if !block.offset.is_multiple_of(BLOCK)
                        || block.offset > i64::MAX.cast_unsigned() - BLOCK
                    {
                        let what = format!("no block begins at {}", block.offset);
                        return Err(de::Error::custom(what));
                    }
                    if blocks
                        .last()
                        .is_some_and(|last| last.offset >= block.offset)
                    {
                        let what = format!("block {} is out of order", block.offset);
                        return Err(de::Error::custom(what));
                    }
                    blocks.push(block);
                }
                Ok(Blocks(blocks))
            }
        }
        blocks.deserialize_any(Ordered)
    }
}
