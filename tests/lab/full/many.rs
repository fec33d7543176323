//! Many snapshots: nothing gets slow, and the metadata is as large as was calculated.

use super::Pool;
use crate::verbs::{name, silent, volume};
use crate::world::write_device;
use convoy_tests::noise::noise;
use convoy_thin_metadata::sizing;
use convoy_units::{Bytes, DataBlockSize, Sectors};
use std::time::{Duration, Instant};

/// The pool's blocks.
fn block() -> DataBlockSize {
    DataBlockSize::new(Sectors(128)).expect("128 sectors are the least")
}

/// How many; with the variable set, as many as people have dared.
fn count() -> usize {
    match std::env::var_os("CONVOY_TORTURE") {
        Some(_) => 10_000.min(crate::points::most_points().max(200)),
        None => 300,
    }
}

fn timed<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let value = act();
    (begin.elapsed(), value)
}

/// The middle one of so many: a guest shares its processor, and now and then one waits for a neighbour.
fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

/// A creation read every row of snapshots, twice; the ten thousandth took longer than a second.
#[test]
fn the_last_of_many_snapshots_is_as_quick_as_the_first() {
    let Pool {
        world,
        data,
        metadata,
        engine,
    } = Pool::new("many", Bytes::gib(1), Bytes::mib(128));
    let device = volume(&engine, "v", Bytes::mib(64)).device;
    let pool = || engine.info().unwrap().pool;
    let empty = pool();
    let count = count();
    let mut times = Vec::new();
    for n in 0..count {
        // Each has a block of its own, and with it a leaf of its own, as is reckoned.
        let at = (8 << 20) + (n as u64 % 32) * block().bytes().0;
        write_device(&device, at, &noise(n as u64, 4096));
        let snapshot = name(&format!("s{n}"));
        let (took, taken) =
            timed(|| engine.create_snapshot(&name("v"), Some(&snapshot), &silent()));
        if let Err(error) = taken {
            panic!("snapshot {n}: {}", convoy_fault::chain(&error));
        }
        times.push(took);
    }
    let (first, last) = (median(&times[..100]), median(&times[count - 100..]));
    let whole: Duration = times.iter().sum();
    let now = pool();
    let taken = now.metadata_used.0 - empty.metadata_used.0;
    let mapped = Bytes(now.data_used.0 - empty.data_used.0);
    let calculated = sizing::metadata_size(mapped, block(), count as u64).0;
    let (list, listed) = timed(|| engine.snapshots(None).unwrap().len());
    let (volumes, _) = timed(|| engine.volumes().unwrap().len());
    let (info, _) = timed(|| engine.info().unwrap());
    let (figures, _) = timed(|| engine.figures().unwrap());
    let (delete, ()) = timed(|| {
        let middle = name(&format!("s{}", count / 2));
        engine.delete_snapshot(&middle, &silent()).unwrap();
    });
    drop(engine);
    let options = [
        ("dm.datadev", data.word()),
        ("dm.metadatadev", metadata.word()),
    ];
    let (open, engine) = timed(|| world.open(&options));
    println!(
        "\n{count} snapshots in {whole:?}: of the first 100 {first:?}, of the last {last:?}; list {list:?}, \
         volumes {volumes:?}, info {info:?}, figures {figures:?}, delete {delete:?}, open {open:?}; \
         metadata {taken} bytes, calculated {calculated}"
    );
    assert_eq!(listed, count);
    assert!(last < first * 2, "the first {first:?}, the last {last:?}");
    // Bounds for a guest, which is slow, and shares its processor.
    for (what, took, most) in [
        ("list", list, Duration::from_secs(2)),
        ("volumes", volumes, Duration::from_secs(2)),
        ("info", info, Duration::from_secs(1)),
        ("figures", figures, Duration::from_secs(1)),
        ("delete", delete, Duration::from_secs(2)),
        ("open", open, Duration::from_secs(10)),
    ] {
        assert!(took < most, "{what} took {took:?}");
    }
    assert!(
        taken.abs_diff(calculated) * 10 <= calculated,
        "{taken} is not {calculated}, give or take a tenth"
    );
    engine.stop().unwrap();
}
