//! What a view says is what the model wrote: devices, mappings and times, live and held, whatever shape the trees have.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

use convoy_testkit::thin::random::{history, play};
use convoy_testkit::thin::{DeviceModel, ImageOptions, PoolModel};
use convoy_thin_metadata::{Error, MemorySource, View};
use convoy_units::{DevId, MetadataBlock};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Map = BTreeMap<u64, (u64, u32)>;

fn mappings(view: &View<MemorySource>, dev_id: DevId) -> Result<Map, Error> {
    let mut map = Map::new();
    for run in view.mappings(dev_id)? {
        let run = run?;
        for at in 0..run.len {
            map.insert(run.thin.0 + at, (run.data.0 + at, run.time));
        }
    }
    Ok(map)
}

fn is_as_written(
    view: &View<MemorySource>,
    devices: &BTreeMap<u32, DeviceModel>,
) -> Result<(), TestCaseError> {
    let found = view.devices().unwrap();
    let ids: Vec<u32> = found.iter().map(|device| device.dev_id.get()).collect();
    let expected: Vec<u32> = devices.keys().copied().collect();
    prop_assert_eq!(ids, expected);
    for device in found {
        let model = &devices[&device.dev_id.get()];
        prop_assert_eq!(device.mapped_blocks, model.map().len() as u64);
        prop_assert_eq!(view.device(device.dev_id).unwrap(), Some(device));
        let root = view.mapping_root(device.dev_id).unwrap();
        prop_assert_eq!(root, Some(MetadataBlock(model.root())));
        prop_assert_eq!(&mappings(view, device.dev_id).unwrap(), model.map());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn views_are_as_written(history in history(40, 200), fanout in 1..5_usize, reserve in any::<bool>()) {
        let mut pool = PoolModel::new(5_000, fanout * 3);
        let (before, after) = history.split_at(history.len() / 2);
        play(&mut pool, before, 200);
        if reserve {
            pool.reserve();
        }
        play(&mut pool, after, 200);
        let image = pool.image(ImageOptions::fitting(&pool));
        let source = MemorySource::new(image.bytes.clone());
        let live = pool.ids().into_iter().map(|id| (id, pool.device(id).clone())).collect();
        is_as_written(&View::live(source.clone()).unwrap(), &live)?;
        if let Some(held) = pool.held() {
            let root = MetadataBlock(image.held_root.unwrap());
            is_as_written(&View::held(source, root).unwrap(), held)?;
        }
    }
}
