//! From two roots down to the leaves that one side has alone.
//!
//! Both trees lie in one immutable store, so equal block numbers are equal subtrees, and a key lies in exactly
//! one leaf of a tree: whatever both sides have at one height can be taken from both, at any height,
//! and the rest decides the difference.

use convoy_thin_metadata::{Bitmap, BlockSource, Error, NodeRef, Runs, Tree, View, Walk};
use convoy_units::{DevId, MetadataBlock};

/// One side on its way down.
pub(crate) struct Side<'v, S> {
    walk: Walk<'v, S>,
    nodes: Vec<NodeRef>,
    height: u8,
}

impl<'v, S: BlockSource> Side<'v, S> {
    fn open(view: &'v View<S>, dev_id: DevId, root: MetadataBlock) -> Result<Self, Error> {
        let mut walk = Walk::new(view, Tree::Mappings(dev_id));
        let (root, height) = walk.root(root)?;
        Ok(Self {
            walk,
            nodes: vec![root],
            height,
        })
    }

    fn expand(&mut self) -> Result<(), Error> {
        self.nodes = self.walk.expand(&self.nodes, self.height)?;
        self.height -= 1;
        Ok(())
    }

    fn runs(self) -> Runs<'v, S> {
        Runs::new(self.walk, self.nodes)
    }
}

/// The leaves of a side that is compared with nothing.
pub(crate) fn all_leaves<S: BlockSource>(
    view: &View<S>,
    dev_id: DevId,
    root: MetadataBlock,
) -> Result<Runs<'_, S>, Error> {
    let mut side = Side::open(view, dev_id, root)?;
    while side.height > 0 {
        side.expand()?;
    }
    Ok(side.runs())
}

/// Both sides' leaves without those that are common, and how many subtrees were taken from both.
pub(crate) fn own_leaves<S: BlockSource>(
    view: &View<S>,
    left: (DevId, MetadataBlock),
    right: (DevId, MetadataBlock),
) -> Result<(Runs<'_, S>, Runs<'_, S>, u64), Error> {
    let mut left = Side::open(view, left.0, left.1)?;
    let mut right = Side::open(view, right.0, right.1)?;
    let mut common = prune(view, &mut left, &mut right);
    while left.height > 0 || right.height > 0 {
        let (left_height, right_height) = (left.height, right.height);
        if left_height >= right_height {
            left.expand()?;
        }
        if right_height >= left_height {
            right.expand()?;
        }
        common += prune(view, &mut left, &mut right);
    }
    Ok((left.runs(), right.runs(), common))
}

/// Takes from both sides what both have, if they are at the same height.
///
/// At equal height only: a number that appears at two heights is damage, and must be read to be seen.
fn prune<S: BlockSource>(view: &View<S>, left: &mut Side<'_, S>, right: &mut Side<'_, S>) -> u64 {
    if left.height != right.height {
        return 0;
    }
    let mut ours = Bitmap::new(view.metadata_blocks());
    let mut both = Bitmap::new(view.metadata_blocks());
    for node in &left.nodes {
        ours.insert(node.block);
    }
    let before = right.nodes.len();
    right.nodes.retain(|node| {
        let common = ours.contains(node.block);
        if common {
            both.insert(node.block);
        }
        !common
    });
    left.nodes.retain(|node| !both.contains(node.block));
    (before - right.nodes.len()) as u64
}
