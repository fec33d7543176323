//! File systems on thin volumes of a real kernel: what they map, who holds them, what is mounted where.

use crate::pool::{fresh_pool, thin};
use crate::world::World as Scratch;
use convoy_fault::{Fault, Kind};
use convoy_mount::{
    Checked, Error, Filesystem, MakeOptions, MountOptions, Unmounted, check_filesystem, holders,
    make_filesystem, mount, mounted_at, sync_filesystem, targets_of, unmount,
};
use convoy_tests::command::tool as run;
use convoy_thinpool::{Pool, ThinDevice, ThinStatus};
use convoy_units::{Bytes, DevId};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A pool with one volume, taken down again at the end of a test that passes.
struct World {
    dir: PathBuf,
    pool: Pool,
    device: ThinDevice,
    target: PathBuf,
}

fn volume() -> Uuid {
    Uuid::from_u128(1)
}

impl World {
    fn new(n: u128, size: Bytes) -> Self {
        let dir = Scratch::new(&format!("mount-{n}")).dir;
        let target = dir.join("a place");
        std::fs::create_dir(&target).unwrap();
        let pool = fresh_pool(n);
        pool.create_thin(DevId::new(1).unwrap()).unwrap();
        let device = pool.activate_thin(&thin(1, size)).unwrap();
        Self {
            dir,
            pool,
            device,
            target,
        }
    }

    fn number(&self) -> (u32, u32) {
        (self.device.number.major, self.device.number.minor)
    }

    fn make(&self) {
        make_filesystem(&self.device.node, Filesystem::Ext4, &MakeOptions::default()).unwrap();
    }

    fn mount(&self, options: &MountOptions) -> Result<(), Error> {
        mount(&self.device.node, &self.target, Filesystem::Ext4, options)
    }

    fn mapped(&self) -> Bytes {
        match self.pool.thin_status(volume()).unwrap() {
            ThinStatus::Working { mapped, .. } => mapped.bytes().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn end(self) {
        self.pool.deactivate_thin(volume()).unwrap();
        self.pool.deactivate().unwrap();
        std::fs::remove_dir(&self.target).unwrap();
    }
}

#[test]
fn an_ext4_of_100_gib_maps_at_most_50_mib() {
    let world = World::new(20, Bytes::gib(100));
    world.make();
    let made = world.mapped();
    world.mount(&MountOptions::default()).unwrap();
    std::thread::sleep(Duration::from_secs(12));
    sync_filesystem(&world.target, world.number()).unwrap();
    let mapped = world.mapped();
    println!("ext4 of 100 GiB: {made} mapped by mkfs, {mapped} 12 s after the first mount");
    assert!(mapped <= Bytes::mib(50), "{mapped}");
    let entries = std::fs::read_dir(&world.target).unwrap().count();
    assert_eq!(entries, 0, "an empty volume is an empty folder");
    assert_eq!(
        unmount(&world.target, world.number()).unwrap(),
        Unmounted::Unmounted
    );
    assert_eq!(
        check_filesystem(&world.device.node, Filesystem::Ext4).unwrap(),
        Checked::Clean
    );
    world.end();
}

#[test]
fn mount_truth_is_the_kernels() {
    let world = World::new(21, Bytes::gib(1));
    world.make();
    let options = MountOptions {
        extra: vec!["noatime".into()],
        ..MountOptions::default()
    };
    world.mount(&options).unwrap();
    world.mount(&options).expect("mounted already is success");
    let entry = mounted_at(&world.target).unwrap().unwrap();
    assert_eq!(
        (entry.device, entry.fs_type.as_str()),
        (world.number(), "ext4")
    );
    for option in ["rw", "nodev", "nosuid", "noatime"] {
        assert!(
            entry.options.iter().any(|found| found == option),
            "{option}: {entry:?}"
        );
    }
    assert_eq!(
        targets_of(world.number()).unwrap(),
        std::slice::from_ref(&world.target)
    );
    // A name that begins like a mounted one is not mounted.
    let longer = PathBuf::from(format!("{}0", world.target.display()));
    std::fs::create_dir(&longer).unwrap();
    assert_eq!(mounted_at(&longer).unwrap(), None);
    let through_link = world.dir.join("link");
    std::os::unix::fs::symlink(&world.target, &through_link).unwrap();
    assert!(mounted_at(&through_link).unwrap().is_some());
    let other = mount(
        &world.device.node,
        Path::new("/proc"),
        Filesystem::Ext4,
        &options,
    );
    assert_eq!(other.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(
        unmount(&through_link, world.number()).unwrap(),
        Unmounted::Unmounted
    );
    assert_eq!(
        unmount(&world.target, world.number()).unwrap(),
        Unmounted::NotMounted
    );
    std::fs::remove_dir(&longer).unwrap();
    std::fs::remove_file(&through_link).unwrap();
    world.end();
}

#[test]
fn who_holds_a_mount_is_named() {
    let world = World::new(22, Bytes::gib(1));
    world.make();
    world.mount(&MountOptions::default()).unwrap();
    let file = world.target.join("file");
    let mut sleepers = [
        Command::new("sleep")
            .arg("600")
            .current_dir(&world.target)
            .spawn()
            .unwrap(),
        Command::new("sleep")
            .arg("600")
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&file).unwrap())
            .spawn()
            .unwrap(),
    ];
    let error = unmount(&world.target, world.number()).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    let text = error.to_string();
    for sleeper in &sleepers {
        assert!(
            text.contains(&format!("sleep (pid {}", sleeper.id())),
            "{text}"
        );
    }
    for sleeper in &mut sleepers {
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
    assert_eq!(holders(world.number()), []);
    unmount(&world.target, world.number()).unwrap();
    world.end();
}

/// A child that was just forked for another verb had the folder open, and an unmount in that moment was
/// refused, with nobody to name.
#[test]
fn what_holds_a_mount_for_a_moment_is_waited_for() {
    let world = World::new(25, Bytes::gib(1));
    world.make();
    world.mount(&MountOptions::default()).unwrap();
    let folder = std::fs::File::open(&world.target).unwrap();
    let holder = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(folder);
    });
    unmount(&world.target, world.number()).unwrap();
    holder.join().unwrap();
    world.end();
}

