//! Each fault does what its name says, and nothing else.

use super::*;
use crate::MemoryStore;

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn store_with(keys: &[&str]) -> FaultStore<MemoryStore> {
    let memory = MemoryStore::new();
    for text in keys {
        memory
            .put(&key(text), text.as_bytes(), PutMode::Create)
            .unwrap();
    }
    FaultStore::new(memory)
}

#[test]
fn conforms_without_rules() {
    crate::conformance::check(&|| std::sync::Arc::new(FaultStore::new(MemoryStore::new())));
}

#[test]
fn before_has_no_effect_and_after_has() {
    let store = store_with(&[]);
    store.inject(Rule {
        nth: 2,
        ..Rule::on_any(Fault::Before(ErrorKind::Transient))
    });
    store.inject(Rule {
        nth: 3,
        ..Rule::on_any(Fault::After(ErrorKind::Unclear))
    });
    let put = |text: &str| {
        store
            .put(&key(text), b"x", PutMode::Create)
            .map_err(|e| e.kind)
    };
    assert_eq!(put("a"), Ok(Put::Stored));
    assert_eq!(put("b"), Err(ErrorKind::Transient));
    assert_eq!(put("c"), Err(ErrorKind::Unclear));
    assert_eq!(put("c"), Ok(Put::Exists));
    assert_eq!(put("b"), Ok(Put::Stored));
    assert_eq!(store.operations(), 5);
}

#[test]
fn a_kill_stops_the_world_until_revived() {
    for (fault, stored) in [(Fault::KillBefore, 1), (Fault::KillAfter, 2)] {
        let store = store_with(&[]);
        store.inject(Rule {
            nth: 2,
            verb: Some(Verb::Put),
            ..Rule::on_any(fault)
        });
        let put = |text: &str| store.put(&key(text), b"x", PutMode::Create);
        let _ = put("a").unwrap();
        assert_eq!(put("b").unwrap_err().kind, ErrorKind::Unclear);
        assert!(put("c").is_err() && store.sync().is_err() && store.get(&key("a")).is_err());
        store.revive();
        assert_eq!(store.list("", None, 10).unwrap().entries.len(), stored);
    }
}

#[test]
fn reads_are_distorted_once() {
    let check = |fault: Fault, expected: &[u8]| {
        let store = store_with(&["aaaa", "bbbb"]);
        store.inject(Rule::on_any(fault.clone()));
        assert_eq!(store.get(&key("aaaa")).unwrap(), expected, "{fault:?}");
        assert_eq!(store.get(&key("aaaa")).unwrap(), b"aaaa");
        let store = store_with(&["aaaa", "bbbb"]);
        store.inject(Rule::on_any(fault.clone()));
        assert_eq!(
            store.get_range(&key("aaaa"), 0..4).unwrap(),
            expected,
            "{fault:?}"
        );
    };
    check(Fault::Truncate(1), b"a");
    check(Fault::Flip(9), b"acaa");
    check(Fault::Swap(key("bbbb")), b"bbbb");
}

#[test]
fn listings_lie() {
    let check = |fault: Fault, expected: &[&str]| {
        let store = store_with(&["a", "b", "c", "d"]);
        store.inject(Rule {
            verb: Some(Verb::List),
            ..Rule::on_any(fault.clone())
        });
        store.put(&key("aa"), b"", PutMode::Create).unwrap();
        let page = store.list("", None, 10).unwrap();
        let keys: Vec<_> = page
            .entries
            .iter()
            .map(|entry| entry.key.as_str())
            .collect();
        assert_eq!(keys, expected, "{fault:?}");
        assert!(!page.more);
        assert_eq!(store.list("", None, 10).unwrap().entries.len(), 5);
    };
    check(Fault::StaleList, &["a", "b", "c", "d"]);
    check(Fault::EmptyList, &[]);
    check(Fault::PartialList, &["a", "aa"]);
}
