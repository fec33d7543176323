//! Many snapshots: nothing gets slow, and the metadata is as large as was calculated.

use super::Pool;
use crate::verbs::{name, silent, volume};
use convoy_thin_metadata::sizing;
use convoy_units::{Bytes, DataBlockSize, Sectors};
use std::time::{Duration, Instant};

/// How many; with the variable set, as many as people have dared.
fn count() -> u64 {
    match std::env::var_os("CONVOY_TORTURE") {
        Some(_) => 10_000,
        None => 60,
    }
}

fn timed<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let value = act();
    (begin.elapsed(), value)
}

#[test]
fn list_status_and_start_stay_quick_and_metadata_is_what_was_calculated() {
    let Pool {
        world,
        data,
        metadata,
        engine,
    } = Pool::new("many", Bytes::mib(512), Bytes::mib(16));
    volume(&engine, "v", Bytes::mib(64));
    let used = |engine: &convoy_engine::Engine| engine.info().unwrap().pool.metadata_used;
    let empty = used(&engine);
    let count = count();
    let mut slowest = Duration::ZERO;
    let begin = Instant::now();
    for n in 0..count {
        let snapshot = name(&format!("s{n}"));
        let (took, taken) =
            timed(|| engine.create_snapshot(&name("v"), Some(&snapshot), &silent()));
        if let Err(error) = taken {
            panic!("snapshot {n}: {}", convoy_fault::chain(&error));
        }
        slowest = slowest.max(took);
    }
    let took = begin.elapsed();
    let taken = used(&engine).0 - empty.0;
    let block = DataBlockSize::new(Sectors(128)).unwrap();
    let calculated = sizing::metadata_size(Bytes(0), block, count);
    let (list, listed) = timed(|| engine.snapshots(None).unwrap().len());
    let (inspect, _) = timed(|| engine.volumes().unwrap().len());
    let (status, _) = timed(|| engine.info().unwrap());
    drop(engine);
    let options = [
        ("dm.datadev", data.word()),
        ("dm.metadatadev", metadata.word()),
    ];
    let (open, engine) = timed(|| world.open(&options));
    println!(
        "{count} snapshots in {took:?} (slowest {slowest:?}); list {list:?}, volumes {inspect:?}, info {status:?}, open {open:?}; metadata {taken} bytes, calculated at most {}",
        calculated.0
    );
    assert_eq!(u64::try_from(listed).unwrap(), count);
    // Bounds for a guest, which is slow, and shares its processor.
    for (what, took, most) in [
        ("list", list, Duration::from_secs(2)),
        ("volumes", inspect, Duration::from_secs(2)),
        ("info", status, Duration::from_secs(1)),
        ("open", open, Duration::from_secs(10)),
    ] {
        assert!(took < most, "{what} took {took:?}");
    }
    assert!(taken <= calculated.0, "{taken} {calculated}");
    engine.stop().unwrap();
}
