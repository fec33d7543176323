//! Repositories as the original left them, whole, damaged and hostile.

use super::*;
use crate::patience::Impatient;
use convoy_fault::{Fault as _, Kind};
use convoy_objectstore::{
    Deletion, Error as StoreError, ErrorKind, Fault, FaultStore, MemoryStore, ObjectStore, Page,
    Put, PutMode, Rule, Verb,
};
use convoy_testkit::original::{
    self, Generation, Repository, Snapshot, backup_path, blocks, directory, uuid,
};
use convoy_units::Bytes;

const MIB: u64 = 1 << 20;

fn snapshot(name: &str, of: &[(u64, u64)]) -> Snapshot {
    Snapshot {
        name: name.to_owned(),
        blocks: blocks(of),
    }
}

fn stored(repository: &Repository) -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    for (path, bytes) in &repository.objects {
        let key = Key::of_original(path).unwrap();
        store.put(&key, bytes, PutMode::Create).unwrap();
    }
    Arc::new(store)
}

fn open(store: Arc<dyn ObjectStore>) -> Original {
    Original::new(ReadOnlyStore::new(store), Arc::new(Impatient))
}

fn over(repository: &Repository) -> Original {
    open(stored(repository))
}

/// All blocks of a backup, in a volume of this size.
#[track_caller]
fn content(original: &Original, volume: &str, backup: &str, size: u64) -> Vec<u8> {
    let backup = original.backup(volume, backup).unwrap();
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    let mut plain = Vec::new();
    for block in &backup.blocks {
        original
            .read_block(&backup.facts, block, &mut plain)
            .unwrap();
        let at = usize::try_from(block.offset).unwrap();
        bytes[at..at + plain.len()].copy_from_slice(&plain);
    }
    bytes
}

#[test]
fn a_chain_of_increments_is_read_backup_by_backup() {
    for generation in [Generation::Names, Generation::Uuids] {
        let mut written = Repository::new(generation);
        let volume = match generation {
            Generation::Names => "vol1".to_owned(),
            Generation::Uuids => uuid(1),
        };
        let size = 16 * MIB;
        let s1 = snapshot("s1", &[(0, 1), (1, 2), (5, 3)]);
        let s2 = snapshot("s2", &[(0, 1), (1, 9), (7, 4)]);
        let b1 = written.back_up(&volume, size, &s1, &[&s1]);
        let b2 = written.back_up(&volume, size, &s2, &[&s1, &s2]);
        let original = over(&written);
        for backup in [&b1, &b2] {
            let expected = written.restored(&volume, backup, 16 << 20);
            assert!(content(&original, &volume, backup, size) == expected);
        }
        let facts = original.backup(&volume, &b2).unwrap().facts;
        assert_eq!(facts.volume_size, Some(Bytes(size)));
        assert_eq!(facts.driver, "devicemapper");
        assert_eq!(facts.created.unwrap().to_string(), "2015-11-22T08:04:40Z");
        assert_eq!((facts.problem, facts.is_single_file), (None, false));
        if generation == Generation::Uuids {
            assert_eq!(facts.volume_name, original::label(&volume));
            assert_eq!(facts.filesystem.as_deref(), Some("ext4"));
            assert_eq!(facts.directory.name(), volume);
        } else {
            assert_eq!((&*facts.volume_name, &*facts.snapshot_name), ("vol1", "s2"));
        }
    }
}

#[test]
fn what_the_original_mixed_up_is_read_as_it_would_restore_it() {
    let mut written = Repository::new(Generation::Names);
    let s1 = snapshot("s1", &[(0, 1), (1, 2), (5, 3), (7, 4)]);
    let s2 = snapshot("s2", &[(0, 1), (1, 2), (5, 9)]);
    written.back_up("vol1", 16 * MIB, &s1, &[]);
    // The base is gone, so this is a full backup; and block 7, discarded since, comes back.
    let merged = written.back_up("vol1", 16 * MIB, &s2, &[&s2]);
    let bytes = content(&over(&written), "vol1", &merged, 16 * MIB);
    assert!(bytes == written.restored("vol1", &merged, 16 << 20));
    assert!(
        bytes[14 << 20..] == original::block(4)[..],
        "the mistake is in the backup"
    );
}

