//! From what there is to what is wrong: pure.

use super::facts::{Book, Facts, PoolFacts, Reading, Unread};
use super::finding::{Code, CopySeen, Diagnosis, Finding, Gravity, PoolSeen};
use convoy_catalog as catalog;
use convoy_catalog::VolumeState;
use convoy_thin_metadata::Severity;
use convoy_units::DevId;
use std::collections::BTreeSet;
use std::path::Path;

/// How many of a kind are named.
const NAMED: usize = 16;

/// What [`super::fix`] is called by.
const FIX: &str = "convoy doctor --root ROOT --fix";

impl Facts {
    /// What is wrong, and what was seen.
    pub(super) fn diagnosis(&self) -> Diagnosis {
        let mut findings = Vec::new();
        self.catalog_findings(&mut findings);
        if let Some(pool) = &self.pool {
            let base = self.base().map(|(book, copy)| (book, copy.is_some()));
            pool_findings(pool, base, &mut findings);
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.gravity));
        Diagnosis {
            root: self.root.clone(),
            catalog: self.catalog.as_ref().ok().map(Book::holds),
            copies: self.copies.iter().map(seen).collect(),
            pool: self.pool.as_ref().map(pool_seen),
            findings,
            fixed: Vec::new(),
            read_only: None,
        }
    }

    fn catalog_findings(&self, findings: &mut Vec<Finding>) {
        let error = match &self.catalog {
            Ok(book) => return interrupted(book, self.pool.as_ref(), findings),
            Err(error) => error,
        };
        let code = match error {
            catalog::Error::Lost { .. } => Code::CatalogLost,
            catalog::Error::Newer { .. } => Code::CatalogNewer,
            catalog::Error::Missing { .. } => Code::CatalogMissing,
            catalog::Error::Damaged { .. } | catalog::Error::Record { .. } => Code::CatalogDamaged,
            _ => Code::CatalogUnreadable,
        };
        let mut evidence = Vec::new();
        for (path, copy) in &self.copies {
            evidence.push(match copy {
                Ok(book) => format!("copy {}: {}", path.display(), held(book)),
                Err(error) => format!("copy {}: {}", path.display(), convoy_fault::chain(error)),
            });
        }
        let fixable =
            matches!(code, Code::CatalogLost | Code::CatalogDamaged) && (self.pool.is_some());
        let cure = match (code, self.base()) {
            (Code::CatalogNewer, _) => {
                "install that version again, or a newer one: this one must not touch it".to_owned()
            }
            (Code::CatalogMissing, _) if self.pool.is_none() => {
                "no daemon was ever started over this root: give the right --root".to_owned()
            }
            (Code::CatalogMissing, _) => "a pool is there and never had a catalog in this root: give the --root it belongs to, or put a catalog back from a backup of the root directory".to_owned(),
            (Code::CatalogUnreadable, _) => "see what keeps the file from being read".to_owned(),
            (_, Some((book, Some(n)))) => format!(
                "if you have a newer copy of catalog.db, put it in place; else {FIX} begins with {} ({}), and takes from the pool what is newer",
                self.copies.get(n).map_or(Path::new(""), |(path, _)| path).display(),
                held(book),
            ),
            _ if self.pool.is_some() => format!(
                "put a copy of catalog.db in place, from a backup of the root directory; if there is none, {FIX} makes a catalog of what the pool and the filesystems on it tell: names of volumes and snapshots, labels and destinations are lost"
            ),
            _ => "put a copy of catalog.db in place; or tell where the pool is, with --driver-opts dm.datadev=DEV and dm.metadatadev=DEV".to_owned(),
        };
        findings.push(Finding {
            code,
            gravity: Gravity::Fatal,
            what: convoy_fault::chain(error),
            evidence,
            cure,
            fixable,
        });
    }
}

fn held(book: &Book) -> String {
    let (transaction, volumes, snapshots) = book.holds();
    let count = |number: usize, noun: &str| match number {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    };
    format!(
        "transaction {transaction}, {}, {}",
        count(volumes, "volume"),
        count(snapshots, "snapshot")
    )
}

fn seen((path, copy): &(std::path::PathBuf, Result<Book, catalog::Error>)) -> CopySeen {
    CopySeen {
        path: path.clone(),
        holds: match copy {
            Ok(book) => Ok(book.holds()),
            Err(error) => Err(convoy_fault::chain(error)),
        },
    }
}

fn pool_seen(pool: &PoolFacts) -> PoolSeen {
    let reading = pool.metadata.as_ref().ok();
    PoolSeen {
        name: pool.record.name.to_string(),
        uuid: pool.record.uuid,
        metadata: pool.record.metadata.clone(),
        data: pool.record.data.clone(),
        up: pool.up.is_some(),
        transaction: reading.and_then(|reading| reading.transaction),
        thin_devices: reading.and_then(|reading| Some(reading.devices.as_ref()?.len())),
    }
}

