//! Faults of the data device: they are their volumes', and the pool's only where it cannot commit.

use super::Stage;
use super::device::Kind as Fault;
use crate::verbs::{
    SIZE, back_up, is_sound, mount, name, refusal, silent, snapshot, unmount, volume,
};
use crate::world::write_device;
use convoy_tests::noise::noise;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

/// A bad sector is one volume's: its backup fails and says where, nothing of it is published, others are backed up.
#[test]
fn a_bad_sector_fails_the_backup_of_its_volume_alone() {
    let stage = Stage::new("dust");
    let engine = stage.open();
    // The first volume's blocks come first, its own data behind its filesystem's.
    let bad = volume(&engine, "bad", SIZE);
    write_device(&bad.device, 32 << 20, &noise(1, 4 << 20));
    let good = volume(&engine, "good", SIZE);
    write_device(&good.device, 32 << 20, &noise(2, 4 << 20));
    let dest = stage.world.dest();
    snapshot(&engine, "bad", "before");
    let before = back_up(&engine, "before", &dest).backup;
    write_device(&bad.device, 40 << 20, &noise(3, 4 << 20));
    nix::unistd::sync();
    // What was mapped last is what was written last: the end of the used blocks.
    let pool = engine.info().unwrap().pool;
    let sector = pool.data_used.0 / 512 - 1000;
    snapshot(&engine, "bad", "b");
    snapshot(&engine, "good", "g");
    stage.data.becomes(Fault::Dusty);
    stage.data.spoil(sector);
    let (_, words) = refusal(engine.create_backup(&name("b"), &dest, &silent()));
    println!("{words}");
    assert!(words.contains("snapshot b of volume bad"), "{words}");
    let offsets: Vec<u64> = words
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    let written = (40 << 20)..(44 << 20);
    assert!(
        offsets.iter().any(|at| written.contains(at)),
        "{offsets:?}: {words}"
    );
    let url = back_up(&engine, "g", &dest).backup.url;
    is_sound(&engine, &url);
    is_sound(&engine, &before.url);
    let listed = engine.backups(&dest, None);
    assert_eq!(
        listed.unwrap().len(),
        2,
        "no part of the failed one is published"
    );
    stage.data.becomes(Fault::Sound);
    let url = back_up(&engine, "b", &dest).backup.url;
    is_sound(&engine, &url);
    assert_eq!(engine.info().unwrap().pool.mode, "rw");
    engine.stop().unwrap();
}

/// Writes that fail: whoever waits for durability hears of it. The pool itself goes on; a filesystem that met
/// errors is told apart, and its volume is checked before it is mounted again.
#[test]
fn writes_that_fail_below_data_are_heard_of_and_end_with_the_fault() {
    let stage = Stage::new("data-eio");
    let engine = stage.open();
    volume(&engine, "v", SIZE);
    volume(&engine, "idle", SIZE);
    let target = mount(&engine, "v");
    std::fs::write(target.join("before"), "is kept").unwrap();
    snapshot(&engine, "v", "s");
    stage.data.becomes(Fault::WritesFail);
    let mut file = File::create(target.join("during")).unwrap();
    let written = file
        .write_all(&noise(1, 1 << 20))
        .and_then(|()| file.sync_all());
    assert!(
        written.is_err(),
        "it was not durable, and nobody heard of it"
    );
    drop(file);
    let begin = Instant::now();
    let told = || engine.volume(&name("v")).unwrap().suspect.is_some();
    while !told() {
        assert!(begin.elapsed() < Duration::from_secs(15), "nobody told");
        // ext4 finds its journal broken when somebody wants to change something.
        std::fs::write(target.join("more"), "x").ok();
        nix::unistd::sync();
        std::thread::sleep(engine.look_after_pool());
    }
    let pool = engine.info().unwrap().pool;
    let suspect = |name: &str| engine.volume(&crate::verbs::name(name)).unwrap().suspect;
    println!("the pool is {}; v: {:?}", pool.mode, suspect("v"));
    assert_eq!(pool.mode, "rw");
    assert!(suspect("v").is_some_and(|why| why.contains("met errors")));
    assert_eq!(suspect("idle"), None);
    let kept = || std::fs::read_to_string(target.join("before")).unwrap();
    assert_eq!(kept(), "is kept");
    stage.data.becomes(Fault::Sound);
    unmount(&engine, "v");
    mount(&engine, "v");
    assert_eq!(suspect("v"), None);
    assert_eq!(kept(), "is kept");
    assert!(
        !target.join("lost+found").exists(),
        "the check leaves nothing of its own"
    );
    engine.look_after_pool();
    assert_eq!(
        suspect("v"),
        None,
        "the filesystem's own count is back to nothing"
    );
    engine.stop().unwrap();
}
