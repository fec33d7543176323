//! Both space maps: their own shape, and their counts against what the trees use.

use super::data_counts::DataCounts;
use super::findings::{Findings, Severity};
use super::trees::{Plan, Trees, read_each};
use crate::error::{Damage, Role, Rule, Space, Tree};
use crate::source::{Block, BlockSource};
use crate::space_map::{
    MANY, PER_BITMAP, bitmap_block, bitmap_of, bitmaps_for, count, index_block, two_bits,
};
use crate::superblock::{SpaceMapRoot, Superblock};
use convoy_units::MetadataBlock;

mod compare;

use super::references::Met;
use compare::Comparison;

/// Blocks in use, as the bitmaps have it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Used {
    pub(super) data: u64,
    pub(super) metadata: u64,
}

/// A space map whose pointers have all been counted.
struct Map {
    space: Space,
    root: SpaceMapRoot,
    /// Number and place of each bitmap that could be found, ascending.
    bitmaps: Vec<(u64, MetadataBlock)>,
    /// Whether the tree of counts was read whole.
    counts_whole: bool,
}

/// Checks the space maps that `live` names. To be called when all other trees have been walked: it compares with
/// what they use.
pub(super) fn check_space_maps<S: BlockSource>(
    trees: &mut Trees<'_, S>,
    live: &Superblock,
    data: &DataCounts,
) -> Used {
    // Blocks of either map are counted by the metadata's, so both are walked before one is compared.
    let data_map = map(trees, Space::Data, live.data_space_map);
    let metadata_map = map(trees, Space::Metadata, live.metadata_space_map);
    let complete = trees.references.complete;
    let counts = trees.references.take_counts();
    let users = |block: u64| {
        let at = usize::try_from(block).unwrap_or(usize::MAX);
        counts.get(at).copied().unwrap_or(0)
    };
    Used {
        data: data_map.map_or(0, |map| {
            let complete = complete && data.complete;
            compare(trees, &map, complete, &|block| data.get(block))
        }),
        metadata: metadata_map.map_or(0, |map| compare(trees, &map, complete, &users)),
    }
}

fn map<S: BlockSource>(
    trees: &mut Trees<'_, S>,
    space: Space,
    root: Option<SpaceMapRoot>,
) -> Option<Map> {
    let Some(root) = root else {
        let field = match space {
            Space::Data => "data space map's root",
            Space::Metadata => "metadata space map's root",
        };
        let rule = Rule::Field { field, found: 0 };
        trees.damaged(Tree::Superblock, None, MetadataBlock(0), rule);
        return None;
    };
    let bitmaps = match space {
        Space::Data => data_index(trees, root),
        Space::Metadata => metadata_index(trees, root),
    };
    let limit = root.nr_blocks;
    let tree = Tree::RefCounts(space);
    let counts_whole = trees
        .walk(
            counts_plan(space),
            root.ref_count_root,
            true,
            &mut |leaf, findings| {
                for (block, _) in leaf.node.entries().filter(|(block, _)| *block >= limit) {
                    let rule = Rule::CountRange { block, limit };
                    tell(findings, Severity::Fatal, tree, leaf.block, rule);
                }
            },
        )
        .is_some();
    Some(Map {
        space,
        root,
        bitmaps,
        counts_whole,
    })
}

fn tell(findings: &mut Findings, severity: Severity, tree: Tree, block: MetadataBlock, rule: Rule) {
    let damage = Damage {
        tree,
        level: None,
        block,
        rule,
    };
    findings.add(severity, damage);
}

const fn counts_plan(space: Space) -> Plan {
    Plan {
        tree: Tree::RefCounts(space),
        role: Role::RefCounts(space),
        again: true,
    }
}