/// An intent that the next start settles by itself is worth a note.
fn interrupted(book: &Book, pool: Option<&PoolFacts>, findings: &mut Vec<Finding>) {
    let found = pool.and_then(|pool| pool.metadata.as_ref().ok()?.transaction);
    for intent in &book.intents {
        if found.is_none_or(|found| found == intent.from || found == intent.to) {
            findings.push(Finding {
                code: Code::Interrupted,
                gravity: Gravity::Note,
                what: format!("an operation was cut short: {}", intent.verb),
                evidence: vec![format!("operation {}", intent.op)],
                cure: "nothing to do: the next start of the daemon finishes or undoes it"
                    .to_owned(),
                fixable: false,
            });
        }
    }
}

fn pool_findings(pool: &PoolFacts, base: Option<(&Book, bool)>, findings: &mut Vec<Finding>) {
    status_findings(pool, findings);
    let reading = match &pool.metadata {
        Ok(reading) => reading,
        Err(unread) => return findings.push(not_read(pool, unread)),
    };
    metadata_findings(pool, reading, findings);
    if let Some(size) = reading.block_size
        && size != pool.record.block_size
    {
        let metadata = pool.record.metadata.display();
        return findings.push(Finding {
            code: Code::AnotherPool,
            gravity: Gravity::Fatal,
            what: format!("{metadata} is the metadata of another pool"),
            evidence: vec![format!(
                "its blocks have {size}, those of pool {} have {}",
                pool.record.name, pool.record.block_size
            )],
            cure: "device paths may have moved: give the right dm.metadatadev".to_owned(),
            fixable: false,
        });
    }
    data_findings(pool, reading, base, findings);
    if let Some((book, is_copy)) = base {
        transaction_findings(pool, reading, book, is_copy, findings);
        device_findings(reading, book, is_copy, findings);
    }
}

fn status_findings(pool: &PoolFacts, findings: &mut Vec<Finding>) {
    let Some(status) = pool.up.as_ref().filter(|status| !status.takes_messages()) else {
        return;
    };
    findings.push(Finding {
        code: Code::PoolNotWritable,
        gravity: Gravity::Fatal,
        what: format!("the kernel takes no changes to pool {}: it is {status}", pool.record.name),
        evidence: vec!["the kernel's log tells what failed first".to_owned()],
        cure: format!("unmount the volumes, stop the daemon, take the devices of the pool down (dmsetup remove, or a reboot without the daemon), then {FIX}"),
        fixable: false,
    });
}

fn not_read(pool: &PoolFacts, unread: &Unread) -> Finding {
    use convoy_thin_metadata::Error;
    let device = pool.record.metadata.display();
    let (code, what, cure) = match unread {
        Unread::Pool(why) => {
            let what = format!(
                "pool {} is up and was not compared: {why}",
                pool.record.name
            );
            return Finding {
                code: Code::NotCompared,
                gravity: Gravity::Note,
                what,
                evidence: Vec::new(),
                cure: "look again when the pool is down".to_owned(),
                fixable: false,
            };
        }
        Unread::Metadata(error @ Error::Blank) => (
            Code::MetadataBlank,
            convoy_fault::chain(error),
            "the kernel would make a new, empty pool there, so it is not given to it: is this the right device? Nothing was written. If it was wiped, the mapping of every volume is gone: restore the volumes from backups",
        ),
        Unread::Metadata(error @ Error::Foreign(_)) => (
            Code::MetadataForeign,
            convoy_fault::chain(error),
            "device paths may have moved: give the right dm.metadatadev",
        ),
        Unread::Metadata(error) => (
            Code::MetadataUnreadable,
            convoy_fault::chain(error),
            "bring the device back; the kernel's log tells of a disk that fails",
        ),
    };
    Finding {
        code,
        gravity: Gravity::Fatal,
        what: format!("the pool's metadata on {device} cannot be read: {what}"),
        evidence: Vec::new(),
        cure: cure.to_owned(),
        fixable: false,
    }
}