#[test]
fn deleting_one_leaves_the_others_readable() {
    let mut written = Repository::new(Generation::Names);
    let s1 = snapshot("s1", &[(0, 1), (1, 2)]);
    let s2 = snapshot("s2", &[(0, 1), (1, 3)]);
    let b1 = written.back_up("ab", 4 * MIB, &s1, &[&s1]);
    let b2 = written.back_up("ab", 4 * MIB, &s2, &[&s1, &s2]);
    written.delete("ab", &b1);
    let original = over(&written);
    assert!(content(&original, "ab", &b2, 4 * MIB) == written.restored("ab", &b2, 4 << 20));
    assert!(content(&original, "ab!!", &b2, 4 * MIB) == written.restored("ab", &b2, 4 << 20));
    assert_eq!(
        original.backup("ab", &b1).unwrap_err().kind(),
        Kind::NotFound
    );
    written.delete("ab", &b2);
    assert_eq!(over(&written).list(None).unwrap(), []);
}

#[test]
fn all_are_listed_without_a_look_at_blocks() {
    let mut written = Repository::new(Generation::Names);
    let mut made = Vec::new();
    for volume in ["ab", "data", "data-2", "data0", "data2", "x"] {
        let s1 = snapshot("s1", &[(0, 1), (1, 2)]);
        let s2 = snapshot("s2", &[(0, 3)]);
        let mut both = vec![
            (volume, written.back_up(volume, 4 * MIB, &s1, &[])),
            (volume, written.back_up(volume, 4 * MIB, &s2, &[&s1])),
        ];
        both.sort();
        made.extend(both);
    }
    // What is not the original's lies there too, deep and much.
    for n in 0..50 {
        written
            .objects
            .insert(format!("volumes/flat/blocks/ab/cd/{n}.blk"), vec![]);
        written
            .objects
            .insert(format!("volumes/zz/zz/_odd/blocks/{n}"), vec![]);
    }
    written
        .objects
        .insert("volumes/ab/!!/ab!!/backups/backup_.cfg".to_owned(), vec![]);
    written.objects.insert("volumes/readme".to_owned(), vec![]);
    let store = stored(&written);
    let original = open(store.clone());
    let listed = original.list(None).unwrap();
    let names: Vec<(&str, String)> = listed
        .iter()
        .map(|facts| (facts.directory.name(), facts.name.clone()))
        .collect();
    made.sort();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(sorted, made);
    assert!(listed.iter().all(|facts| facts.problem.is_none()));
    // Two listings a volume, three for what is none, the last; each volume's text and each backup's.
    assert_eq!(store.counters().lists, 6 * 2 + 4);
    assert_eq!(store.counters().gets, 6 + 12);
    let of_one = original.list(Some("data")).unwrap();
    assert_eq!(of_one.len(), 2);
    assert!(of_one.iter().all(|facts| facts.volume_name == "data"));
    assert_eq!(original.list(Some("dat")).unwrap(), []);
}

#[test]
fn a_volume_of_the_first_generation_is_found_by_its_name_and_its_uuid() {
    let mut written = Repository::new(Generation::Uuids);
    let volume = uuid(3);
    written.back_up(&volume, 4 * MIB, &snapshot(&uuid(4), &[(0, 1)]), &[]);
    let original = over(&written);
    for name in [&volume, &original::label(&volume)] {
        let found = original.list(Some(name)).unwrap();
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0].snapshot.unwrap().to_string(), uuid(4));
    }
}

#[test]
fn more_backups_than_a_page_are_all_there() {
    let mut written = Repository::new(Generation::Names);
    let name = written.back_up("vol1", 4 * MIB, &snapshot("s", &[]), &[]);
    let text = written.objects.remove(&backup_path("vol1", &name)).unwrap();
    let text = String::from_utf8(text).unwrap();
    for n in 0..2345 {
        let other = format!("backup-{n:016x}");
        written.objects.insert(
            backup_path("vol1", &other),
            text.replace(&name, &other).into_bytes(),
        );
    }
    let listed = over(&written).list(None).unwrap();
    assert_eq!(listed.len(), 2345);
    assert!(listed.iter().all(|facts| facts.problem.is_none()));
}

