//! Devices, their details and their mappings, as one superblock has them.

use super::data_counts::DataCounts;
use super::findings::{Findings, Severity};
use super::trees::{Leaf, Plan, Trees};
use crate::details::DeviceDetails;
use crate::error::{Damage, Role, Rule, Tree};
use crate::node::number;
use crate::runs::mapping;
use crate::source::BlockSource;
use crate::superblock::Superblock;
use convoy_units::{DevId, MetadataBlock};
use std::collections::{BTreeMap, BTreeSet};

/// What mappings may say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) data_blocks: u64,
    /// The pool's time, as block 0 has it.
    pub(super) time: u32,
    pub(super) skip_mappings: bool,
}

/// What the devices of one superblock amount to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) devices: u64,
    pub(super) mapped_blocks: u64,
    pub(super) damaged: BTreeSet<DevId>,
}

/// A device's row in one of the two trees, with whether its leaf is met for the first time.
type Rows<T> = BTreeMap<DevId, (T, bool)>;

/// Checks all trees under `superblock`.
pub(super) fn check_devices<S: BlockSource>(
    trees: &mut Trees<'_, S>,
    superblock: &Superblock,
    limits: Limits,
    data: &mut DataCounts,
) -> Tally {
    let root = |value: &[u8]| MetadataBlock(number(value));
    let plan = listing(Tree::Devices, Role::Devices);
    let (roots, roots_whole) = list(trees, plan, superblock.mapping_root, |_, value| root(value));
    let plan = listing(Tree::Details, Role::Details);
    let (details, details_whole) = list(trees, plan, superblock.details_root, DeviceDetails::parse);
    for (details, fresh) in details.values() {
        if *fresh {
            check_details(trees, superblock, details);
        }
    }
    let mut tally = Tally {
        devices: roots.len() as u64,
        ..Tally::default()
    };
    let only_details = details.keys().filter(|id| !roots.contains_key(id));
    for dev_id in only_details.copied().collect::<Vec<_>>() {
        tally.damaged.insert(dev_id);
        if roots_whole {
            key_sets(trees, superblock, dev_id, false);
        }
    }
    for (dev_id, root) in roots {
        let details = details.get(&dev_id).copied();
        if details.is_none() {
            tally.damaged.insert(dev_id);
            if details_whole {
                key_sets(trees, superblock, dev_id, true);
            }
        }
        check_device(trees, dev_id, root, details, limits, data, &mut tally);
    }
    tally
}

const fn listing(tree: Tree, role: Role) -> Plan {
    Plan {
        tree,
        role,
        again: true,
    }
}

/// A tree keyed by device ids, and whether it was read whole.
fn list<S: BlockSource, T>(
    trees: &mut Trees<'_, S>,
    plan: Plan,
    root: MetadataBlock,
    row: impl Fn(DevId, &[u8]) -> T,
) -> (Rows<T>, bool) {
    let (mut rows, mut strange) = (Rows::new(), false);
    let whole = trees.walk(plan, root, true, &mut |leaf, findings| {
        for (key, value) in leaf.node.entries() {
            match DevId::new(key) {
                Ok(dev_id) => {
                    rows.insert(dev_id, (row(dev_id, value), leaf.fresh));
                }
                Err(_) if leaf.fresh => {
                    strange = true;
                    let rule = Rule::DevIdRange { id: key };
                    fatal(findings, plan.tree, Some(0), leaf.block, rule);
                }
                Err(_) => {}
            }
        }
    });
    // What hangs under such a row is not walked.
    trees.references.complete &= !strange;
    (rows, whole.is_some())
}

fn fatal(findings: &mut Findings, tree: Tree, level: Option<u8>, block: MetadataBlock, rule: Rule) {
    let damage = Damage {
        tree,
        level,
        block,
        rule,
    };
    findings.add(Severity::Fatal, damage);
}

fn key_sets<S: BlockSource>(
    trees: &mut Trees<'_, S>,
    superblock: &Superblock,
    dev_id: DevId,
    in_devices: bool,
) {
    let rule = Rule::KeySets { dev_id, in_devices };
    let root = superblock.details_root;
    fatal(&mut trees.findings, Tree::Details, None, root, rule);
}

/// Times and transaction against the superblock's. A manager may set a smaller transaction id, so that a device of
/// a later one is odd and harmless.
fn check_details<S: BlockSource>(
    trees: &mut Trees<'_, S>,
    superblock: &Superblock,
    details: &DeviceDetails,
) {
    let (dev_id, root) = (details.dev_id, superblock.details_root);
    let pool = superblock.time;
    let times = [
        (
            "creation",
            details.creation_time,
            details.snapshotted_time.min(pool),
        ),
        ("last snapshot", details.snapshotted_time, pool),
    ];
    for (field, found, limit) in times {
        if found > limit {
            let rule = Rule::DeviceTime {
                dev_id,
                field,
                found,
                limit,
            };
            fatal(&mut trees.findings, Tree::Details, None, root, rule);
        }
    }
    let (found, limit) = (details.transaction.0, superblock.transaction.0);
    if found > limit {
        let rule = Rule::DeviceTransaction {
            dev_id,
            found,
            limit,
        };
        let damage = Damage {
            tree: Tree::Details,
            level: None,
            block: root,
            rule,
        };
        trees.findings.add(Severity::NonFatal, damage);
    }
}

fn check_device<S: BlockSource>(
    trees: &mut Trees<'_, S>,
    dev_id: DevId,
    (root, fresh): (MetadataBlock, bool),
    details: Option<(DeviceDetails, bool)>,
    limits: Limits,
    data: &mut DataCounts,
    tally: &mut Tally,
) {
    let tree = Tree::Mappings(dev_id);
    if limits.skip_mappings {
        if fresh && let Err(rule) = trees.references.refer(root, Role::Mappings) {
            trees.damaged(tree, None, root, rule);
            tally.damaged.insert(dev_id);
        }
        trees.references.complete = false;
        return;
    }
    let plan = Plan {
        tree,
        role: Role::Mappings,
        again: false,
    };
    let found = trees.walk(plan, root, fresh, &mut |leaf, findings| {
        check_mappings(tree, leaf, limits, data, findings);
    });
    let Some(found) = found else {
        tally.damaged.insert(dev_id);
        return;
    };
    tally.mapped_blocks = tally.mapped_blocks.saturating_add(found);
    if let Some((details, details_fresh)) = details
        && details.mapped_blocks != found
    {
        tally.damaged.insert(dev_id);
        if fresh || details_fresh {
            let recorded = details.mapped_blocks;
            let rule = Rule::MappedCount { recorded, found };
            fatal(&mut trees.findings, tree, None, root, rule);
        }
    }
}

/// The entries of a leaf that is met for the first time.
fn check_mappings(
    tree: Tree,
    leaf: &Leaf<'_>,
    limits: Limits,
    data: &mut DataCounts,
    findings: &mut Findings,
) {
    for (thin, value) in leaf.node.entries() {
        let run = match mapping(thin, number(value), limits.data_blocks) {
            Ok(run) => run,
            Err(rule) => {
                data.complete = false;
                fatal(findings, tree, Some(0), leaf.block, rule);
                continue;
            }
        };
        data.add(run.data);
        if limits.time < TIMES && run.time > limits.time {
            let rule = Rule::MappingTime {
                thin,
                time: run.time,
                limit: limits.time,
            };
            fatal(findings, tree, Some(0), leaf.block, rule);
        }
    }
}

/// A mapping has the low 24 bits of the time: from here on they say nothing.
const TIMES: u32 = 1 << 24;
