//! Is the whole metadata sound: every tree, both space maps, and each against the others. Read only.
//!
//! The library half of `thin_check`. Where the other readers of this crate stop at the first breach, this
//! one writes it down, leaves out what it cannot trust, and goes on.

mod data_counts;
mod devices;
mod findings;
mod references;
mod space_maps;
mod trees;

pub use findings::{Finding, Severity};

use crate::BLOCK_SIZE;
use crate::error::{Damage, Error, Role, Rule, Tree};
use crate::source::BlockSource;
use crate::superblock::{Superblock, parse_copy, read_live};
use convoy_units::{DevId, MetadataBlock};
use data_counts::DataCounts;
use devices::{Limits, Tally, check_devices};
use findings::Findings;
use space_maps::check_space_maps;
use trees::Trees;

/// What is checked, and how much of it is told. The default is everything, offline.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// Leaves the mapping trees out: device and details trees and the shape of the space maps only. What
    /// nobody seems to use is then no finding.
    pub skip_mappings: bool,
    /// Checks block 0 and nothing it points at.
    pub super_block_only: bool,
    /// Does not tell [`Severity::NonFatal`] findings, nor let them decide.
    pub ignore_non_fatal: bool,
    /// How many findings are kept in full (`None`: 1000). The rest is counted.
    pub max_findings: Option<usize>,
    /// Checks the trees of the metadata snapshot at this block and nothing else, so that the pool may be in use.
    pub metadata_snapshot: Option<MetadataBlock>,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// What is wrong, in the order it was met.
    pub findings: Vec<Finding>,
    /// Findings beyond those kept.
    pub uncounted: u64,
    /// The gravest severity, those beyond the kept ones included.
    pub worst: Option<Severity>,
    /// Thin devices of the pool.
    pub devices: u64,
    /// Mappings of all devices together, a shared one once for each device.
    pub mapped_blocks: u64,
    /// Metadata blocks that the space map says are in use.
    pub metadata_blocks_used: u64,
    /// Data blocks that the space map says are in use.
    pub data_blocks_used: u64,
    /// Size of the metadata device in blocks, as the space map has it.
    pub metadata_blocks: u64,
    /// Size of the data device in blocks.
    pub data_blocks: u64,
    /// The manager's transaction id.
    pub transaction_id: u64,
    /// The kernel wants the metadata checked before it writes again. Not a finding.
    pub needs_check: bool,
    /// Where the metadata snapshot is, if one is held.
    pub held_root: Option<MetadataBlock>,
    /// Devices whose own mappings, or path to them, could not all be trusted; ascending.
    pub damaged_devices: Vec<DevId>,
    /// Whether every tree was read whole, so that a count too high could be told from one too low. Without it
    /// only blocks with fewer references than counted users are told.
    pub counts_complete: bool,
}

impl CheckReport {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.worst.is_none()
    }

    /// The gravest severity found.
    pub fn worst(&self) -> Option<Severity> {
        self.worst
    }
}

/// Checks the metadata on `source` and reports everything that is wrong with it. Nothing is written. The pool must
/// not be in use, unless `options` name its metadata snapshot.
///
/// No metadata block is read more than three times, twice as often where the device fails: once, again to list a
/// device, details or count tree, and again when a damaged pointer led to it first. Memory is about 60 bytes for each
/// metadata block and one for each data block, whatever the metadata says.
///
/// # Errors
/// Only when there is nothing to report on: block 0 cannot be read, is blank, is not a thin pool's, or is of
/// a newer format; [`Error::Changed`] and [`Error::NotHeld`] when the pool moved on under the check. A superblock
/// that is a thin pool's and damaged is a finding.
///
/// ```
/// use convoy_thin_metadata::{CheckOptions, MemorySource, check};
///
/// let image = include_bytes!("../tests/fixtures/kernel-6.1.img").to_vec();
/// let report = check(&MemorySource::new(image), &CheckOptions::default())?;
/// for finding in &report.findings {
///     println!("{finding}");
/// }
/// assert!(report.is_clean());
/// assert_eq!((report.devices, report.transaction_id), (4, 7));
/// # Ok::<(), convoy_thin_metadata::Error>(())
/// ```
pub fn check<S: BlockSource>(source: &S, options: &CheckOptions) -> Result<CheckReport, Error> {
    let mut findings = Findings::new(options);
    let mut report = CheckReport::default();
    match read_live(source) {
        Ok(live) => {
            report.describe(&live);
            if options.super_block_only {
                findings.into_report(&mut report);
            } else {
                check_all(source, options, &live, findings, &mut report)?;
            }
        }
        Err(Error::Damaged(damage)) => {
            findings.add(Severity::Fatal, damage);
            findings.into_report(&mut report);
        }
        Err(error) => return Err(error),
    }
    Ok(report)
}