fn metadata_findings(pool: &PoolFacts, reading: &Reading, findings: &mut Vec<Finding>) {
    let device = pool.record.metadata.display();
    let lines = |gravest: Severity| -> Vec<String> {
        let of_kind = reading.report.findings.iter();
        let of_kind = of_kind.filter(|finding| finding.severity == gravest);
        of_kind.take(NAMED).map(ToString::to_string).collect()
    };
    match reading.report.worst() {
        Some(Severity::Fatal) => {
            let mut evidence = lines(Severity::Fatal);
            let damaged = &reading.report.damaged_devices;
            if !damaged.is_empty() {
                evidence.push(format!(
                    "damaged thin devices: {}",
                    ids(damaged.iter().copied())
                ));
            }
            findings.push(Finding {
                code: Code::MetadataDamaged,
                gravity: Gravity::Fatal,
                what: format!("the pool's metadata on {device} is damaged"),
                evidence,
                cure: format!("the kernel must not write with it. {FIX} has thin_repair write a repaired copy into a spare (--spare DEVICE; for a loop-backed pool a new file) and checks it; the damaged original stays as it is"),
                fixable: pool.up.is_none(),
            });
        }
        Some(_) => findings.push(Finding {
            code: Code::MetadataLeaks,
            gravity: Gravity::Note,
            what: format!("the pool's metadata on {device} counts space as used that nobody uses"),
            evidence: lines(Severity::NonFatal),
            cure: "no data is in danger; thin_repair into a spare gives the space back".to_owned(),
            fixable: false,
        }),
        None => {}
    }
    if reading.torn {
        findings.push(Finding {
            code: Code::Interrupted,
            gravity: Gravity::Note,
            what: "the power was cut while the kernel took or released a metadata snapshot"
                .to_owned(),
            evidence: Vec::new(),
            cure: "nothing to do: the next start of the daemon completes it".to_owned(),
            fixable: false,
        });
    }
    if reading.needs_check {
        let sound = reading.report.worst() != Some(Severity::Fatal);
        findings.push(Finding {
            code: Code::NeedsCheck,
            gravity: Gravity::Fatal,
            what: "the kernel saw a failure of the metadata device and takes no changes until the metadata was checked (needs_check)".to_owned(),
            evidence: vec![if sound { "our check finds it sound" } else { "our check finds it damaged" }.to_owned()],
            cure: format!("see in the kernel's log what failed, and replace a failing disk first; then {FIX} copies the metadata into a spare, clears the flag there with thin_check, and has every volume's filesystem checked at its next mount"),
            fixable: pool.up.is_none(),
        });
    }
}

fn data_findings(
    pool: &PoolFacts,
    reading: &Reading,
    base: Option<(&Book, bool)>,
    findings: &mut Vec<Finding>,
) {
    let data = pool.record.data.display();
    if let Some(size) = pool.data_size.filter(|size| *size < pool.record.data_size) {
        findings.push(Finding {
            code: Code::DataSmaller,
            gravity: Gravity::Fatal,
            what: format!(
                "the data device {data} has {size}, but pool {} was made on {}",
                pool.record.name, pool.record.data_size
            ),
            evidence: Vec::new(),
            cure: "device paths may have moved: give the right dm.datadev".to_owned(),
            fixable: false,
        });
    }
    if pool.up.is_some() {
        return;
    }
    if let Err(why) = &reading.data {
        findings.push(Finding {
            code: Code::DataUnreadable,
            gravity: Gravity::Fatal,
            what: format!("the pool's data cannot be read on {why}"),
            evidence: Vec::new(),
            cure: "bring the device back; device paths may have moved: give the right dm.datadev"
                .to_owned(),
            fixable: false,
        });
        return;
    }
    let Some((book, _)) = base else { return };
    let strangers = match recognised(book, reading) {
        Recognised::No(strangers) => strangers,
        Recognised::Yes | Recognised::NobodyAsked => return,
    };
    findings.push(Finding {
        code: Code::DataForeign,
        gravity: Gravity::Fatal,
        what: format!("the data device {data} does not hold what pool {} has on it", pool.record.name),
        evidence: strangers
            .into_iter()
            .take(NAMED)
            .map(|name| format!("the filesystem of {name} is not where the metadata has its first block"))
            .collect(),
        cure: "device paths may have moved, or metadata and data belong to different pools: check dm.datadev and dm.metadatadev. If those volumes were written over on purpose, start once with --driver-opts dm.trustdatadev=true".to_owned(),
        fixable: false,
    });
}

/// Whether the data device is this pool's: one volume that finds its own filesystem decides.
pub(super) enum Recognised {
    Yes,
    /// Those who do not find it.
    No(Vec<String>),
    /// No volume that we formatted has a first block.
    NobodyAsked,
}

pub(super) fn recognised(book: &Book, reading: &Reading) -> Recognised {
    let Some(devices) = &reading.devices else {
        return Recognised::NobodyAsked;
    };
    let mut strangers = Vec::new();
    for volume in &book.volumes {
        if volume.state != VolumeState::Ready || volume.restored_from.is_some() {
            continue;
        }
        let snapshots = book.snapshots.iter().filter(|s| s.volume == volume.uuid);
        let ids = std::iter::once(volume.dev_id).chain(snapshots.map(|s| s.dev_id));
        let mapped = ids
            .filter_map(|id| devices.get(&id))
            .filter(|d| d.details.mapped_blocks > 0);
        for device in mapped {
            match &device.filesystem {
                Some(filesystem) if filesystem.uuid == volume.uuid => return Recognised::Yes,
                _ => strangers.push(format!("volume {}", volume.name)),
            }
        }
    }
    strangers.dedup();
    if strangers.is_empty() {
        Recognised::NobodyAsked
    } else {
        Recognised::No(strangers)
    }
}

