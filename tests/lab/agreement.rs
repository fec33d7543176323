//! What the engine, the pool, the kernel's devices and its metadata say of one another after an opening: the same.

use convoy_engine::{Engine, VolumeState};
use convoy_thin_metadata::{FileSource, View};
use convoy_thinpool::{Control, DeviceInfo, DmName};
use convoy_units::{DevId, MetadataBlock};
use std::collections::BTreeSet;
use std::path::Path;

/// Nothing is held, every volume is ready, and catalog, pool and devices have the same in them, no more and no less.
#[track_caller]
pub(crate) fn all_agree(engine: &Engine, control: &dyn Control, pool: &str, metadata: &Path) {
    let devices = devices(control);
    let held: Vec<&DmName> = devices
        .iter()
        .filter(|device| device.suspended)
        .map(|device| &device.name)
        .collect();
    assert!(held.is_empty(), "held still: {held:?}");
    let volumes = engine.volumes().unwrap();
    for volume in &volumes {
        let (name, state) = (&volume.name, volume.state);
        assert_eq!(state, VolumeState::Ready, "{name}: {:?}", volume.problem);
    }
    let snapshots = engine.snapshots(None).unwrap();
    let known = volumes.iter().map(|volume| volume.dev_id);
    let known = known.chain(snapshots.iter().map(|s| s.dev_id));
    // What lies in the trash is in no list, and in the pool still.
    let trash = engine.trash().unwrap().into_iter();
    let trash = trash.flat_map(|trashed| trashed.dev_ids);
    let known: BTreeSet<DevId> = known.chain(trash).collect();
    let (transaction, found) = in_the_pool(control, pool, metadata);
    assert_eq!(found, known, "thin devices of the pool, and of the catalog");
    let recorded = engine.info().unwrap().pool.transaction;
    assert_eq!(
        transaction, recorded.0,
        "transaction ids of pool and catalog"
    );
    // The pool's and the volumes', and one between the pool and a metadata device of which it has a part.
    let between = format!("{pool}-metadata");
    let part = devices.iter().any(|found| found.name.as_str() == between);
    let ours = devices.iter().filter(|device| is_ours(device)).count();
    assert_eq!(ours, volumes.len() + 1 + usize::from(part), "{devices:?}");
}

/// No device of ours is there.
#[track_caller]
pub(crate) fn nothing_is_up(control: &dyn Control) {
    let left = devices(control);
    assert!(left.iter().all(|device| !is_ours(device)), "{left:?}");
}

fn is_ours(device: &DeviceInfo) -> bool {
    let uuid = device.uuid.as_ref();
    uuid.is_some_and(|uuid| uuid.as_str().starts_with("CONVOY-"))
}

fn devices(control: &dyn Control) -> Vec<DeviceInfo> {
    let listed = control.list().unwrap().into_iter();
    listed
        .filter_map(|listed| control.info(&listed.name).unwrap())
        .collect()
}

/// The pool's transaction id and thin devices, from the kernel and its metadata.
fn in_the_pool(control: &dyn Control, pool: &str, metadata: &Path) -> (u64, BTreeSet<DevId>) {
    let pool = DmName::new(pool).unwrap();
    control.message(&pool, "reserve_metadata_snap").unwrap();
    let status = control.status(&pool).unwrap().remove(0).text;
    let words: Vec<&str> = status.split_whitespace().collect();
    let root = MetadataBlock(words[3].parse().unwrap());
    let source = FileSource::open(metadata).unwrap();
    let found = View::held(source, root).unwrap().devices().unwrap();
    control.message(&pool, "release_metadata_snap").unwrap();
    let found = found.into_iter().map(|details| details.dev_id).collect();
    (words[0].parse().unwrap(), found)
}
