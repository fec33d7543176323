//! The conformance suite on real files, and everything a directory can do to us.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convoy_fault::{Fault, Kind, chain};
use tempfile::TempDir;

use super::*;

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

struct Fixture {
    directory: TempDir,
    store: VfsStore,
}

impl Fixture {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let store = VfsStore::open(directory.path()).unwrap();
        Self { directory, store }
    }

    fn path(&self, text: &str) -> PathBuf {
        self.directory
            .path()
            .join(Folder::Repository.name())
            .join(text)
    }

    fn create(&self, text: &str) -> Result<Put, Error> {
        self.store.put(&key(text), text.as_bytes(), PutMode::Create)
    }

    fn keys(&self) -> Vec<String> {
        let page = self.store.list("", None, 1000).unwrap();
        page.entries
            .iter()
            .map(|entry| entry.key.to_string())
            .collect()
    }
}

#[test]
fn conforms() {
    let directories = std::sync::Mutex::new(Vec::new());
    crate::conformance::check(&|| {
        let directory = TempDir::new().unwrap();
        let store = Arc::new(VfsStore::open(directory.path()).unwrap());
        directories.lock().unwrap().push(directory);
        store
    });
}

#[test]
fn opening_demands_a_directory_and_creates_nothing() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("missing");
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [&missing, &file] {
        let error = VfsStore::open(path).unwrap_err();
        let expected = format!(
            "VFS path {} doesn't exist or is not a directory",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(Fault::kind(&error), Kind::NotFound);
    }
    let store = VfsStore::open(directory.path()).unwrap();
    assert!(store.list("", None, 1).unwrap().entries.is_empty());
    assert_eq!(store.size(&key("config")).unwrap(), None);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn files_and_directories_are_private_and_nothing_temporary_stays() {
    let fixture = Fixture::new();
    assert_eq!(fixture.create("packs/ab/x").unwrap(), Put::Stored);
    fixture
        .store
        .put(&key("state"), b"1", PutMode::Overwrite)
        .unwrap();
    fixture
        .store
        .put_deferred(&key("packs/ab/y"), b"1")
        .unwrap();
    fixture.store.sync().unwrap();
    for (path, mode) in [("", 0o700), ("packs/ab", 0o700), ("packs/ab/x", 0o600)] {
        let metadata = fs::metadata(fixture.path(path)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{path}");
    }
    assert_eq!(fs::metadata(fixture.path("packs/ab/x")).unwrap().nlink(), 1);
    assert_eq!(fs::read_dir(fixture.path("tmp")).unwrap().count(), 0);
}

#[test]
fn two_stores_of_one_directory_see_each_other() {
    let fixture = Fixture::new();
    let other = VfsStore::open(fixture.directory.path()).unwrap();
    assert_eq!(fixture.create("log/0/0").unwrap(), Put::Stored);
    assert_eq!(
        other.put(&key("log/0/0"), b"x", PutMode::Create).unwrap(),
        Put::Exists
    );
    assert_eq!(other.get(&key("log/0/0")).unwrap(), b"log/0/0");
}

#[test]
fn symbolic_links_are_neither_followed_nor_listed() {
    let fixture = Fixture::new();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    assert_eq!(fixture.create("packs/ab/x").unwrap(), Put::Stored);
    symlink(outside.path(), fixture.path("packs/cd")).unwrap();
    symlink(outside.path().join("secret"), fixture.path("packs/ab/link")).unwrap();
    for text in ["packs/cd/secret", "packs/ab/link"] {
        let error = fixture.store.get(&key(text)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged, "{}", chain(&error));
        let range = fixture.store.get_range(&key(text), 0..1).unwrap_err();
        assert_eq!(range.kind, ErrorKind::Damaged, "{}", chain(&range));
        assert!(fixture.store.size(&key(text)).is_err());
        assert!(fixture.create(text).is_err());
        let put = fixture.store.put_deferred(&key(text), b"x");
        assert!(put.is_err());
    }
    assert!(fixture.create("packs/cd/new").is_err());
    assert!(fixture.store.delete(&key("packs/cd/secret")).is_err());
    assert!(fixture.store.list("packs/cd/", None, 9).is_err());
    assert_eq!(fixture.keys(), ["packs/ab/x"]);
    // Overwriting replaces the link itself, never what it points to.
    fixture
        .store
        .put(&key("packs/ab/link"), b"ours", PutMode::Overwrite)
        .unwrap();
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

/// One pack on a bad sector ended the verification of a whole destination, and a restore that had a
/// second copy.
#[test]
fn what_the_disk_says_of_one_file_is_damage_of_one_object() {
    let fixture = Fixture::new();
    assert_eq!(fixture.create("packs/ab/x").unwrap(), Put::Stored);
    let check = |errno: Errno, expected| {
        let error = fixture
            .store
            .read_error(Verb::Get, &key("packs/ab/x"), errno.into());
        assert_eq!(error.kind, expected, "{errno}");
    };
    for errno in [Errno::EIO, Errno::EUCLEAN, Errno::EBADMSG, Errno::ELOOP] {
        check(errno, ErrorKind::Damaged);
    }
    check(Errno::ENOENT, ErrorKind::NotFound);
    check(Errno::ESTALE, ErrorKind::Transient);
    check(Errno::EACCES, ErrorKind::Auth);
    // Where not even the repository can be opened nothing is known of the object.
    fs::remove_dir_all(fixture.path("")).unwrap();
    check(Errno::EIO, ErrorKind::Permanent);
}

#[test]
fn a_repository_directory_that_is_a_link_is_refused() {
    let directory = TempDir::new().unwrap();
    let outside = TempDir::new().unwrap();
    symlink(
        outside.path(),
        directory.path().join(Folder::Repository.name()),
    )
    .unwrap();
    let store = VfsStore::open(directory.path()).unwrap();
    let error = store
        .put(&key("config"), b"x", PutMode::Create)
        .unwrap_err();
    assert!(
        error.hint().unwrap().contains("symbolic link"),
        "{}",
        chain(&error)
    );
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn strange_files_are_not_objects() {
    let fixture = Fixture::new();
    assert_eq!(fixture.create("a/b").unwrap(), Put::Stored);
    nix::unistd::mkfifo(&fixture.path("a/fifo"), Mode::S_IRWXU).unwrap();
    fs::write(fixture.path("a/UPPER"), "x").unwrap();
    fs::write(fixture.path("a/.nfs0001"), "x").unwrap();
    fs::write(fixture.path("tmp/leftover"), "x").unwrap();
    fs::create_dir(fixture.path("a/directory")).unwrap();
    assert_eq!(fixture.keys(), ["a/b"]);
    for text in ["a/fifo", "a/directory"] {
        let error = fixture.store.get(&key(text)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged, "{}", chain(&error));
        assert!(fixture.create(text).is_err(), "{text}");
    }
    assert!(
        fixture.create("a/b/c").is_err(),
        "an object is no directory"
    );
    assert!(
        fixture
            .store
            .list("tmp/", None, 9)
            .unwrap()
            .entries
            .is_empty()
    );
}

#[test]
fn files_too_large_to_be_ours_are_not_read() {
    let fixture = Fixture::new();
    assert_eq!(fixture.create("big").unwrap(), Put::Stored);
    fs::File::options()
        .write(true)
        .open(fixture.path("big"))
        .unwrap()
        .set_len(1 << 38)
        .unwrap();
    assert_eq!(
        fixture.store.get(&key("big")).unwrap_err().kind,
        ErrorKind::Damaged
    );
    let range = fixture.store.get_range(&key("big"), 0..1 << 37);
    assert_eq!(range.unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(fixture.store.get_range(&key("big"), 0..3).unwrap(), b"big");
}

#[test]
fn stale_temporaries_are_swept_and_young_ones_kept() {
    let fixture = Fixture::new();
    assert_eq!(fixture.create("config").unwrap(), Put::Stored);
    let (old, young, foreign) = ("0".repeat(32), "1".repeat(32), "note");
    let long_ago = SystemTime::now() - Duration::from_hours(25);
    for (name, age) in [
        (old.as_str(), Some(long_ago)),
        (&young, None),
        (foreign, Some(long_ago)),
    ] {
        let file = fs::File::create(fixture.path("tmp").join(name)).unwrap();
        if let Some(age) = age {
            file.set_modified(age).unwrap();
        }
    }
    let next = VfsStore::open(fixture.directory.path()).unwrap();
    next.put(&key("x"), b"", PutMode::Create).unwrap();
    let mut left: Vec<_> = fs::read_dir(fixture.path("tmp"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, [young.as_str(), foreign]);
}

#[test]
fn a_link_of_our_own_is_not_somebody_elses() {
    let fixture = Fixture::new();
    let temporary = fixture.store.temporary(b"x").unwrap();
    let directory = fixture.store.directories.make("log").unwrap();
    assert_eq!(publish(&temporary, &directory, "0").unwrap(), Put::Stored);
    // As a share that repeats the request after losing the answer.
    assert_eq!(publish(&temporary, &directory, "0").unwrap(), Put::Stored);
    let other = fixture.store.temporary(b"y").unwrap();
    assert_eq!(publish(&other, &directory, "0").unwrap(), Put::Exists);
}

/// The probe's second creation was answered by a stat, so it proved nothing about `link`.
#[test]
fn a_durable_create_always_comes_to_the_link() {
    let fixture = Fixture::new();
    assert_eq!(fixture.create("log/0/0").unwrap(), Put::Stored);
    fs::remove_dir(fixture.path("tmp")).unwrap();
    fs::write(fixture.path("tmp"), "in the way of whatever writes").unwrap();
    assert!(fixture.create("log/0/0").is_err(), "it did not try");
    let deferred = fixture.store.put_deferred(&key("log/0/0"), b"x");
    assert_eq!(
        deferred.unwrap(),
        Put::Exists,
        "a pack is not written twice"
    );
}

#[test]
fn a_directory_without_permission_is_not_permitted() {
    if nix::unistd::geteuid().is_root() {
        return; // Permissions do not bind root; the lab runs this as another user.
    }
    let fixture = Fixture::new();
    fs::set_permissions(fixture.directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let error = fixture.create("config").unwrap_err();
    assert_eq!(Fault::kind(&error), Kind::NotPermitted);
}

#[test]
fn a_destination_removed_under_us_is_an_error_and_not_recreated() {
    let fixture = Fixture::new();
    assert_eq!(fixture.create("config").unwrap(), Put::Stored);
    fs::remove_dir_all(fixture.directory.path()).unwrap();
    let error = fixture.create("log/0/0").unwrap_err();
    assert_eq!(
        Fault::kind(&error),
        Kind::DestinationUnavailable,
        "{}",
        chain(&error)
    );
    assert!(!fixture.directory.path().exists());
}

#[test]
fn a_lost_deferred_object_fails_every_sync() {
    let fixture = Fixture::new();
    fixture.store.put_deferred(&key("packs/a"), b"1").unwrap();
    // A file whose fsync fails (EINVAL on a pipe) stands for a disk that lost it.
    let (reader, _writer) = nix::unistd::pipe().unwrap();
    let lost = Arc::new(File::from(reader));
    fixture
        .store
        .deferred
        .add(&fixture.store.directories, &key("packs/b"), lost);
    for _ in 0..2 {
        let error = fixture.store.sync().unwrap_err();
        assert!(chain(&error).contains("packs/b"), "{}", chain(&error));
        assert_eq!(error.kind, ErrorKind::Permanent);
    }
    assert_eq!(fixture.store.get(&key("packs/a")).unwrap(), b"1");
}

#[test]
fn more_deferred_puts_than_open_files_are_fine() {
    let fixture = Fixture::new();
    for n in 0..200 {
        let put = fixture
            .store
            .put_deferred(&key(&format!("packs/{n}")), b"x")
            .unwrap();
        assert_eq!(put, Put::Stored);
    }
    fixture.store.sync().unwrap();
    assert_eq!(fixture.keys().len(), 200);
}

thread_local! {
    /// Which `fsync` of this thread fails with EIO, counted from 1 at the next; 0 for none.
    static FAILING: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// A kernel that reports a lost page once and then forgets it, as Linux does.
fn fsync_failing_once(_: std::os::fd::BorrowedFd<'_>) -> nix::Result<()> {
    let left = FAILING.get();
    FAILING.set(left.saturating_sub(1));
    if left == 1 { Err(Errno::EIO) } else { Ok(()) }
}

impl Fixture {
    fn with_scripted_fsync() -> Self {
        FAILING.set(0);
        let mut fixture = Self::new();
        let place = nix::fcntl::open(fixture.directory.path(), OFlag::O_RDONLY, Mode::empty());
        fixture.store.directories = Directories::new(
            place.unwrap(),
            Folder::Repository,
            Fsyncs::new(fsync_failing_once),
        );
        fixture
    }
}

/// A disk lost the entry of a log's slot and said so once. The log repeated the put, found its own
/// object, asked the kernel again, was told that all is well, and told the user that the backup is
/// durable.
#[test]
fn a_failed_fsync_of_a_directory_is_not_asked_about_again() {
    let fixture = Fixture::with_scripted_fsync();
    assert_eq!(fixture.create("log/0/0").unwrap(), Put::Stored);
    FAILING.set(1);
    for attempt in 0..3 {
        let error = fixture.create("log/0/1").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unclear, "{attempt}");
    }
    let deferred = fixture.store.put_deferred(&key("log/0/1"), b"x");
    assert_eq!(deferred.unwrap_err().kind, ErrorKind::Unclear);
    // What was durable before is not taken for it now either, and nothing new is made there.
    assert_eq!(
        fixture.create("log/0/0").unwrap_err().kind,
        ErrorKind::Unclear
    );
    let new = fixture.create("log/0/2").unwrap_err();
    assert_eq!(new.kind, ErrorKind::Permanent, "{}", chain(&new));
    let over = fixture
        .store
        .put(&key("log/0/3"), b"x", PutMode::Overwrite)
        .unwrap_err();
    assert_eq!(over.kind, ErrorKind::Permanent);
    assert_eq!(fixture.keys(), ["log/0/0", "log/0/1"]);
    // Other directories go on, and a store opened anew asks anew.
    assert_eq!(fixture.create("log/1/0").unwrap(), Put::Stored);
    let anew = VfsStore::open(fixture.directory.path()).unwrap();
    let put = anew.put(&key("log/0/1"), b"log/0/1", PutMode::Create);
    assert_eq!(put.unwrap(), Put::Exists);
}

/// As above, one level up: the repetition marked the new directory durable in its parent.
#[test]
fn a_directory_whose_entry_was_lost_is_not_durable_the_second_time() {
    let fixture = Fixture::with_scripted_fsync();
    assert_eq!(fixture.create("log/0/0").unwrap(), Put::Stored);
    // `log`, for its new entry `log/1`.
    FAILING.set(1);
    for _ in 0..3 {
        let error = fixture.create("log/1/0").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Permanent, "{}", chain(&error));
    }
    assert_eq!(fixture.keys(), ["log/0/0"]);
    assert_eq!(fixture.create("log/0/1").unwrap(), Put::Stored);
}

#[test]
fn an_object_whose_bytes_could_not_be_settled_stays_unclear() {
    let fixture = Fixture::with_scripted_fsync();
    let other = VfsStore::open(fixture.directory.path()).unwrap();
    other.put_deferred(&key("packs/a"), b"x").unwrap();
    // With `repository` and `packs` on the way, so that the next is the object's own.
    assert_eq!(fixture.create("packs/b").unwrap(), Put::Stored);
    FAILING.set(1);
    for _ in 0..2 {
        let put = fixture.store.put_deferred(&key("packs/a"), b"x");
        assert_eq!(put.unwrap_err().kind, ErrorKind::Unclear);
    }
}

#[test]
fn a_failed_sync_of_deferred_puts_is_known_to_the_others() {
    let fixture = Fixture::with_scripted_fsync();
    fixture.store.put_deferred(&key("packs/a"), b"x").unwrap();
    FAILING.set(2);
    assert!(fixture.store.sync().is_err(), "packs could not be synced");
    let put = fixture.create("packs/a").unwrap_err();
    assert_eq!(put.kind, ErrorKind::Unclear);
}

/// A clean-up script removed a directory of the repository; the next put made it again and did not
/// make its entry durable, as it had done so for the one before.
#[test]
fn a_directory_made_again_is_made_durable_again() {
    let fixture = Fixture::with_scripted_fsync();
    assert_eq!(fixture.create("log/0/0").unwrap(), Put::Stored);
    fs::remove_dir_all(fixture.path("log")).unwrap();
    FAILING.set(1);
    let error = fixture.create("log/0/0").unwrap_err();
    // Not `Unclear`: the first fsync is that of the directory above, before any name exists.
    assert_eq!(error.kind, ErrorKind::Permanent, "{}", chain(&error));
}