fn transaction_findings(
    pool: &PoolFacts,
    reading: &Reading,
    book: &Book,
    is_copy: bool,
    findings: &mut Vec<Finding>,
) {
    let (Some(found), Some(known)) = (reading.transaction, &book.pool) else {
        return;
    };
    let expected = known.transaction;
    let explained = found == expected || book.intents.iter().any(|intent| intent.to == found);
    if explained {
        return;
    }
    let evidence = vec![format!(
        "the pool is at transaction {found}, {} at {expected}",
        if is_copy {
            "the copy of the catalog"
        } else {
            "the catalog"
        }
    )];
    let up = pool.up.is_none();
    findings.push(if found < expected {
        Finding {
            code: Code::PoolBehind,
            gravity: Gravity::Fatal,
            what: "the pool's metadata is older than the catalog: it was rolled back or restored, or is another pool's".to_owned(),
            evidence,
            cure: format!("if the newer metadata exists (the other device, a file beside), give that one. If it is gone, blocks may have been given to others since: restore volumes from backups, or take the pool as it is with {FIX} --accept-loss, which has every filesystem checked at its next mount"),
            fixable: up,
        }
    } else {
        Finding {
            code: Code::PoolAhead,
            gravity: Gravity::Fatal,
            what: "the catalog is older than the pool: it was restored from a copy, or somebody else changed the pool".to_owned(),
            evidence,
            cure: format!("if a newer catalog.db exists, put it in place. Else {FIX} takes from the pool what the catalog does not know; names given since the copy are lost"),
            fixable: up,
        }
    });
}

fn device_findings(reading: &Reading, book: &Book, is_copy: bool, findings: &mut Vec<Finding>) {
    let Some(devices) = &reading.devices else {
        return;
    };
    let found: BTreeSet<DevId> = devices.keys().copied().collect();
    let known = book.dev_ids();
    let open: BTreeSet<DevId> = book
        .intents
        .iter()
        .flat_map(|intent| intent.actions.iter().map(catalog::Action::dev_id))
        .collect();
    let missing: Vec<DevId> = known
        .difference(&found)
        .filter(|id| !open.contains(id))
        .copied()
        .collect();
    if !missing.is_empty() {
        let named = missing.iter().take(NAMED);
        findings.push(Finding {
            code: Code::DevicesMissing,
            gravity: Gravity::Fatal,
            what: format!("the pool lacks thin devices that {} has: {}", if is_copy { "the copy of the catalog" } else { "the catalog" }, ids(missing.iter().copied())),
            evidence: named.map(|id| format!("thin device {id} is {}", book.name_of(*id))).collect(),
            cure: format!("check that the devices and the root directory belong together. If those volumes and snapshots are gone for good, {FIX} --accept-loss forgets them; restore them from backups"),
            fixable: true,
        });
    }
    let unknown: Vec<DevId> = found
        .difference(&known)
        .filter(|id| !open.contains(id))
        .copied()
        .collect();
    if !unknown.is_empty() {
        let evidence = unknown
            .iter()
            .take(NAMED)
            .filter_map(|id| Some((id, devices.get(id)?)));
        let evidence = evidence.map(|(id, device)| match &device.filesystem {
            Some(filesystem) => format!(
                "thin device {id} maps {} blocks and begins with {} {}{}",
                device.details.mapped_blocks,
                filesystem.kind,
                filesystem.uuid,
                if filesystem.label.is_empty() {
                    String::new()
                } else {
                    format!(", label {:?}", filesystem.label)
                },
            ),
            None => format!(
                "thin device {id} maps {} blocks",
                device.details.mapped_blocks
            ),
        });
        findings.push(Finding {
            code: Code::DevicesUnknown,
            gravity: Gravity::Note,
            what: format!("the pool has thin devices that the catalog has not: {}", ids(unknown.iter().copied())),
            evidence: evidence.collect(),
            cure: format!("they are left alone and never deleted. {FIX} takes those in that begin with a filesystem, as volumes and snapshots named recovered-ID"),
            fixable: reading.data.is_ok(),
        });
    }
}

/// The first of them, by number.
fn ids(all: impl ExactSizeIterator<Item = DevId>) -> String {
    let (count, mut text) = (all.len(), Vec::new());
    text.extend(all.take(NAMED).map(|id| id.to_string()));
    let more = count.saturating_sub(NAMED);
    match more {
        0 => text.join(", "),
        more => format!("{} and {more} more", text.join(", ")),
    }
}
