//! Prints which thin blocks differ between two devices of a pool.
//!
//! Usage: `thin_diff METADATA LEFT RIGHT [HELD_ROOT]`. METADATA is a metadata device or an image of one, LEFT a
//! device id or `-` for nothing. Without `HELD_ROOT` the pool must not be active; with it (the block that the
//! pool's status names after `reserve_metadata_snap`) it may be. One line a range: kind, begin, length.
//! The last line is `end` and the cost; without it the answer is not whole.
#![expect(
    clippy::print_stdout,
    reason = "an example program answers on its standard output"
)]

use convoy_blockdiff::{Delta, DeltaKind, Options, diff};
use convoy_thin_metadata::{FileSource, View};
use convoy_units::{DevId, MetadataBlock};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, left, right, held) = match &arguments[..] {
        [path, left, right] => (path, left, right, None),
        [path, left, right, held] => (path, left, right, Some(MetadataBlock(held.parse()?))),
        _ => return Err("usage: thin_diff METADATA LEFT RIGHT [HELD_ROOT]".into()),
    };
    let source = FileSource::open(Path::new(path))?;
    let view = match held {
        Some(root) => View::held(source, root)?,
        None => View::live(source)?,
    };
    let left = if left == "-" {
        None
    } else {
        Some(DevId::new(left.parse()?)?)
    };
    let right = DevId::new(right.parse()?)?;
    let mut diff = diff(&view, left, right, Options { include_same: true })?;
    let mut pending: Option<Delta> = None;
    let mut changed = Vec::new();
    for delta in diff.by_ref() {
        let delta = delta?;
        changed.extend((delta.kind != DeltaKind::Same).then_some(delta));
        match &mut pending {
            // As thin_delta prints it: ranges of one kind that touch are one, wherever their data lies.
            Some(before) if before.kind == delta.kind && before.range.end == delta.range.begin => {
                before.range.end = delta.range.end;
            }
            before => {
                before.replace(delta).iter().for_each(print);
            }
        }
    }
    pending.iter().for_each(print);
    let cost = diff.finish()?.nodes_read;
    let changed_cost = check_changed_only(&view, left, right, &changed)?;
    println!("end {cost} nodes read, {changed_cost} without the same");
    Ok(())
}

fn print(delta: &Delta) {
    let kind = match delta.kind {
        DeltaKind::LeftOnly => "left_only",
        DeltaKind::RightOnly => "right_only",
        DeltaKind::Differ => "different",
        DeltaKind::Same => "same",
    };
    println!("{kind} {} {}", delta.range.begin, delta.range.len());
}

/// Asks the same again without the blocks that are the same, as a backup does; the answer must be equal.
/// Returns how many nodes that takes.
fn check_changed_only(
    view: &View<FileSource>,
    left: Option<DevId>,
    right: DevId,
    expected: &[Delta],
) -> Result<u64, Box<dyn Error>> {
    let mut diff = diff(view, left, right, Options::default())?;
    let found: Vec<Delta> = diff.by_ref().collect::<Result<_, _>>()?;
    if found != expected {
        return Err("the changed ranges are not those of the full comparison".into());
    }
    Ok(diff.finish()?.nodes_read)
}
