//! A bar that means something: progress counts stored chunks, holes are no work.

use super::world::{Device, Volatile, back_up_image, block_size, make};
use crate::{MemoryDevice, Observer, VerifyOptions, restore, verify};
use convoy_units::Bytes;
use std::sync::{Arc, Mutex};
use uuid::Uuid;

#[derive(Default)]
struct Heard(Mutex<Vec<(Bytes, Bytes)>>);

impl Observer for Heard {
    fn progress(&self, done: Bytes, total: Bytes) {
        self.0.lock().unwrap().push((done, total));
    }
}

impl Heard {
    /// From nothing to all of `total`, never back, in `steps` at least.
    #[track_caller]
    fn check(&self, total: Bytes, steps: usize) {
        let heard = self.0.lock().unwrap();
        assert!(heard.iter().all(|(_, of)| *of == total), "{heard:?}");
        assert!(heard.is_sorted_by_key(|(done, _)| *done), "{heard:?}");
        assert_eq!(heard.first().map(|first| first.0), Some(Bytes(0)));
        assert_eq!(heard.last().map(|last| last.0), Some(total));
        let mut done: Vec<Bytes> = heard.iter().map(|(done, _)| *done).collect();
        done.dedup();
        assert!(done.len() > steps, "{heard:?}");
    }
}

#[test]
fn holes_are_no_work() {
    // 256 KiB at the begin and 64 KiB at the end of 96 MiB: the first word was 100 % once.
    let block = block_size(64);
    let size = (96 << 20) + 5;
    let last = size / block.bytes().0;
    let device = Device {
        size,
        mapped: [0, 1, 2, 3, last].map(|at| (at, (at + 1, 200))).into(),
    };
    let store: Arc<Volatile> = Volatile::new();
    let repository = make(&store, Bytes::kib(64)).unwrap();
    let image = device.image(block.bytes().0);
    let changes = device.changes(None);
    let made = back_up_image(&repository, &image, &changes, block, None, Uuid::new_v4())
        .unwrap()
        .backup;
    let total = Bytes(4 * (64 << 10) + 5);
    let heard = Heard::default();
    let before = repository.counters().requests();
    let sink = MemoryDevice::zeroed(Bytes(size));
    restore(&repository, &made, &sink, &heard).unwrap();
    heard.check(total, 5);
    let requests = repository.counters().requests() - before;
    assert!(requests <= 8, "no node is asked for twice: {requests}");
    assert!(sink.content() == image);
    for read_data in [true, false] {
        let heard = Heard::default();
        verify(&repository, &made, &VerifyOptions { read_data }, &heard).unwrap();
        heard.check(total, 5);
    }
}
