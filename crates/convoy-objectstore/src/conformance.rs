//! What every store must do, as one suite: run it on each, real or fake.
//!
//! It panics with the rule that was broken. It needs nothing of the store but the trait, and leaves
//! its objects behind.

use std::sync::{Arc, Barrier};
use std::thread;

use crate::{Deletion, ErrorKind, Key, ObjectStore, Put, PutMode};

/// Makes a fresh, empty store.
pub type Make<'a> = &'a dyn Fn() -> Arc<dyn ObjectStore>;

/// Runs every check, each on a store of its own.
///
/// # Panics
/// With the broken rule in the message.
pub fn check(make: Make<'_>) {
    check_alone(make);
    one_creator_wins(&make());
}

/// Runs every check but the race of creators: for a model of a store that is not atomic, and is never trusted with
/// more than one writer.
///
/// # Panics
/// With the broken rule in the message.
pub fn check_alone(make: Make<'_>) {
    create_is_create_if_absent(&*make());
    overwrite_replaces(&*make());
    deferred_puts_are_readable_and_syncable(&*make());
    ranges_are_exact(&*make());
    limits_are_kept(&*make());
    absent_objects_are_told(&*make());
    listings_page_in_key_order(&*make());
    prefixes_select_by_text(&*make());
    odd_keys_keep_apart(&*make());
    a_large_object_comes_back(&*make());
    counters_count(&*make());
}

fn key(text: &str) -> Key {
    Key::new(text).expect("the suite's keys are keys")
}

fn create(store: &dyn ObjectStore, text: &str, bytes: &[u8]) -> Put {
    store
        .put(&key(text), bytes, PutMode::Create)
        .expect("a put succeeds")
}

fn read(store: &dyn ObjectStore, text: &str) -> Vec<u8> {
    store
        .get(&key(text))
        .expect("an object that was put can be read")
}

fn create_is_create_if_absent(store: &dyn ObjectStore) {
    assert_eq!(create(store, "log/0/0", b"first"), Put::Stored);
    assert_eq!(
        create(store, "log/0/0", b"second"),
        Put::Exists,
        "a second creation must lose"
    );
    assert_eq!(
        create(store, "log/0/0", b"first"),
        Put::Exists,
        "a repetition is told Exists"
    );
    assert_eq!(
        read(store, "log/0/0"),
        b"first",
        "an existing object keeps its bytes"
    );
    assert_eq!(create(store, "log/0/1", b""), Put::Stored);
    assert_eq!(read(store, "log/0/1"), b"", "an empty object is an object");
    assert_eq!(
        create(store, "log/0/1", b"x"),
        Put::Exists,
        "an empty object exists"
    );
}

fn overwrite_replaces(store: &dyn ObjectStore) {
    for bytes in [&b"one and long"[..], b"two", b""] {
        let put = store
            .put(&key("state/1"), bytes, PutMode::Overwrite)
            .expect("a put succeeds");
        assert_eq!(put, Put::Stored);
        assert_eq!(
            read(store, "state/1"),
            bytes,
            "an overwrite replaces the whole"
        );
    }
}

fn deferred_puts_are_readable_and_syncable(store: &dyn ObjectStore) {
    let deferred = |text: &str, bytes| store.put_deferred(&key(text), bytes).expect("deferred put");
    for n in 0..100 {
        assert_eq!(deferred(&format!("packs/{n:02}/p"), b"pack"), Put::Stored);
    }
    assert_eq!(
        deferred("packs/00/p", b"other"),
        Put::Exists,
        "deferred puts create"
    );
    assert_eq!(create(store, "packs/01/p", b"other"), Put::Exists);
    assert_eq!(
        read(store, "packs/00/p"),
        b"pack",
        "readable before the sync"
    );
    store.sync().expect("a sync succeeds");
    store.sync().expect("a sync of nothing succeeds");
    assert_eq!(read(store, "packs/99/p"), b"pack");
}

