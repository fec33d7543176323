//! Backups that the original Convoy left at a destination, beside ours: shown, verified and restored, never changed.
//!
//! Both programs' backups have URLs of one form. A name is looked for among ours first; the original is asked where we
//! have none of it, or where what we have there cannot be read: then the old backups may be all there is.

use crate::backup::Ears;
use crate::destination::{Ask, OpenDestination};
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::{BackupFormat, BackupInfo, Problem, Verification};
use crate::operation::{Operation, Phase};
use convoy_fault::{Fault, Kind};
use convoy_names::VolumeName;
use convoy_objectstore::{BackupUrl, Location};
use convoy_repository::{BackupRecord, Original, OriginalBackup, OriginalFacts};
use convoy_units::{Bytes, SECTOR};
use jiff::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A backup of whichever program, where it lies.
pub(crate) enum Found {
    /// One of ours.
    Ours(Box<(OpenDestination, BackupRecord)>),
    /// One of the original's.
    Original(Box<FoundOriginal>),
}

/// A backup of the original's, with its blocks' list.
pub(crate) struct FoundOriginal {
    location: Location,
    original: Original,
    backup: OriginalBackup,
}

impl Engine {
    /// The backup that a URL names, ours or the original's.
    pub(crate) fn find_either(&self, url: &str, ask: Ask) -> Result<Found, Error> {
        let ours = match self.find_backup_asking(url, ask) {
            Ok(found) => return Ok(Found::Ours(Box::new(found))),
            Err(error) => error,
        };
        if !matches!(
            ours.kind(),
            Kind::NotFound | Kind::Integrity | Kind::Unsupported
        ) {
            return Err(ours);
        }
        let Ok(parsed) = url.parse::<BackupUrl>() else {
            return Err(ours);
        };
        match self.find_original(&parsed) {
            Ok(found) => Ok(Found::Original(Box::new(found))),
            Err(error) if error.kind() == Kind::NotFound => Err(ours),
            // What is wrong with the original's is told only where it is the answer.
            Err(error) if ours.kind() == Kind::NotFound => Err(error),
            Err(_) => Err(ours),
        }
    }

    fn find_original(&self, url: &BackupUrl) -> Result<FoundOriginal, Error> {
        let location = url.location.normalised();
        let original = self.original_at(&location)?;
        let backup = original
            .backup(&url.volume, &url.backup)
            .doing(|| format!("reading the original's backup {} at {location}", url.backup))?;
        Ok(FoundOriginal {
            location,
            original,
            backup,
        })
    }

    /// The original's backups at a destination; of one volume only, by its name.
    pub(crate) fn originals(
        &self,
        location: &Location,
        volume_name: Option<&VolumeName>,
    ) -> Result<Vec<BackupInfo>, Error> {
        let location = location.normalised();
        let listed = self
            .original_at(&location)?
            .list(volume_name.map(VolumeName::as_str))
            .doing(|| format!("listing the original's backups at {location}"))?;
        self.keep_endpoint(&location.to_string())?;
        Ok(listed
            .iter()
            .map(|facts| describe(&location, facts))
            .collect())
    }

    fn original_at(&self, location: &Location) -> Result<Original, Error> {
        let s3 = self.s3_options(&location.normalised().to_string())?;
        let store = self
            .machine
            .original(location, &s3)
            .doing(|| format!("opening destination {location}"))?;
        Ok(Original::new(store, self.machine.patience()))
    }
}

impl FoundOriginal {
    /// Reads it back, every block of it.
    pub(crate) fn verify(&self, op: &Operation<'_>) -> Result<Verification, Error> {
        self.refuse_foreign("verified")?;
        let name = &self.backup.facts.name;
        let _span =
            tracing::info_span!("backup verify", backup = %name, operation = %op.id).entered();
        op.phase(Phase::Verifying);
        let report = convoy_backup::verify_original(&self.original, &self.backup, &Ears(op))
            .doing(|| format!("verifying the original's backup {name}"))?;
        let problems = report.problems.into_iter().map(|problem| Problem {
            object: problem.object,
            range: problem.range,
            what: problem.what,
        });
        Ok(Verification {
            problems: problems.collect(),
            more_problems: report.more_problems,
            chunks: report.chunks,
            bytes: report.bytes,
            backup: self.describe(),
        })
    }

    /// As a caller is shown it.
    pub(crate) fn describe(&self) -> BackupInfo {
        describe(&self.location, &self.backup.facts)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.backup.facts.name
    }

    /// Why it is not deleted.
    pub(crate) fn refuse_deletion(&self) -> Error {
        let what = format!(
            "backup {} at {} was made by the original Convoy, and nothing of the original's is ever changed",
            self.name(),
            self.location
        );
        Error::new(Kind::Unsupported, what).hinting(
            "delete it with the original; or, once none of its backups there is needed, remove the folder convoy-objectstore by hand",
        )
    }

    /// Refuses what other drivers made: it is not a device's content.
    pub(crate) fn refuse_foreign(&self, done: &str) -> Result<(), Error> {
        let facts = &self.backup.facts;
        if !facts.is_single_file && matches!(facts.driver.as_str(), "" | "devicemapper") {
            return Ok(());
        }
        let what = format!(
            "Cannot restore backup of {} to devicemapper: {} is not {done}",
            facts.driver, facts.name
        );
        let how = if facts.is_single_file {
            "it is a compressed tar archive in BackupFiles of its volume's directory: create a volume, mount it and unpack it there"
        } else {
            "only backups of driver devicemapper hold a volume's blocks"
        };
        Err(Error::new(Kind::Unsupported, what).hinting(how))
    }

