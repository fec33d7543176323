//! The store for buckets, on real servers.
//!
//! `cargo xtask test` installs the servers and says where they are; each test starts its own and stops it.

#[path = "servers/moto.rs"]
mod moto;

use convoy_objectstore::{
    CloudStore, ErrorKind, Key, Keys, ObjectStore, PutMode, S3Options, conformance,
};
use moto::Moto;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[test]
fn moto_conforms() {
    let server = Moto::start();
    let made = AtomicU64::new(0);
    conformance::check(&|| {
        let n = made.fetch_add(1, Ordering::Relaxed);
        Arc::new(server.store(&format!("a-place/{n}/"))) as Arc<dyn ObjectStore>
    });
}

#[test]
fn wrong_keys_are_told_and_not_shown() {
    let server = Moto::start();
    let secret = "an-absolute-secret".to_owned();
    let options = S3Options {
        keys: Some(Keys {
            secret: secret.clone(),
            ..server.keys()
        }),
        ..server.options()
    };
    let store = CloudStore::s3(moto::BUCKET, None, "", &options).unwrap();
    let key = Key::new("a").unwrap();
    let error = store.put(&key, b"x", PutMode::Create).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Auth);
    let words = convoy_fault::chain(&error);
    assert!(words.contains("SignatureDoesNotMatch"), "{words}");
    assert!(
        !format!("{words}{error:?}{options:?}{store:?}").contains(&secret),
        "{words}"
    );
    assert!(
        convoy_fault::Fault::hint(&error)
            .unwrap()
            .contains("credentials")
    );
}

#[test]
fn a_bucket_that_is_not_there_is_told() {
    let server = Moto::start();
    let store = CloudStore::s3("nobodys", None, "", &server.options()).unwrap();
    let key = Key::new("a").unwrap();
    for error in [
        store.put(&key, b"x", PutMode::Create).unwrap_err(),
        store.get(&key).unwrap_err(),
        store.list("", None, 10).unwrap_err(),
    ] {
        assert_eq!(
            error.kind,
            ErrorKind::Permanent,
            "{}",
            convoy_fault::chain(&error)
        );
        assert!(convoy_fault::chain(&error).contains("NoSuchBucket"));
    }
}

#[test]
fn nobody_there_is_transient() {
    let options = S3Options {
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        keys: Some(Keys {
            id: "id".to_owned(),
            secret: "secret".to_owned(),
            token: None,
        }),
        ..S3Options::default()
    };
    let store = CloudStore::s3("bucket", None, "", &options).unwrap();
    let error = store
        .put(&Key::new("a").unwrap(), b"x", PutMode::Create)
        .unwrap_err();
    assert_eq!(
        error.kind,
        ErrorKind::Transient,
        "{}",
        convoy_fault::chain(&error)
    );
}
