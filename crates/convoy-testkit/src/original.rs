//! Repositories as the original Convoy left them, written from its documentation: chains of incremental backups,
//! deletions, and its mistakes.
//!
//! A model keeps beside each backup what the original itself would restore from it, right or wrong.

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha512};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// Bytes in every block.
pub const BLOCK: usize = 2 << 20;
/// When everything here was made.
pub const TIME: &str = "Sun Nov 22 08:04:40 +0000 2015";

/// A block by its number, and what is in it.
pub type Blocks = BTreeMap<u64, Vec<u8>>;

/// What names things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Version 0.5: names.
    Names,
    /// Versions 0.2 to 0.4: UUIDs.
    Uuids,
}

/// A snapshot: the blocks that the thin device had mapped.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its name, or in the generation of UUIDs its UUID.
    pub name: String,
    /// What it maps.
    pub blocks: Blocks,
}

/// A repository: objects by their paths below `convoy-objectstore/`.
#[derive(Debug, Clone)]
pub struct Repository {
    /// The objects, to be looked at and to be damaged.
    pub objects: BTreeMap<String, Vec<u8>>,
    generation: Generation,
    /// The last backup of each volume, its snapshot's name, and the map of each backup.
    last: BTreeMap<String, (String, String)>,
    maps: BTreeMap<(String, String), Blocks>,
    made: u64,
}

impl Repository {
    /// An empty one.
    pub fn new(generation: Generation) -> Self {
        Self {
            objects: BTreeMap::new(),
            generation,
            last: BTreeMap::new(),
            maps: BTreeMap::new(),
            made: 0,
        }
    }

    /// Backs a snapshot up as the original does, and gives back the backup's name. `here` are the snapshots that
    /// the host still has: an earlier backup's among them makes this an increment.
    ///
    /// The volume's text is written by the first backup and keeps its size ever after. What a backup says of a
    /// block that this one does not say is taken over from the backup before: right for an increment, and for a
    /// full backup the mistake by which discarded blocks come back.
    pub fn back_up(
        &mut self,
        volume: &str,
        size: u64,
        snapshot: &Snapshot,
        here: &[&Snapshot],
    ) -> String {
        let directory = directory(volume);
        let config = format!("{directory}/volume.cfg");
        if !self.objects.contains_key(&config) {
            let text = self.volume_text(volume, "devicemapper", size, "");
            self.objects.insert(config, text);
        }
        let last = self.last.get(volume).cloned();
        let base = last.as_ref().and_then(|(_, name)| {
            here.iter()
                .find(|each| each.name == *name && each.name != snapshot.name)
        });
        let delta = match base {
            Some(base) => difference(&base.blocks, &snapshot.blocks),
            None => snapshot.blocks.clone(),
        };
        let mut map = last
            .and_then(|(backup, _)| self.maps.get(&(volume.to_owned(), backup)).cloned())
            .unwrap_or_default();
        map.extend(delta);
        for block in map.values() {
            let path = block_path(volume, &checksum(block));
            self.objects.entry(path).or_insert_with(|| pack(block));
        }
        let name = self.backup_name();
        let text = self.backup_text(&name, volume, &snapshot.name, &listed(&map), "");
        self.objects.insert(backup_path(volume, &name), text);
        self.maps.insert((volume.to_owned(), name.clone()), map);
        self.last
            .insert(volume.to_owned(), (name.clone(), snapshot.name.clone()));
        self.rewrite_volume(volume, &name);
        name
    }

    /// A backup of driver `vfs`: one compressed archive.
    pub fn back_up_directory(&mut self, volume: &str, archive: &[u8]) -> String {
        let name = self.backup_name();
        let file = format!("{}/BackupFiles/{name}.bak", directory(volume));
        let config = self.volume_text(volume, "vfs", 0, &name);
        let text = self.backup_text(
            &name,
            volume,
            "s1",
            "",
            &format!("convoy-objectstore/{file}"),
        );
        self.objects
            .insert(format!("{}/volume.cfg", directory(volume)), config);
        self.objects.insert(backup_path(volume, &name), text);
        self.objects.insert(file, pack(archive));
        name
    }

