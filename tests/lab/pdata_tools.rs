//! The helper tools on metadata that the kernel makes: byte for byte what Debian's print, live through a metadata
//! snapshot and offline; and hands off a pool in use otherwise.

use crate::world::World;
use convoy_tests::command::{Ran, run};
use convoy_tests::programs;
use convoy_thinpool::{KernelControl, Pool, PoolSpec, ThinSpec, blockdev};
use convoy_units::{ByteRange, Bytes, DataBlockSize, DevId, Sectors};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use uuid::Uuid;

const BLOCK: u64 = 64 << 10;
/// Enough for mapping trees of several leaves: one holds 252 mappings.
const BLOCKS: u64 = 1024;
const COLUMNS: &str = "DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS,SHARED_SECTORS,MAPPED_BYTES,EXCLUSIVE,SHARED,TRANSACTION,CREATE_TIME,SNAP_TIME";
/// What is compared: answers that both give.
const LINES: &[&str] = &[
    "thin_delta --snap1 1 --snap2 2",
    "thin_delta --snap1 3 --snap2 1 --verbose",
    "thin_delta --snap1 2 --snap2 3",
    "thin_dump",
    "thin_dump -f human_readable --dev-id 2 --dev-id 3",
    "thin_dump --skip-mappings",
    "thin_ls",
];

fn id(n: u64) -> DevId {
    DevId::new(n).unwrap()
}

fn uuid(n: u64) -> Uuid {
    Uuid::from_u128(u128::from(n))
}

struct Lab {
    _world: World,
    metadata: PathBuf,
    data: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let world = World::new("pdata_tools");
        let metadata = world.disk("metadata", Bytes::mib(16)).into();
        let data = world.disk("data", Bytes::gib(1)).into();
        Self {
            _world: world,
            metadata,
            data,
        }
    }

    fn pool(&self) -> Pool {
        let spec = PoolSpec {
            name: "looked-into".parse().unwrap(),
            uuid: uuid(1000),
            metadata: self.metadata.clone(),
            metadata_len: None,
            data: self.data.clone(),
            block_size: DataBlockSize::new(Sectors(BLOCK / 512)).unwrap(),
            low_water: 16,
            error_if_no_space: true,
        };
        Pool::activate(Arc::new(KernelControl::open().unwrap()), &spec).unwrap()
    }

    /// Our tool under its name as a subcommand.
    fn ours(&self, line: &str) -> Ran {
        let mut command = Command::new(programs().join("convoy-pdata_tools"));
        run(command.args(line.split(' ')).arg(&self.metadata))
    }

    /// Debian's.
    fn theirs(&self, line: &str) -> Ran {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        run(command.args(words).arg(&self.metadata))
    }

    #[track_caller]
    fn same(&self, line: &str) {
        let (ours, theirs) = (self.ours(line), self.theirs(line));
        assert_eq!(ours.ok(), theirs.ok(), "{line}");
        assert!(ours.stdout == theirs.stdout, "{line}: the last line feed");
    }

    /// Everything alike, with these options besides.
    #[track_caller]
    fn all_same(&self, options: &str) {
        for line in LINES {
            self.same(&format!("{line}{options}"));
        }
        self.same(&format!("thin_ls -o {COLUMNS}{options}"));
    }
}

/// Writes every `step`-th block of a device from `begin` to `end`.
fn write(pool: &Pool, n: u64, blocks: std::ops::Range<u64>, step: usize) {
    let node = activate(pool, n);
    let file = OpenOptions::new().write(true).open(&node).unwrap();
    for block in blocks.step_by(step) {
        file.write_all_at(&[1; 512], block * BLOCK).unwrap();
    }
    file.sync_all().unwrap();
    drop(file);
    pool.deactivate_thin(uuid(n)).unwrap();
}

fn discard(pool: &Pool, n: u64, blocks: std::ops::Range<u64>) {
    let range = ByteRange {
        begin: blocks.start * BLOCK,
        end: blocks.end * BLOCK,
    };
    blockdev::discard(&activate(pool, n), range).unwrap();
    pool.deactivate_thin(uuid(n)).unwrap();
}

fn activate(pool: &Pool, n: u64) -> PathBuf {
    let spec = ThinSpec {
        uuid: uuid(n),
        dev_id: id(n),
        size: Sectors(BLOCKS * BLOCK / 512),
        read_only: false,
    };
    pool.activate_thin(&spec).unwrap().node
}

/// Three devices that share and differ in every way.
fn history(pool: &Pool) {
    pool.create_thin(id(1)).unwrap();
    write(pool, 1, 0..700, 1);
    pool.create_snapshot(id(2), id(1)).unwrap();
    write(pool, 2, 0..400, 7);
    write(pool, 2, 900..950, 1);
    discard(pool, 2, 500..520);
    pool.create_snapshot(id(3), id(2)).unwrap();
    write(pool, 3, 300..310, 1);
    write(pool, 1, 960..961, 1);
    discard(pool, 1, 0..5);
}

#[test]
fn answers_are_debians_on_a_pool_in_use_and_on_one_at_rest() {
    let lab = Lab::new();
    let pool = lab.pool();
    history(&pool);
    let in_use = [
        "thin_dump",
        "thin_ls",
        "thin_check",
        "thin_delta --snap1 1 --snap2 2",
    ];
    for line in in_use {
        let ours = lab.ours(line);
        assert_eq!(ours.code, Some(1), "{line}");
        assert!(ours.stdout.is_empty(), "{line}");
        assert!(ours.stderr.contains("is in use"), "{}", ours.stderr);
        assert_eq!(lab.theirs(line).code, Some(1), "{line}");
        let none = lab.ours(&format!("{line} -m"));
        assert_eq!(none.code, Some(1), "{line}");
        assert!(
            none.stderr.contains("holds no metadata snapshot"),
            "{}",
            none.stderr
        );
    }

    let held = pool.reserve_metadata_snapshot().unwrap();
    // What happens from here on is not in the held state.
    write(&pool, 2, 600..640, 3);
    pool.create_snapshot(id(4), id(1)).unwrap();
    lab.all_same(" -m");
    lab.same(&format!("thin_dump -m{}", held.root()));
    lab.same(&format!(
        "thin_delta --snap1 1 --snap2 3 --metadata-snap={}",
        held.root()
    ));
    assert_eq!(
        (
            lab.ours("thin_check -m").code,
            lab.theirs("thin_check -m").code
        ),
        (Some(0), Some(0))
    );
    assert_eq!(
        lab.ours("thin_delta --snap1 1 --snap2 4 -m").code,
        Some(1),
        "4 came later"
    );
    held.release().unwrap();

    pool.deactivate().unwrap();
    lab.all_same("");
    lab.same("thin_delta --snap1 1 --snap2 4");
    for options in ["", " --skip-mappings", " --super-block-only"] {
        let line = format!("thin_check{options}");
        let (ours, theirs) = (lab.ours(&line), lab.theirs(&line));
        assert_eq!(
            ours.ok().lines().next(),
            theirs.ok().lines().next(),
            "{line}"
        );
    }
    let kept = lab.ours(&format!("thin_dump -o {}", lab.data.display()));
    assert_eq!(kept.code, Some(1));
    assert!(
        kept.stderr.contains("it is a block device"),
        "{}",
        kept.stderr
    );
}
