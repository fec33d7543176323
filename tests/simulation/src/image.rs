//! A model pool's metadata as the bytes that the kernel would have written, for the real reader and the real diff.
//!
//! The writer is the testkit's, which shares subtrees as the kernel does. It is led from device to device so that what
//! was taken of what is shared here too.

use convoy_testkit::thin::{Image, ImageOptions, PoolModel};
use convoy_thinpool::fake::{Content, Thin};
use convoy_units::{DataBlockSize, DevId};

/// A device that is only made to let the pool's time pass.
const CLOCK: u32 = 0xff_fff0;
/// Entries in a node of the mapping trees: few, so that trees are high.
const FANOUT: usize = 3;

/// Writes out what is held, and what is live beside it.
pub fn image(content: &Content, data_blocks: u64, block_size: DataBlockSize) -> Image {
    let mut writer = Writer {
        model: PoolModel::new(data_blocks, FANOUT),
        time: 0,
    };
    if let Some(held) = &content.held {
        writer.lead_to(held);
        writer.model.reserve();
    }
    writer.lead_to(content);
    let options = ImageOptions {
        data_block_sectors: u32::try_from(block_size.sectors().0).unwrap_or(128),
        ..ImageOptions::fitting(&writer.model)
    };
    writer.model.image(options)
}

struct Writer {
    model: PoolModel,
    time: u32,
}

impl Writer {
    /// Changes the model until it says the same.
    fn lead_to(&mut self, content: &Content) {
        let known = self.model.ids();
        let mut new: Vec<(&DevId, &Thin)> = content
            .thins
            .iter()
            .filter(|(id, _)| !known.contains(&id.get()))
            .collect();
        new.sort_by_key(|(id, thin)| (thin.creation_time, thin.origin.is_some(), **id));
        for (id, thin) in new {
            self.make(*id, thin);
        }
        for id in known {
            if !content.thins.keys().any(|there| there.get() == id) {
                self.model.delete(id);
            }
        }
        for (id, thin) in &content.thins {
            self.fill(*id, thin);
        }
        self.pass_time(content.time);
        self.model.transaction = content.transaction_id;
    }

    fn make(&mut self, id: DevId, thin: &Thin) {
        self.model.transaction = thin.transaction_id;
        let origin = thin.origin.map(DevId::get);
        if let Some(origin) = origin.filter(|origin| self.model.ids().contains(origin)) {
            self.pass_time(thin.creation_time.saturating_sub(1));
            self.time += 1;
            self.model.create_snap(id.get(), origin);
        } else {
            self.pass_time(thin.creation_time);
            self.model.create_thin(id.get());
        }
    }

    fn fill(&mut self, id: DevId, thin: &Thin) {
        let id = id.get();
        let has = self.model.device(id).map().clone();
        for block in has
            .keys()
            .filter(|block| !thin.mappings.contains_key(block))
        {
            self.model.discard(id, *block, 1);
        }
        for (block, mapping) in thin.mappings.iter() {
            if has.get(block) != Some(mapping) {
                self.model.map(id, *block, mapping.0, mapping.1);
            }
        }
    }

    /// Time passes with every snapshot.
    fn pass_time(&mut self, until: u32) {
        while self.time < until {
            self.model.create_thin(CLOCK);
            self.model.create_snap(CLOCK + 1, CLOCK);
            self.model.delete(CLOCK + 1);
            self.model.delete(CLOCK);
            self.time += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    //! The real reader finds in the image what the model pool holds.

    use super::*;
    use convoy_thin_metadata::{MemorySource, View};
    use convoy_thinpool::fake::Mappings;
    use convoy_units::{MetadataBlock, Sectors};
    use std::sync::Arc;

    fn id(n: u64) -> DevId {
        DevId::new(n).unwrap()
    }

    fn thin(origin: Option<u64>, time: u32, snapshotted: u32, map: &[(u64, u64, u32)]) -> Thin {
        let mappings: Mappings = map.iter().map(|(t, d, at)| (*t, (*d, *at))).collect();
        Thin {
            origin: origin.map(id),
            transaction_id: 3,
            creation_time: time,
            snapshotted_time: snapshotted,
            mappings: Arc::new(mappings),
        }
    }

    #[test]
    fn the_reader_finds_the_model() {
        let held = Content {
            transaction_id: 6,
            time: 4,
            thins: [
                (id(1), thin(None, 1, 4, &[(0, 9, 1), (5, 2, 3), (7, 1, 0)])),
                (id(4), thin(Some(1), 4, 4, &[(0, 9, 1), (5, 2, 3)])),
            ]
            .into(),
            held: None,
        };
        let mut live = Content {
            held: Some(Arc::new(held.clone())),
            ..held.clone()
        };
        live.thins.remove(&id(4));
        live.thins.insert(id(1), thin(None, 1, 4, &[(0, 12, 4)]));
        live.time = 7;
        let size = DataBlockSize::new(Sectors(128)).unwrap();
        let image = image(&live, 64, size);
        let root = MetadataBlock(image.held_root.unwrap());
        let found = View::held(MemorySource::new(image.bytes.clone()), root).unwrap();
        agree(&found, &held);
        agree(&View::live(MemorySource::new(image.bytes)).unwrap(), &live);
    }

    fn agree(view: &View<MemorySource>, content: &Content) {
        let devices = view.devices().unwrap();
        let ids: Vec<DevId> = devices.iter().map(|device| device.dev_id).collect();
        assert_eq!(ids, content.thins.keys().copied().collect::<Vec<_>>());
        for (id, thin) in &content.thins {
            let mut found = Vec::new();
            for run in view.mappings(*id).unwrap() {
                let run = run.unwrap();
                found.extend((0..run.len).map(|n| (run.thin.0 + n, run.data.0 + n)));
            }
            let wanted: Vec<(u64, u64)> =
                thin.mappings.iter().map(|(t, (d, _))| (*t, *d)).collect();
            assert_eq!(found, wanted, "{id}");
        }
    }
}
