//! Data space used up by eight writers.

use super::writers::{WRITERS, Writers, start, until};
use super::{Patience, Pool};
use crate::verbs::{delete_volume, mount, name, refusal, silent, snapshot, unmount, volume};
use convoy_engine::GrowPool;
use convoy_fault::Kind;
use convoy_tests::command::tool;
use convoy_thinpool::{Control, DmName, KernelControl, Suspend};
use convoy_units::Bytes;
use std::path::PathBuf;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// Eight mounted volumes in a pool that cannot hold what will be written to them.
fn eight(test: &str) -> (Pool, Vec<PathBuf>) {
    let pool = Pool::new(test, Bytes::mib(160), Bytes::mib(16));
    let targets = (0..WRITERS)
        .map(|n| {
            let name = format!("v{n}");
            volume(&pool.engine, &name, Bytes::mib(64));
            mount(&pool.engine, &name)
        })
        .collect();
    (pool, targets)
}

/// The filesystems of all volumes, looked at without changing anything.
#[track_caller]
fn all_clean(pool: &Pool) {
    for n in 0..WRITERS {
        let name = format!("v{n}");
        unmount(&pool.engine, &name);
        let device = pool
            .engine
            .volume(&crate::verbs::name(&name))
            .unwrap()
            .device;
        tool("e2fsck", &["-fn", device.to_str().unwrap()]);
    }
}

fn suspects(pool: &Pool) -> usize {
    let volumes = pool.engine.volumes().unwrap().into_iter();
    volumes.filter(|volume| volume.suspect.is_some()).count()
}

/// While writers wait nothing is lost yet: a pool that is grown in time has cost nobody anything.
#[test]
fn writers_that_wait_go_on_without_an_error_when_the_pool_grows() {
    let (mut pool, targets) = eight("in-time");
    let writers = start(&targets, 30);
    until("out of space", SOON, || {
        pool.engine.look_after_pool();
        pool.mode() == "out_of_data_space"
    });
    let said = pool.said();
    assert!(said.contains("writers wait"), "{said}");
    assert!(said.contains("% of its data are in use"), "{said}");
    let (kind, words) = refusal(pool.engine.create_volume(
        &crate::verbs::volume_request("w", Bytes::mib(64)),
        &silent(),
    ));
    assert_eq!(kind, Kind::PoolFull, "{words}");
    let (kind, words) = refusal(pool.engine.create_snapshot(
        &name("v0"),
        Some(&name("s")),
        &silent(),
    ));
    assert_eq!(kind, Kind::PoolFull, "{words}");
    pool.data.grow(Bytes::mib(640));
    let grown = pool.engine.grow_pool(&GrowPool::default(), &silent());
    assert_eq!(grown.unwrap().data_total, Bytes::mib(640));
    assert_eq!(writers.end(), Vec::<String>::new(), "no writer noticed");
    pool.engine.look_after_pool();
    assert_eq!((pool.mode().as_str(), suspects(&pool)), ("rw", 0));
    assert!(pool.said().contains("works again"), "{}", pool.said());
    all_clean(&pool);
    pool.engine.stop().unwrap();
}

/// Past the kernel's patience writes fail, and some of what was acknowledged into the page cache is gone: whose
/// volumes these are is remembered until a check finds them clean.
#[test]
fn past_the_patience_writers_fail_and_their_volumes_are_to_be_checked() {
    let (pool, targets) = eight("too-late");
    let _patience = Patience::seconds("1");
    let writers = start(&targets, 30);
    fail_and_recover(pool, writers);
}

/// The same without any patience.
#[test]
fn in_error_mode_writers_fail_at_once() {
    let (pool, targets) = eight("at-once");
    let control = KernelControl::open().unwrap();
    let device = DmName::new("convoy-pool").unwrap();
    let mut lines = control.table(&device).unwrap();
    let params = lines[0].params.trim_end();
    lines[0].params = format!("{} 1 error_if_no_space", params.rsplit_once(' ').unwrap().0);
    control.load(&device, &lines, false).unwrap();
    let how = Suspend {
        lockfs: false,
        flush: true,
    };
    control.suspend(&device, how).unwrap();
    control.resume(&device).unwrap();
    assert_eq!(
        pool.engine.info().unwrap().pool.no_space.as_deref(),
        Some("error")
    );
    let writers = start(&targets, 30);
    fail_and_recover(pool, writers);
}

#[track_caller]
fn fail_and_recover(mut pool: Pool, writers: Writers) {
    until("a writer fails", SOON, || {
        pool.engine.look_after_pool();
        !writers.errors.lock().unwrap().is_empty()
    });
    pool.engine.look_after_pool();
    assert_eq!(pool.mode(), "out_of_data_space");
    assert_eq!(suspects(&pool), WRITERS, "{}", pool.said());
    let suspect = pool.engine.volume(&name("v3")).unwrap().suspect.unwrap();
    assert!(suspect.contains("out of data space"), "{suspect}");
    let errors = writers.end();
    println!("{} writers failed: {errors:?}", errors.len());
    // What frees space works, and is enough.
    unmount(&pool.engine, "v7");
    delete_volume(&pool.engine, "v7");
    until("it works again", SOON, || {
        pool.engine.look_after_pool();
        pool.mode() == "rw"
    });
    assert_eq!(suspects(&pool), WRITERS - 1, "time clears nobody");
    // So does making it larger.
    pool.data.grow(Bytes::mib(640));
    pool.engine
        .grow_pool(&GrowPool::default(), &silent())
        .unwrap();
    // A restart forgets nothing.
    let Pool {
        world,
        data,
        metadata,
        engine,
    } = pool;
    drop(engine);
    let options = [
        ("dm.datadev", data.word()),
        ("dm.metadatadev", metadata.word()),
    ];
    let engine = world.open(&options);
    let pool = Pool {
        world,
        data,
        metadata,
        engine,
    };
    assert_eq!(suspects(&pool), WRITERS - 1);
    for n in 0..WRITERS - 1 {
        let volume = format!("v{n}");
        unmount(&pool.engine, &volume);
        let target = mount(&pool.engine, &volume);
        std::fs::write(target.join("again"), "works").unwrap();
    }
    assert_eq!(suspects(&pool), 0, "{}", pool.said());
    snapshot(&pool.engine, "v0", "s");
    volume(&pool.engine, "v7", Bytes::mib(64));
    mount(&pool.engine, "v7");
    all_clean(&pool);
    pool.engine.stop().unwrap();
}