impl CheckReport {
    fn describe(&mut self, live: &Superblock) {
        self.transaction_id = live.transaction.0;
        self.needs_check = live.needs_check;
        self.held_root = live.held_root;
        self.metadata_blocks = live.nr_metadata_blocks.unwrap_or(0);
        self.data_blocks = live.nr_data_blocks.unwrap_or(0);
    }

    fn add(&mut self, tally: Tally) {
        self.devices = tally.devices;
        self.mapped_blocks = tally.mapped_blocks;
        self.damaged_devices = tally.damaged.into_iter().collect();
    }
}

fn check_all<S: BlockSource>(
    source: &S,
    options: &CheckOptions,
    live: &Superblock,
    findings: Findings,
    report: &mut CheckReport,
) -> Result<(), Error> {
    // Bounds are the live space map's: a held copy has none, and offset 344 is the size at format time.
    let blocks = report.metadata_blocks.min(source.nr_blocks());
    let mut trees = Trees::new(source, blocks, findings);
    if report.metadata_blocks != blocks || blocks == 0 {
        let rule = Rule::Field {
            field: "metadata space map's nr_blocks",
            found: report.metadata_blocks,
        };
        trees.damaged(Tree::Superblock, None, MetadataBlock(0), rule);
    }
    let limits = Limits {
        data_blocks: report.data_blocks,
        time: live.time,
        skip_mappings: options.skip_mappings,
    };
    let mut data = DataCounts::new(report.data_blocks, blocks);
    if let Some(root) = options.metadata_snapshot {
        check_held_is(live, root)?;
        report.add(check_held(&mut trees, live, root, limits, &mut data));
        check_held_is(&read_live(source)?, root)?;
    } else {
        report.add(check_devices(&mut trees, live, limits, &mut data));
        if let Some(root) = live.held_root {
            check_held(&mut trees, live, root, limits, &mut data);
        }
        let used = check_space_maps(&mut trees, live, &data);
        report.data_blocks_used = used.data;
        report.metadata_blocks_used = used.metadata;
        if read_live(source)? != *live {
            return Err(Error::Changed);
        }
    }
    report.counts_complete = trees.references.complete && data.complete;
    trees.findings.into_report(report);
    Ok(())
}

fn check_held_is(live: &Superblock, root: MetadataBlock) -> Result<(), Error> {
    if live.held_root == Some(root) {
        return Ok(());
    }
    let found = live.held_root;
    Err(Error::NotHeld { root, found })
}

/// Checks the metadata snapshot at `root`: its superblock, and what only it still has.
fn check_held<S: BlockSource>(
    trees: &mut Trees<'_, S>,
    live: &Superblock,
    root: MetadataBlock,
    limits: Limits,
    data: &mut DataCounts,
) -> Tally {
    trees.findings.held(true);
    let copy = match trees.references.refer(root, Role::Superblock) {
        Ok(_) => read_copy(trees.source, root, live),
        Err(rule) => Err(rule),
    };
    let tally = match copy {
        Ok(copy) => check_devices(trees, &copy, limits, data),
        Err(rule) => {
            trees.damaged(Tree::Superblock, None, root, rule);
            Tally::default()
        }
    };
    trees.findings.held(false);
    tally
}

fn read_copy<S: BlockSource>(
    source: &S,
    root: MetadataBlock,
    live: &Superblock,
) -> Result<Superblock, Rule> {
    let mut block = [0; BLOCK_SIZE];
    match source.read(root, &mut block) {
        Ok(()) => parse_copy(&block, root, live),
        Err(error) => Err(Rule::Unreadable {
            error: error.kind(),
        }),
    }
}