/// Walks the index tree of the data space map.
fn data_index<S: BlockSource>(
    trees: &mut Trees<'_, S>,
    root: SpaceMapRoot,
) -> Vec<(u64, MetadataBlock)> {
    let tree = Tree::Index(Space::Data);
    let plan = Plan {
        tree,
        role: Role::Index(Space::Data),
        again: false,
    };
    let limit = bitmaps_for(root.nr_blocks);
    let mut entries = Vec::new();
    let whole = trees.walk(plan, root.bitmap_root, true, &mut |leaf, findings| {
        for (found, value) in leaf.node.entries() {
            entries.push((found, bitmap_of(value)));
            if found >= limit {
                let rule = Rule::BitmapRange { found, limit };
                tell(findings, Severity::Fatal, tree, leaf.block, rule);
            }
        }
    });
    if whole.is_some() {
        missing_bitmaps(trees, &entries, root, limit);
    }
    let mut bitmaps = count_bitmaps(trees, Space::Data, entries);
    bitmaps.retain(|(number, _)| *number < limit);
    bitmaps
}

fn missing_bitmaps<S: BlockSource>(
    trees: &mut Trees<'_, S>,
    entries: &[(u64, MetadataBlock)],
    root: SpaceMapRoot,
    limit: u64,
) {
    let mut first = 0;
    let ends = entries.iter().map(|(number, _)| *number);
    for number in ends.filter(|number| *number < limit).chain([limit]) {
        if number > first {
            let len = number - first;
            let rule = Rule::BitmapMissing { first, len };
            trees.damaged(Tree::Index(Space::Data), None, root.bitmap_root, rule);
        }
        first = number + 1;
    }
}

/// Reads the index block of the metadata space map.
fn metadata_index<S: BlockSource>(
    trees: &mut Trees<'_, S>,
    root: SpaceMapRoot,
) -> Vec<(u64, MetadataBlock)> {
    let (tree, number) = (Tree::Index(Space::Metadata), root.bitmap_root);
    let role = Role::Index(Space::Metadata);
    let read = trees
        .references
        .refer(number, role)
        .and_then(|_| read_index(trees.source, root));
    match read {
        Ok(bitmaps) => {
            let entries = (0..).zip(bitmaps).collect();
            count_bitmaps(trees, Space::Metadata, entries)
        }
        Err(rule) => {
            trees.damaged(tree, None, number, rule);
            Vec::new()
        }
    }
}

fn read_index<S: BlockSource>(source: &S, root: SpaceMapRoot) -> Result<Vec<MetadataBlock>, Rule> {
    let mut blocks = Vec::new();
    let error = read_each(source, &[root.bitmap_root], &mut blocks).pop();
    if let Some(rule) = error.flatten() {
        return Err(rule);
    }
    let block = blocks.first().expect("one block was read");
    Ok(index_block(block, root.bitmap_root, root.nr_blocks)?.collect())
}

/// Counts the pointers to bitmaps; keeps those that can be read.
fn count_bitmaps<S: BlockSource>(
    trees: &mut Trees<'_, S>,
    space: Space,
    mut entries: Vec<(u64, MetadataBlock)>,
) -> Vec<(u64, MetadataBlock)> {
    entries.retain(|(_, block)| {
        let rule = match trees.references.refer(*block, Role::Bitmap(space)) {
            Ok(Met::First) => return true,
            Ok(Met::Again) => Rule::Revisited,
            Err(rule) => rule,
        };
        trees.damaged(Tree::Bitmaps(space), None, *block, rule);
        false
    });
    entries
}

/// Compares one map with the `users` of each block; returns how many blocks it has in use.
fn compare<S: BlockSource>(
    trees: &mut Trees<'_, S>,
    map: &Map,
    complete: bool,
    users: &dyn Fn(u64) -> u32,
) -> u64 {
    let mut comparison = Comparison::new(trees.source, map, complete, users);
    let plan = counts_plan(map.space);
    let root = map.root.ref_count_root;
    trees.walk(plan, root, false, &mut |leaf, findings| {
        for (block, value) in leaf.node.entries() {
            if block < map.root.nr_blocks {
                comparison.recorded(block, count(value), leaf.block, findings);
            }
        }
    });
    comparison.finish(&mut trees.findings)
}