#[test]
fn one_damaged_text_hides_no_other_backup() {
    let mut written = Repository::new(Generation::Names);
    let s = snapshot("s1", &[(0, 1)]);
    let good = written.back_up("vol1", 4 * MIB, &s, &[]);
    let bad = written.back_up("vol1", 4 * MIB, &s, &[]);
    for (text, what) in [
        ("", "it is empty"),
        ("{", "EOF"),
        ("[]", "no JSON object"),
        ("{\"Name\":\"NAME\",\"New\":\"\u{1}\"}", "control character"),
        ("{}", "it does not say what it is of"),
        (
            r#"{"Name":null,"VolumeName":"vol1"}"#,
            "it does not say what it is of",
        ),
        ("{} {}", "trailing"),
        (r#"{"Name":"other"}"#, "it is of backup \"other\""),
        (
            r#"{"Name":"NAME","VolumeName":"vol2"}"#,
            "it is of volume \"vol2\"",
        ),
        (r#"{"Name":"x","Name":"y"}"#, "duplicate"),
        (
            r#"{"Blocks":[{"Offset":1,"BlockChecksum":"X"}]}"#,
            "64 hexadecimal digits",
        ),
        (
            r#"{"Blocks":[{"Offset":-1,"BlockChecksum":"X"}]}"#,
            "invalid value",
        ),
        (
            r#"{"Blocks":[{"BlockChecksum":"../../../etc/passwd"}]}"#,
            "64 hexadecimal digits",
        ),
    ] {
        let text = text.replace("NAME", &bad);
        written
            .objects
            .insert(backup_path("vol1", &bad), text.into());
        let original = over(&written);
        let error = original.backup("vol1", &bad).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{error}");
        assert!(error.to_string().contains(what), "{error}");
        assert!(
            error.to_string().contains(&format!("backup_{bad}.cfg")),
            "{error}"
        );
        let listed = original.list(None).unwrap();
        assert_eq!(listed.len(), 2);
        for facts in listed {
            let problem = facts.problem.unwrap_or_default();
            assert_eq!(problem.contains(what), facts.name == bad, "{problem}");
            assert!(facts.name == good || facts.name == bad);
        }
    }
}

#[test]
fn offsets_are_multiples_in_order_and_within_reason() {
    let zeros = "731859029215873fdac1c9f2f8bd25a334abf0f3a9e1b057cf2cacc2826d86b0";
    let check = |offsets: &[u64], what: Option<&str>| {
        let each = offsets
            .iter()
            .map(|offset| format!(r#"{{"Offset":{offset},"BlockChecksum":"{zeros}"}}"#));
        let text = format!(r#"{{"Blocks":[{}]}}"#, each.collect::<Vec<_>>().join(","));
        match (wire::backup(text.as_bytes()), what) {
            (Ok(backup), None) => assert_eq!(backup.blocks.0.len(), offsets.len()),
            (Err(error), Some(what)) => assert!(error.contains(what), "{error}"),
            (read, _) => panic!("{offsets:?}: {read:?}"),
        }
    };
    let last = (i64::MAX.cast_unsigned() / BLOCK - 1) * BLOCK;
    check(&[0, BLOCK, 7 * BLOCK, last], None);
    check(&[1], Some("no block begins at 1"));
    check(&[last + BLOCK], Some("no block begins"));
    check(&[u64::MAX - BLOCK + 1], Some("no block begins"));
    check(&[BLOCK, 0], Some("out of order"));
    check(&[BLOCK, BLOCK], Some("out of order"));
    for text in [
        r#"{"Blocks":null}"#,
        r#"{"Blocks":[],"SingleFile":null,"New":{"a":[1]}}"#,
        "{}",
    ] {
        assert_eq!(
            wire::backup(text.as_bytes()).unwrap().blocks,
            wire::Blocks::default()
        );
    }
}

#[test]
fn a_lost_volume_text_costs_the_size_and_no_backup() {
    let mut written = Repository::new(Generation::Names);
    let name = written.back_up("vol1", 4 * MIB, &snapshot("s1", &[(0, 1)]), &[]);
    let config = format!("{}/volume.cfg", directory("vol1"));
    for (text, what) in [
        (None, "is gone"),
        (Some(""), "it is empty"),
        (Some("{}"), "it does not say what it is of"),
        (
            Some(r#"{"Name":"other","Size":4194304}"#),
            "of volume \"other\"",
        ),
    ] {
        match text {
            None => drop(written.objects.remove(&config)),
            Some(text) => drop(written.objects.insert(config.clone(), text.into())),
        }
        let original = over(&written);
        let backup = original.backup("vol1", &name).unwrap();
        assert_eq!(backup.facts.volume_size, None);
        assert!(
            backup.facts.problem.as_ref().unwrap().contains(what),
            "{backup:?}"
        );
        assert_eq!(backup.end(), Bytes(BLOCK));
        assert!(
            content(&original, "vol1", &name, 4 * MIB) == written.restored("vol1", &name, 4 << 20)
        );
        assert_eq!(original.list(Some("vol1")).unwrap(), [backup.facts]);
    }
}

#[test]
fn a_later_larger_volume_of_the_same_name_is_told() {
    let mut written = Repository::new(Generation::Names);
    written.back_up("vol1", 4 * MIB, &snapshot("s1", &[(0, 1)]), &[]);
    let name = written.back_up("vol1", 16 * MIB, &snapshot("s2", &[(6, 2)]), &[]);
    let backup = over(&written).backup("vol1", &name).unwrap();
    assert_eq!(backup.facts.volume_size, Some(Bytes(4 * MIB)));
    assert_eq!(backup.end(), Bytes(14 * MIB));
    assert!(backup.facts.problem.unwrap().contains("larger"));
}

#[test]
fn damaged_blocks_are_named() {
    let mut written = Repository::new(Generation::Names);
    let name = written.back_up("vol1", 4 * MIB, &snapshot("s1", &[(1, 7)]), &[]);
    let path = original::block_path("vol1", &original::checksum(&original::block(7)));
    let whole = written.objects[&path].clone();
    let check = |bytes: Option<Vec<u8>>, what: &str| {
        let mut written = written.clone();
        match bytes {
            None => drop(written.objects.remove(&path)),
            Some(bytes) => drop(written.objects.insert(path.clone(), bytes)),
        }
        let original = over(&written);
        let backup = original.backup("vol1", &name).unwrap();
        let error = original
            .read_block(&backup.facts, &backup.blocks[0], &mut Vec::new())
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity);
        assert!(error.is_of_one_object());
        let text = convoy_fault::chain(&error);
        assert!(text.contains(what) && text.contains(&path), "{text}");
    };
    check(None, "gone");
    check(Some(vec![]), "no whole gzip stream");
    check(
        Some(whole[..whole.len() - 9].to_vec()),
        "no whole gzip stream",
    );
    check(Some(original::pack(&original::block(8))), "checksum");
    check(
        Some(original::pack(&original::block(7)[1..])),
        "2097151 bytes",
    );
    check(Some(vec![0; 3 << 20]), "3145728 bytes");
}

#[test]
fn a_single_file_is_told_apart() {
    let mut written = Repository::new(Generation::Names);
    let name = written.back_up_directory("files", b"a tar archive");
    let backup = over(&written).backup("files", &name).unwrap();
    assert!(backup.facts.is_single_file && backup.blocks.is_empty());
    assert_eq!(
        (&*backup.facts.driver, backup.facts.volume_size),
        ("vfs", None)
    );
    assert_eq!(backup.facts.problem, None);
}

#[test]
fn names_that_lead_elsewhere_ask_the_store_nothing() {
    let store = stored(&Repository::new(Generation::Names));
    let original = open(store.clone());
    for (volume, backup) in [
        ("..", "b"),
        ("vol1", "../../x"),
        ("a/b", "b"),
        ("", ""),
        ("vol1", "b!"),
    ] {
        assert_eq!(
            original.backup(volume, backup).unwrap_err().kind(),
            Kind::NotFound
        );
    }
    assert_eq!(store.counters().requests(), 0);
}

#[test]
fn a_store_out_of_sorts_is_asked_again_and_a_lost_one_is_an_error() {
    let mut written = Repository::new(Generation::Names);
    let name = written.back_up("vol1", 4 * MIB, &snapshot("s1", &[(0, 1)]), &[]);
    let bytes = written.restored("vol1", &name, 4 << 20);
    for (kind, times, answered) in [
        (ErrorKind::Transient, 2, true),
        (ErrorKind::Throttled, 2, true),
        (ErrorKind::Transient, u64::MAX, false),
        (ErrorKind::Throttled, u64::MAX, false),
    ] {
        for verb in [Verb::Get, Verb::List] {
            let store = FaultStore::new(stored(&written));
            store.inject(Rule {
                verb: Some(verb),
                times,
                ..Rule::on_any(Fault::Before(kind))
            });
            let original = open(Arc::new(store));
            let listed = original.list(None);
            if answered {
                assert_eq!(listed.unwrap().len(), 1);
                assert!(content(&original, "vol1", &name, 4 * MIB) == bytes);
            } else {
                // Never "no backups", and never a backup that is called damaged.
                let error = listed.unwrap_err();
                assert_eq!(error.kind(), Kind::DestinationUnavailable, "{error}");
            }
        }
    }
}

#[test]
fn wrong_bytes_are_never_given_out() {
    let mut written = Repository::new(Generation::Names);
    let name = written.back_up("vol1", 4 * MIB, &snapshot("s1", &[(0, 1)]), &[]);
    let path = original::block_path("vol1", &original::checksum(&original::block(1)));
    let other = Key::of_original(format!("{}/volume.cfg", directory("vol1"))).unwrap();
    for fault in [
        Fault::Truncate(1000),
        Fault::Truncate(0),
        Fault::Flip(77),
        Fault::Flip(8_000_000),
        Fault::Swap(other),
    ] {
        let store = FaultStore::new(stored(&written));
        store.inject(Rule {
            prefix: path.clone(),
            times: u64::MAX,
            ..Rule::on_any(fault.clone())
        });
        let original = open(Arc::new(store));
        let backup = original.backup("vol1", &name).unwrap();
        let mut plain = Vec::new();
        let read = original.read_block(&backup.facts, &backup.blocks[0], &mut plain);
        // A flipped bit of the header may mean nothing; wrong bytes are always found out.
        assert!(read.is_err() || plain == original::block(1), "{fault:?}");
        assert!(
            read.is_err() || matches!(fault, Fault::Flip(_)),
            "{fault:?}"
        );
    }
}

#[test]
fn a_store_that_lists_in_circles_is_found_out() {
    /// Ignores where to go on from.
    #[derive(Debug)]
    struct Circle(Arc<MemoryStore>);

    impl ObjectStore for Circle {
        fn put(&self, _: &Key, _: &[u8], _: PutMode) -> Result<Put, StoreError> {
            unreachable!("nothing is written")
        }
        fn put_deferred(&self, _: &Key, _: &[u8]) -> Result<Put, StoreError> {
            unreachable!("nothing is written")
        }
        fn sync(&self) -> Result<(), StoreError> {
            unreachable!("nothing is written")
        }
        fn get(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
            self.0.get(key)
        }
        fn get_range(&self, key: &Key, range: std::ops::Range<u64>) -> Result<Vec<u8>, StoreError> {
            self.0.get_range(key, range)
        }
        fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
            self.0.size(key)
        }
        fn list(&self, prefix: &str, _: Option<&Key>, limit: usize) -> Result<Page, StoreError> {
            self.0.list(prefix, None, limit)
        }
        fn delete(&self, _: &Key) -> Result<Deletion, StoreError> {
            unreachable!("nothing is deleted")
        }
        fn counters(&self) -> Counters {
            self.0.counters()
        }
    }

    let mut written = Repository::new(Generation::Names);
    written.back_up("vol1", 4 * MIB, &snapshot("s1", &[(0, 1)]), &[]);
    let error = open(Arc::new(Circle(stored(&written))))
        .list(None)
        .unwrap_err();
    assert!(matches!(error, Error::StoreLies { .. }), "{error}");
}