    /// Deletes a backup and the blocks that no other of its volume has; the last one takes the volume with it.
    pub fn delete(&mut self, volume: &str, backup: &str) {
        self.objects.remove(&backup_path(volume, backup));
        self.maps.remove(&(volume.to_owned(), backup.to_owned()));
        if self
            .last
            .get(volume)
            .is_some_and(|(last, _)| last == backup)
        {
            self.last.remove(volume);
            self.rewrite_volume(volume, "");
        }
        let kept: BTreeSet<String> = self
            .maps
            .iter()
            .filter(|((of, _), _)| of == volume)
            .flat_map(|(_, map)| {
                map.values()
                    .map(|block| block_path(volume, &checksum(block)))
            })
            .collect();
        let inside = format!("{}/", directory(volume));
        let blocks = format!("{inside}blocks/");
        let any = self.maps.keys().any(|(of, _)| of == volume);
        self.objects.retain(|path, _| {
            let is_lost = path.starts_with(&blocks) && !kept.contains(path);
            let is_of_none = !any && path.starts_with(&inside);
            !is_lost && !is_of_none
        });
    }

    /// What the original would restore: all of the volume's bytes.
    pub fn restored(&self, volume: &str, backup: &str, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        for (number, block) in &self.maps[&(volume.to_owned(), backup.to_owned())] {
            let at = usize::try_from(*number).expect("a small volume") * BLOCK;
            bytes[at..at + BLOCK].copy_from_slice(block);
        }
        bytes
    }

    /// Writes the objects below a destination's directory.
    pub fn write(&self, destination: &Path) {
        for (path, bytes) in &self.objects {
            let path = destination.join("convoy-objectstore").join(path);
            let above = path.parent().expect("below the destination");
            std::fs::create_dir_all(above).expect("a directory of the test's own");
            std::fs::write(path, bytes).expect("a file of the test's own");
        }
    }

    /// `backup-` and 16 digits, or a UUID.
    fn backup_name(&mut self) -> String {
        self.made += 1;
        let digits = checksum(&self.made.to_le_bytes());
        match self.generation {
            Generation::Names => format!("backup-{}", &digits[..16]),
            Generation::Uuids => uuid_of(&digits),
        }
    }

    fn volume_text(&self, volume: &str, driver: &str, size: u64, last: &str) -> Vec<u8> {
        let text = match self.generation {
            Generation::Names => format!(
                r#"{{"Name":"{volume}","Driver":"{driver}","Size":{size},"CreatedTime":"{TIME}","LastBackupName":"{last}"}}"#
            ),
            Generation::Uuids => format!(
                r#"{{"UUID":"{volume}","Name":"{}","Driver":"{driver}","Size":{size},"FileSystem":"ext4","CreatedTime":"{TIME}","LastBackupUUID":"{last}"}}"#,
                label(volume)
            ),
        };
        text.into_bytes()
    }

    fn backup_text(
        &self,
        name: &str,
        volume: &str,
        snapshot: &str,
        blocks: &str,
        file: &str,
    ) -> Vec<u8> {
        let rest = format!(
            r#""SnapshotCreatedAt":"{TIME}","CreatedTime":"{TIME}",{blocks}"SingleFile":{{"FilePath":"{file}"}}}}"#
        );
        let text = match self.generation {
            Generation::Names => format!(
                r#"{{"Name":"{name}","Driver":"","VolumeName":"{volume}","SnapshotName":"{snapshot}",{rest}"#
            ),
            Generation::Uuids => format!(
                r#"{{"UUID":"{name}","Driver":"","VolumeUUID":"{volume}","SnapshotUUID":"{snapshot}","SnapshotName":"nightly",{rest}"#
            ),
        };
        text.into_bytes()
    }