fn ranges_are_exact(store: &dyn ObjectStore) {
    assert_eq!(create(store, "r", b"0123456789"), Put::Stored);
    let range = |start, end| {
        store
            .get_range(&key("r"), start..end)
            .map_err(|error| error.kind)
    };
    assert_eq!(range(0, 10).as_deref(), Ok(&b"0123456789"[..]));
    assert_eq!(range(3, 5).as_deref(), Ok(&b"34"[..]));
    assert_eq!(range(10, 10).as_deref(), Ok(&b""[..]));
    assert_eq!(
        range(5, 11),
        Err(ErrorKind::Damaged),
        "a short answer is an error"
    );
    assert_eq!(range(11, 12), Err(ErrorKind::Damaged));
    assert_eq!(range(u64::MAX - 1, u64::MAX), Err(ErrorKind::Damaged));
    assert_eq!(range(5, 4), Err(ErrorKind::Invalid));
}

fn limits_are_kept(store: &dyn ObjectStore) {
    assert_eq!(create(store, "r", b"0123456789"), Put::Stored);
    let at_most = |limit| {
        store
            .get_at_most(&key("r"), limit)
            .map_err(|error| error.kind)
    };
    assert_eq!(at_most(u64::MAX).as_deref(), Ok(&b"0123456789"[..]));
    assert_eq!(at_most(10).as_deref(), Ok(&b"0123456789"[..]));
    assert_eq!(at_most(9), Err(ErrorKind::Damaged), "larger is damaged");
    assert_eq!(at_most(0), Err(ErrorKind::Damaged));
    let absent = store.get_at_most(&key("absent"), 1);
    assert_eq!(absent.map_err(|e| e.kind), Err(ErrorKind::NotFound));
}

fn absent_objects_are_told(store: &dyn ObjectStore) {
    let missing = key("nowhere/at-all");
    let expect_absent = || {
        assert_eq!(
            store.get(&missing).map_err(|e| e.kind),
            Err(ErrorKind::NotFound)
        );
        let range = store.get_range(&missing, 0..1).map_err(|e| e.kind);
        assert_eq!(range, Err(ErrorKind::NotFound));
        assert_eq!(store.size(&missing).expect("size answers"), None);
    };
    expect_absent();
    let page = store.list("", None, 10).expect("an empty store lists");
    assert!(page.entries.is_empty() && !page.more);
    assert_eq!(create(store, "nowhere/at-all", b"abc"), Put::Stored);
    assert_eq!(store.size(&missing).expect("size answers"), Some(3));
    assert_eq!(
        store.delete(&missing).expect("delete answers"),
        Deletion::Deleted
    );
    expect_absent();
    store
        .delete(&missing)
        .expect("deleting what is absent is no error");
    assert_eq!(create(store, "nowhere/at-all", b"again"), Put::Stored);
}

fn listings_page_in_key_order(store: &dyn ObjectStore) {
    let mut expected: Vec<String> = (0..1100).map(|n| format!("l/{n:05}")).collect();
    expected.extend((0..30).map(|n| format!("l/d{}/{n}", n % 7)));
    expected.sort();
    for text in expected.iter().rev() {
        let put = store
            .put_deferred(&key(text), text.as_bytes())
            .expect("deferred put");
        assert_eq!(put, Put::Stored);
    }
    for limit in [100_000, 1000, 97] {
        let found = list_all(store, "l/", limit);
        assert_eq!(
            found, expected,
            "all keys, each once, in order, with pages of {limit}"
        );
    }
    let page = store
        .list("l/", Some(&key("l/01098")), 1)
        .expect("a list succeeds");
    assert!(page.more, "more must be told");
    let entry = page.entries.first().expect("one entry");
    assert_eq!((entry.key.as_str(), entry.size), ("l/01099", 7));
}

fn list_all(store: &dyn ObjectStore, prefix: &str, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store
            .list(prefix, after.as_ref(), limit)
            .expect("a list succeeds");
        assert!(page.entries.len() <= limit, "no more than asked for");
        after = page.entries.last().map(|entry| entry.key.clone()).or(after);
        found.extend(
            page.entries
                .into_iter()
                .map(|entry| entry.key.as_str().to_owned()),
        );
        if !page.more {
            return found;
        }
    }
}

