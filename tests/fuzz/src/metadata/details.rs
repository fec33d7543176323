//! The details leaf is anything: devices are listed as their bytes say, or not at all.

use super::image::{Changed, NODE, base, bases, seal};
use super::{naive, tell};
use crate::Target;
use crate::input::Input;
use convoy_thin_metadata::{BLOCK_SIZE, Block, BlockSource, DeviceDetails, View};
use convoy_units::DevId;

/// The target.
pub const TARGET: Target = Target {
    name: "details",
    about: "the leaf of the details tree",
    run,
    seeds,
    words: &[],
    max_len: 1024,
    weight: 2,
};

/// First byte: the base. Then flags, entries and room of the leaf, one byte each; then its rows, from device 1
/// on: key and value together, 32 bytes a row.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let base = base(input.u8());
    let mut source = Changed::new(base);
    let root = base.field(328);
    source.put(root, &leaf(root, input));
    match View::live(&source) {
        Ok(view) => check(&source, &view),
        Err(error) => tell(&error),
    }
}

fn leaf(number: u64, mut input: Input<'_>) -> Block {
    let mut block: Block = [0; BLOCK_SIZE];
    let (flags, entries, room) = (input.u8(), input.u8(), input.u8());
    block[4] = flags;
    block[8..16].copy_from_slice(&number.to_le_bytes());
    block[16] = entries;
    block[20] = room;
    block[24] = 24;
    let room = usize::from(room);
    for (index, row) in input.rest().chunks(32).enumerate().take(127) {
        let (key, value) = row.split_at(row.len().min(8));
        let (key_at, value_at) = (32 + 8 * index, 32 + 8 * room + 24 * index);
        if value_at + 24 <= BLOCK_SIZE && index < room {
            block[key_at..key_at + key.len()].copy_from_slice(key);
            block[value_at..value_at + value.len()].copy_from_slice(value);
        }
    }
    seal(&mut block, NODE);
    block
}

/// If the devices are listed, the list is what both trees hold, and each device alone says the same.
pub(super) fn check<S: BlockSource>(source: &Changed, view: &View<S>) {
    let devices = match view.devices() {
        Ok(devices) => devices,
        Err(error) => return tell(&error),
    };
    let expected: Vec<DeviceDetails> =
        naive::entries::<24>(source, view.superblock().details_root.0)
            .into_iter()
            .map(|(key, value)| details(key, &value))
            .collect();
    assert_eq!(devices, expected);
    let roots = naive::entries::<8>(source, view.superblock().mapping_root.0);
    let keys: Vec<u64> = roots.iter().map(|(key, _)| *key).collect();
    let ids: Vec<u64> = devices
        .iter()
        .map(|details| u64::from(details.dev_id.get()))
        .collect();
    assert_eq!(keys, ids, "both trees name the same devices");
    for (details, (_, root)) in devices.iter().zip(roots) {
        assert_eq!(
            view.device(details.dev_id).ok().flatten(),
            Some(*details).filter(|_| known(view, root))
        );
    }
}

/// Whether the root of a device can be pointed at: asking for one device checks that, listing them does not.
fn known<S: BlockSource>(view: &View<S>, root: [u8; 8]) -> bool {
    (1..view.metadata_blocks()).contains(&u64::from_le_bytes(root))
}

fn details(key: u64, value: &[u8; 24]) -> DeviceDetails {
    let number = |at: usize| u64::from_le_bytes(*value[at..].first_chunk().expect("24 bytes"));
    let short = |at: usize| u32::from_le_bytes(*value[at..].first_chunk().expect("24 bytes"));
    DeviceDetails {
        dev_id: DevId::new(key).expect("a listed device has a valid id"),
        mapped_blocks: number(0),
        transaction: convoy_units::TransactionId(number(8)),
        creation_time: short(16),
        snapshotted_time: short(20),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    (0..bases())
        .map(|choice| {
            let base = base(choice);
            let block = base.block(base.field(328));
            let (count, room) = (usize::from(block[16]), usize::from(block[20]));
            let mut seed = vec![choice, block[4], block[16], block[20]];
            for index in 0..count {
                seed.extend_from_slice(&block[32 + 8 * index..][..8]);
                seed.extend_from_slice(&block[32 + 8 * room + 24 * index..][..24]);
            }
            seed
        })
        .collect()
}
