//! The check of everything: what it calls sound is sound, by naive counting and by every other reader.

use super::difference::{full, id};
use super::image::{Changed, base, bases, change};
use super::naive::{Map, References};
use super::{difference, tell};
use crate::Target;
use crate::input::Input;
use convoy_blockdiff::usage;
use convoy_thin_metadata::{
    CheckOptions, CheckReport, DeviceDetails, Severity, Space, View, check,
};
use std::collections::{BTreeMap, BTreeSet};

/// The target.
pub const TARGET: Target = Target {
    name: "check",
    about: "space maps, and the check of a whole damaged image",
    run,
    seeds,
    words: &[],
    max_len: 12 * 24,
    weight: 10,
};

/// As the difference's inputs, but for the second byte: bit 0 leaves non-fatal findings out, bit 1 keeps only one
/// finding, bit 2 leaves the mappings out, bit 3 looks at the held copy alone.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let base = base(input.u8());
    let how = input.u8();
    let source = Changed::from_input(base, input);
    let options = CheckOptions {
        ignore_non_fatal: how & 1 != 0,
        max_findings: Some(1).filter(|_| how & 2 != 0),
        skip_mappings: how & 4 != 0,
        metadata_snapshot: Some(convoy_units::MetadataBlock(base.field(56)))
            .filter(|_| how & 8 != 0),
        ..CheckOptions::default()
    };
    source.take_reads();
    let report = match check(&&source, &options) {
        Ok(report) => report,
        Err(error) => return tell(&error),
    };
    let (_, reads) = source.take_reads();
    assert!(
        reads <= 4 * base.len() + 64,
        "{reads} reads of {} blocks",
        base.len()
    );
    check_report(&report, &options);
    let everything = how & 0b1100 == 0;
    if everything && report.worst() != Some(Severity::Fatal) {
        sound(&source, report.is_clean() && how & 1 == 0);
    }
    if everything {
        counts(&source);
    }
}

/// The report agrees with itself.
fn check_report(report: &CheckReport, options: &CheckOptions) {
    let kept = report.findings.len();
    assert!(kept <= options.max_findings.unwrap_or(1000));
    assert!(report.uncounted == 0 || kept == options.max_findings.unwrap_or(1000));
    assert_eq!(report.is_clean(), kept == 0);
    let worst = report.findings.iter().map(|finding| finding.severity).max();
    assert!(report.worst() >= worst);
    assert!(report.uncounted > 0 || report.worst() == worst);
    for finding in &report.findings {
        assert!(!finding.to_string().is_empty());
        assert!(!options.ignore_non_fatal || finding.severity == Severity::Fatal);
    }
    assert!(report.damaged_devices.is_sorted_by(|a, b| a < b));
}

/// No data is lost or in danger: every device can be read and compared, and no block in use is counted less often
/// than it is used; if nothing was found at all, no block is counted more often either.
fn sound(source: &Changed, exact: bool) {
    let view = View::live(source).expect("a sound superblock opens");
    let devices = view.devices().expect("sound devices are listed");
    let mut maps = BTreeMap::new();
    for details in &devices {
        let map = full(source, &view, details.dev_id).expect("a sound device is read");
        maps.insert(details.dev_id, map);
    }
    used(&view, &devices, &maps);
    if maps.contains_key(&id(1)) && maps.contains_key(&id(2)) {
        difference::check_pair(source, &view, Some(id(1)), id(2));
    }
    let naive = References::count(source);
    for (space, users) in [
        (Space::Metadata, &naive.metadata),
        (Space::Data, &naive.data),
    ] {
        let runs = view
            .ref_counts(space)
            .expect("a sound space map opens")
            .expect("it is live");
        let mut at = 0;
        for run in runs {
            let run = run.expect("a sound space map is read");
            assert_eq!(run.begin, at);
            for block in run.begin..run.begin + run.len {
                let expected = users.get(&block).copied().unwrap_or(0);
                assert!(
                    run.count >= expected,
                    "block {block} has {expected} users, not {}",
                    run.count
                );
                assert!(
                    !exact || run.count == expected,
                    "block {block} has {expected} users, not {}",
                    run.count
                );
            }
            at += run.len;
        }
        let beyond = users.range(at..).next();
        assert_eq!(beyond, None, "a user of a block that there is not");
    }
}

/// What each device has alone, counted block by block.
fn used(
    view: &View<&Changed>,
    devices: &[DeviceDetails],
    maps: &BTreeMap<convoy_units::DevId, Map>,
) {
    let mut owners: BTreeMap<u64, BTreeSet<_>> = BTreeMap::new();
    for (dev_id, map) in maps {
        for (data, _) in map.values() {
            owners.entry(*data).or_default().insert(*dev_id);
        }
    }
    let usages = usage(view, None).expect("sound devices are measured");
    assert_eq!(usages.len(), devices.len());
    let size = view.superblock().data_block_size.bytes().0;
    for usage in usages {
        let mapped = maps[&usage.dev_id].len() as u64;
        let alone = |owners: &&BTreeSet<_>| owners.len() == 1 && owners.contains(&usage.dev_id);
        let exclusive = owners.values().filter(alone).count() as u64;
        assert_eq!(
            (usage.mapped.0, usage.exclusive.0),
            (mapped * size, exclusive * size)
        );
    }
}

/// Reference counts as they stand: whole and in order, or an error.
fn counts(source: &Changed) {
    let Ok(view) = View::live(source) else { return };
    for space in [Space::Metadata, Space::Data] {
        let runs = match view.ref_counts(space) {
            Ok(runs) => runs.expect("it is live"),
            Err(error) => {
                tell(&error);
                continue;
            }
        };
        let mut before = None;
        for run in runs {
            let run = match run {
                Ok(run) => run,
                Err(error) => {
                    tell(&error);
                    break;
                }
            };
            let (begin, count) = before.unwrap_or((0, None));
            assert!(run.len > 0 && run.begin == begin && count != Some(run.count));
            before = Some((run.begin + run.len, Some(run.count)));
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = difference::seeds();
    for choice in 0..bases() {
        for how in [0, 1, 2, 4, 8] {
            seeds.push(vec![choice, how]);
        }
        // Counts up and down, all over the image.
        let blocks = u8::try_from(base(choice).len()).expect("a small image");
        for block in 1..blocks {
            let one = change(12, block, 3, 0);
            seeds.push([vec![choice, 0], one].concat());
        }
    }
    seeds
}
