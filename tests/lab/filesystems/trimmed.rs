//! What is deleted in a volume is given back to the pool when asked, and to the file below it.

use super::{XFS, with};
use crate::verbs::{delete_snapshot, mount, name, refusal, silent, snapshot, unmount};
use crate::world::World;
use convoy_engine::Engine;
use convoy_fault::Kind;
use convoy_tests::noise::noise;
use convoy_units::Bytes;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

const FILE: u64 = 64 << 20;

/// Writes a file of [`FILE`] bytes, and deletes it: the filesystem has the room again, and the pool has not.
fn come_and_go(target: &Path) {
    let path = target.join("file");
    fs::write(&path, noise(1, usize::try_from(FILE).unwrap())).unwrap();
    File::open(&path).unwrap().sync_all().unwrap();
    fs::remove_file(&path).unwrap();
    nix::unistd::syncfs(File::open(target).unwrap()).unwrap();
}

#[track_caller]
fn trim(engine: &Engine, volume: &str) -> (Bytes, Bytes) {
    let trimmed = engine.trim_volume(&name(volume), &silent());
    let trimmed = trimmed.unwrap_or_else(|error| panic!("{}", convoy_fault::chain(&error)));
    println!("{trimmed:?}");
    (trimmed.unmapped.unwrap(), trimmed.freed.unwrap())
}

/// Trims until at least so much is given back: xfs frees a deleted file's blocks in the background, and passes over
/// those that its log still needs.
#[track_caller]
fn trim_until(engine: &Engine, volume: &str, least: Bytes) -> (Bytes, Bytes) {
    let begin = Instant::now();
    let (mut unmapped, mut freed) = (0, 0);
    while unmapped < least.0 && begin.elapsed() < Duration::from_secs(20) {
        let (more_unmapped, more_freed) = trim(engine, volume);
        unmapped += more_unmapped.0;
        freed += more_freed.0;
        std::thread::sleep(Duration::from_millis(200));
    }
    (Bytes(unmapped), Bytes(freed))
}

#[test]
fn what_is_deleted_returns_to_the_pool_and_to_the_file_below() {
    let (world, engine) = World::opened("trimmed");
    // Its extents begin and end where the filesystem likes: parts of the pool's blocks stay.
    let most = Bytes(FILE / 4 * 3);
    let below = || {
        let data = engine.info().unwrap().pool.data_device;
        fs::metadata(data).unwrap().blocks() * 512
    };
    for filesystem in ["ext4", "xfs"] {
        engine
            .create_volume(&with(filesystem, filesystem, XFS), &silent())
            .unwrap();
        let target = mount(&engine, filesystem);
        come_and_go(&target);
        let full = below();
        let (unmapped, freed) = trim_until(&engine, filesystem, most);
        assert!(
            unmapped >= most && freed >= most,
            "{filesystem}: {unmapped}, {freed}"
        );
        assert!(
            below() + most.0 <= full,
            "{filesystem}: the file below has {} of {full}",
            below()
        );
        // Nothing is left to be given back.
        let (unmapped, _) = trim(&engine, filesystem);
        assert!(unmapped < Bytes::mib(4), "{unmapped}");
        unmount(&engine, filesystem);
    }
    assert!(engine.figures().unwrap().trimmed >= Bytes(2 * most.0));
    // What a snapshot has too stays in use.
    let target = mount(&engine, "xfs");
    let path = target.join("file");
    fs::write(&path, noise(2, usize::try_from(FILE).unwrap())).unwrap();
    snapshot(&engine, "xfs", "s");
    fs::remove_file(&path).unwrap();
    nix::unistd::syncfs(File::open(&target).unwrap()).unwrap();
    let (unmapped, freed) = trim_until(&engine, "xfs", most);
    assert!(
        unmapped >= most && freed < Bytes::mib(4),
        "{unmapped}, {freed}"
    );
    delete_snapshot(&engine, "s");
    unmount(&engine, "xfs");
    let (kind, words) = refusal(engine.trim_volume(&name("xfs"), &silent()));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("convoy mount xfs"), "{words}");
    engine.stop().unwrap();
    drop(world);
}