#[test]
fn a_mount_in_another_namespace_is_named() {
    let world = World::new(23, Bytes::gib(1));
    world.make();
    world.mount(&MountOptions::default()).unwrap();
    let mut other = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sleep", "600"])
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while convoy_tests::command::runs(other.id()) != "sleep" {
        assert!(begin.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    unmount(&world.target, world.number()).unwrap();
    let found = holders(world.number());
    assert!(
        found.iter().any(|holder| holder.pid == other.id()),
        "{found:?}"
    );
    let error = world.pool.deactivate_thin(volume()).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    other.kill().unwrap();
    other.wait().unwrap();
    world.end();
}

#[test]
fn a_snapshot_of_a_mounted_volume_is_consistent_and_the_volume_goes_on() {
    let world = World::new(24, Bytes::gib(1));
    world.make();
    world.mount(&MountOptions::default()).unwrap();
    std::fs::write(world.target.join("before"), vec![7; 1 << 20]).unwrap();
    sync_filesystem(&world.target, world.number()).unwrap();
    let snapshot = DevId::new(2).unwrap();
    let take = || world.pool.create_snapshot(snapshot, DevId::new(1).unwrap());
    let ((), held) = world.pool.while_suspended(volume(), take).unwrap();
    println!("a mounted file system was held for {held:?}");
    // A second one under a taken number fails, and the file system goes on.
    world.pool.while_suspended(volume(), take).unwrap_err();
    std::fs::write(world.target.join("after"), "x").unwrap();
    sync_filesystem(&world.target, world.number()).unwrap();
    let device = world.pool.activate_thin(&thin(2, Bytes::gib(1))).unwrap();
    let checked = check_filesystem(&device.node, Filesystem::Ext4).unwrap();
    assert!(matches!(checked, Checked::Clean | Checked::Repaired));
    let beside = world.dir.join("beside");
    std::fs::create_dir(&beside).unwrap();
    let options = MountOptions {
        read_only: true,
        ..MountOptions::default()
    };
    mount(&device.node, &beside, Filesystem::Ext4, &options).unwrap();
    assert_eq!(
        std::fs::read(beside.join("before")).unwrap(),
        vec![7; 1 << 20]
    );
    assert!(!beside.join("after").exists());
    assert!(std::fs::write(beside.join("x"), "x").is_err());
    let beside_number = (device.number.major, device.number.minor);
    unmount(&beside, beside_number).unwrap();
    // metadata_csum_seed: a clone gets its own UUID at once.
    run("tune2fs", &["-U", "random", device.node.to_str().unwrap()]);
    world.pool.deactivate_thin(Uuid::from_u128(2)).unwrap();
    unmount(&world.target, world.number()).unwrap();
    std::fs::remove_dir(&beside).unwrap();
    world.end();
}