fn prefixes_select_by_text(store: &dyn ObjectStore) {
    // `-` and `.` sort before `/`: walking directories naively gives another order.
    let keys = ["a-b/x", "a.b", "a/b/c", "a/bc", "a/z", "a0", "b/a"];
    for text in keys {
        assert_eq!(create(store, text, b"."), Put::Stored);
    }
    let check = |prefix: &str, expected: &[&str]| {
        assert_eq!(list_all(store, prefix, 2), expected, "prefix {prefix:?}");
    };
    check("", &keys);
    check("a", &["a-b/x", "a.b", "a/b/c", "a/bc", "a/z", "a0"]);
    check("a/", &["a/b/c", "a/bc", "a/z"]);
    check("a/b", &["a/b/c", "a/bc"]);
    check("a/b/", &["a/b/c"]);
    check("a/b/c", &["a/b/c"]);
    for nothing in ["a/b/c/", "c", "../", "/", "A", "//"] {
        check(nothing, &[]);
    }
    let page = store
        .list("a/", Some(&key("a/bc")), 10)
        .expect("a list succeeds");
    assert_eq!(page.entries.len(), 1, "after lies within the prefix");
    let page = store
        .list("a/", Some(&key("b")), 10)
        .expect("a list succeeds");
    assert!(page.entries.is_empty(), "after lies behind the prefix");
}

fn odd_keys_keep_apart(store: &dyn ObjectStore) {
    let long = format!("{}/{}", "d".repeat(99), "f".repeat(100));
    let keys = [
        "-", "...", "..a", "-rf", "_", "a..", "con", "nul.txt", "x-/-y", &long,
    ];
    for text in keys {
        assert_eq!(create(store, text, text.as_bytes()), Put::Stored, "{text}");
    }
    for text in keys {
        assert_eq!(read(store, text), text.as_bytes());
    }
}

fn one_creator_wins(store: &Arc<dyn ObjectStore>) {
    const WRITERS: usize = 8;
    for round in 0..20 {
        let barrier = Barrier::new(WRITERS);
        let name = format!("race/{}/{round}", round % 3);
        let attempt = |writer: usize| {
            let bytes = vec![u8::try_from(writer).expect("few writers"); 5000];
            barrier.wait();
            let won = create(&**store, &name, &bytes) == Put::Stored;
            // Whoever was answered sees a whole object, whether it won or lost.
            let seen = read(&**store, &name);
            (won, bytes, seen)
        };
        let outcomes: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..WRITERS)
                .map(|writer| scope.spawn(move || attempt(writer)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no writer panics"))
                .collect()
        });
        let winners: Vec<_> = outcomes.iter().filter(|(won, ..)| *won).collect();
        assert_eq!(winners.len(), 1, "exactly one creator wins");
        for (_, winner, _) in winners {
            assert!(
                outcomes.iter().all(|(.., seen)| seen == winner),
                "all read the winner's bytes"
            );
        }
    }
}

fn a_large_object_comes_back(store: &dyn ObjectStore) {
    let block: Vec<u8> = (0..=u8::MAX).cycle().take((1 << 20) - 1).collect();
    let mut bytes = block.repeat(65);
    bytes.truncate(64 << 20);
    assert_eq!(create(store, "large", &bytes), Put::Stored);
    assert!(read(store, "large") == bytes, "64 MiB come back");
    let end = bytes.len() as u64;
    let tail = store
        .get_range(&key("large"), end - 9..end)
        .expect("the tail");
    assert!(bytes.ends_with(&tail) && tail.len() == 9);
}

fn counters_count(store: &dyn ObjectStore) {
    let before = store.counters();
    create(store, "c", b"12345");
    read(store, "c");
    let after = store.counters();
    assert_eq!(after.puts - before.puts, 1);
    assert_eq!(after.gets - before.gets, 1);
    assert_eq!(after.bytes_out - before.bytes_out, 5);
    assert_eq!(after.bytes_in - before.bytes_in, 5);
}