    /// The size of the volume to restore into.
    ///
    /// Nothing but the volume's own text tells it, which is that of the first volume of its name and may be lost.
    /// Where the blocks contradict it, who knows better says so.
    pub(crate) fn size(&self, asked: Option<Bytes>) -> Result<Bytes, Error> {
        let asked = asked.filter(|asked| asked.0 > 0);
        let end = self.backup.end();
        let invalid =
            |what: String, hint: String| Err(Error::new(Kind::Invalid, what).hinting(hint));
        let size = match (self.backup.facts.volume_size, asked) {
            (Some(known), asked) if known >= end => {
                if let Some(asked) = asked.filter(|asked| *asked != known) {
                    let what = format!(
                        "Volume size must match with backup's size: it is {} bytes, not {}",
                        known.0, asked.0
                    );
                    return invalid(what, "leave --size out".to_owned());
                }
                known
            }
            (_, Some(asked)) if asked >= end => asked,
            (_, asked) => {
                let why = self.backup.facts.problem.as_deref();
                let why = why.unwrap_or("its volume's text tells no size");
                let what = match asked {
                    None => format!("the size of the volume is not known: {why}"),
                    Some(asked) => {
                        format!("{} bytes do not hold all blocks of the backup", asked.0)
                    }
                };
                let hint = format!(
                    "give --size with the size that the volume had: {} bytes at least",
                    end.0
                );
                return invalid(what, hint);
            }
        };
        if size.0 == 0 || !size.0.is_multiple_of(SECTOR) {
            let what = format!("no device can have {} bytes", size.0);
            return invalid(
                what,
                "give --size with the size that the volume had".to_owned(),
            );
        }
        Ok(size)
    }

    /// What filesystem is in it, by its text or the volume's first block.
    pub(crate) fn filesystem(&self) -> Result<Option<String>, Error> {
        if let Some(known) = &self.backup.facts.filesystem {
            return Ok(Some(known.clone()));
        }
        let Some(first) = self.backup.blocks.first().filter(|block| block.offset == 0) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        self.original
            .read_block(&self.backup.facts, first, &mut bytes)
            .doing(|| format!("reading the first block of backup {}", self.name()))?;
        Ok(filesystem_in(&bytes).map(str::to_owned))
    }

    /// Writes it into a device that reads as zeros.
    pub(crate) fn restore(
        &self,
        sink: &dyn convoy_backup::BlockWriter,
        op: &Operation<'_>,
    ) -> Result<convoy_backup::RestoreSummary, convoy_backup::Error> {
        convoy_backup::restore_original(&self.original, &self.backup, sink, &Ears(op))
    }
}

/// The filesystem that begins so. ext4's superblock lies at byte 1024, its magic number at 56 in it (kernel:
/// `Documentation/filesystems/ext4/super.rst`); XFS begins with its own.
fn filesystem_in(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(1024 + 56..1024 + 58) == Some(&[0x53, 0xef]) {
        return Some("ext4");
    }
    bytes.starts_with(b"XFSB").then_some("xfs")
}

/// A backup of the original's as a caller is shown it. It has no identities but those of the first generation.
fn describe(location: &Location, facts: &OriginalFacts) -> BackupInfo {
    let url = BackupUrl {
        location: location.clone(),
        backup: facts.name.clone(),
        volume: facts.directory.name().to_owned(),
    };
    let uuid = |text: &str| Uuid::parse_str(text).unwrap_or(Uuid::nil());
    let time = |known: Option<Timestamp>| known.unwrap_or(Timestamp::UNIX_EPOCH);
    BackupInfo {
        format: BackupFormat::Original,
        problem: facts.problem.clone(),
        uuid: uuid(&facts.name),
        name: facts.name.clone(),
        url: url.to_string(),
        driver: facts.driver.clone(),
        created: time(facts.created),
        snapshot: facts.snapshot.unwrap_or(Uuid::nil()),
        snapshot_name: facts.snapshot_name.clone(),
        snapshot_created: time(facts.snapshot_created),
        volume: uuid(facts.directory.name()),
        volume_name: facts.volume_name.clone(),
        volume_created: time(facts.volume_created),
        volume_size: facts.volume_size.unwrap_or(Bytes(0)),
        filesystem: facts.filesystem.clone().unwrap_or_default(),
        base: None,
        host: Uuid::nil(),
        operation: Uuid::nil(),
        changed: Bytes(0),
        read: Bytes(0),
        new: Bytes(0),
        stored: Bytes(0),
        labels: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    //! What a first block tells.

    use super::filesystem_in;

    #[test]
    fn the_filesystem_is_known_by_its_magic_number() {
        let mut ext4 = vec![0; 4096];
        ext4[1080..1082].copy_from_slice(&[0x53, 0xef]);
        assert_eq!(filesystem_in(&ext4), Some("ext4"));
        assert_eq!(filesystem_in(b"XFSB and more"), Some("xfs"));
        for none in [&b""[..], b"XFS", &[0; 4096], &[0; 1081]] {
            assert_eq!(filesystem_in(none), None);
        }
    }
}