    /// The volume's text with another last backup; all else in it stays.
    fn rewrite_volume(&mut self, volume: &str, last: &str) {
        let path = format!("{}/volume.cfg", directory(volume));
        let text = String::from_utf8(self.objects[&path].clone()).expect("we wrote it");
        let at = text.find(r#""LastBackup"#).expect("we wrote it");
        let key = if self.generation == Generation::Names {
            "Name"
        } else {
            "UUID"
        };
        let text = format!(r#"{}"LastBackup{key}":"{last}"}}"#, &text[..at]);
        self.objects.insert(path, text.into_bytes());
    }
}

/// What people called a volume whose UUID this is.
pub fn label(volume: &str) -> String {
    format!("vol-{}", &volume[..4])
}

/// A UUID, the same for the same number.
pub fn uuid(number: u64) -> String {
    uuid_of(&checksum(&number.to_be_bytes()))
}

fn uuid_of(digits: &str) -> String {
    let part = |from: usize, to: usize| &digits[from..to];
    format!(
        "{}-{}-4{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

/// A block of bytes that look random over short distances, the same for the same seed.
pub fn block(seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK);
    for number in 0_u64.. {
        if bytes.len() == BLOCK {
            break;
        }
        let mut hash = Sha512::new();
        hash.update(seed.to_le_bytes());
        hash.update((number / 64).to_le_bytes());
        bytes.extend_from_slice(&hash.finalize());
    }
    bytes
}

/// The blocks of these seeds, at these numbers; seed 0 is zeros.
pub fn blocks(of: &[(u64, u64)]) -> Blocks {
    let one = |seed| {
        if seed == 0 {
            vec![0; BLOCK]
        } else {
            block(seed)
        }
    };
    of.iter()
        .map(|(number, seed)| (*number, one(*seed)))
        .collect()
}

/// The first 64 digits of the SHA-512.
pub fn checksum(bytes: &[u8]) -> String {
    let mut digits = String::new();
    for byte in Sha512::digest(bytes).iter().take(32) {
        write!(digits, "{byte:02x}").expect("a text takes more");
    }
    digits
}

/// As it is stored: one gzip member without name or time.
pub fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).expect("memory takes it");
    packed.finish().expect("memory takes it")
}

/// `volumes/<n[0:2]>/<n[2:4]>/<n>`, with `n` filled up.
pub fn directory(volume: &str) -> String {
    let mut name = volume.to_owned();
    while name.len() < 4 {
        name.push('!');
    }
    format!("volumes/{}/{}/{name}", &name[..2], &name[2..4])
}

/// Where a block lies.
pub fn block_path(volume: &str, checksum: &str) -> String {
    format!(
        "{}/blocks/{}/{}/{checksum}.blk",
        directory(volume),
        &checksum[..2],
        &checksum[2..4]
    )
}

/// Where a backup's text lies.
pub fn backup_path(volume: &str, backup: &str) -> String {
    format!("{}/backups/backup_{backup}.cfg", directory(volume))
}

/// The list of blocks, with the comma behind it; left out when empty.
fn listed(map: &Blocks) -> String {
    let each = map.iter().map(|(number, block)| {
        let offset = number * BLOCK as u64;
        format!(
            r#"{{"Offset":{offset},"BlockChecksum":"{}"}}"#,
            checksum(block)
        )
    });
    match each.collect::<Vec<_>>() {
        none if none.is_empty() => String::new(),
        some => format!(r#""Blocks":[{}],"#, some.join(",")),
    }
}

/// What changed: blocks that differ, and zeros for those that were discarded.
fn difference(old: &Blocks, new: &Blocks) -> Blocks {
    let gone = old.keys().filter(|number| !new.contains_key(number));
    let changed = new
        .iter()
        .filter(|(number, block)| old.get(number) != Some(block));
    gone.map(|number| (*number, vec![0; BLOCK]))
        .chain(changed.map(|(number, block)| (*number, block.clone())))
        .collect()
}
