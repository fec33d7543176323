//! Text that people and the kernel write: mount table, sizes, names, destinations, driver options.

use crate::Target;
use convoy_fault::{Fault, chain};
use convoy_mount::{MountEntry, parse_mountinfo};
use convoy_names::{DestinationName, PoolName, SnapshotName, SnapshotRef, VolumeName};
use convoy_objectstore::{BackupUrl, Key, Location};
use convoy_units::{Bytes, DataBlockSize, DevId, Sectors};
use std::fmt::{Debug, Display};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

/// The kernel's mount table.
pub const MOUNTINFO: Target = Target {
    name: "mountinfo",
    about: "the kernel's mount table",
    run: mountinfo,
    seeds: mountinfo_seeds,
    words: &[" - ", "\\040", "\\134", "ro,", "shared:1", "\n"],
    max_len: 600,
    weight: 2,
};

/// Sizes.
pub const SIZE: Target = Target {
    name: "size",
    about: "sizes, block sizes and device ids",
    run: size,
    seeds: || {
        texts(&[
            "10G",
            "0",
            "4096",
            "18446744073709551615",
            "1PiB",
            "7kb",
            "100GiB",
            "-1",
            "1.5G",
        ])
    },
    words: &["KiB", "mb", "G", "TiB", "P"],
    max_len: 64,
    weight: 1,
};

/// Names.
pub const NAMES: Target = Target {
    name: "names",
    about: "names of volumes, snapshots, pools and destinations",
    run: names,
    seeds: || {
        texts(&[
            &"a".repeat(128),
            &"b".repeat(129),
            "vol1",
            "a.b-c_d",
            "vol1@snap1",
            "@",
            "a@b@c",
            "-x",
            "..",
            "A0",
        ])
    },
    words: &["@", "..", "/", "-"],
    max_len: 300,
    weight: 1,
};

/// Destinations.
pub const LOCATION: Target = Target {
    name: "location",
    about: "destinations, backup URLs and object keys",
    run: location,
    seeds: location_seeds,
    words: &[
        "vfs:///",
        "s3://",
        "?backup=",
        "&volume=",
        "\\u0026",
        "u0026volume=",
        "%2F",
        "..",
        "//",
    ],
    max_len: 400,
    weight: 2,
};

/// Driver options.
pub const OPTIONS: Target = Target {
    name: "options",
    about: "driver options",
    run: options,
    seeds: options_seeds,
    words: &[
        "dm.datadev=",
        "dm.metadatadev=",
        "dm.thinpoolname=",
        "dm.thinpoolblocksize=",
        "dm.defaultvolumesize=",
        "dm.fs=",
        "dm.trustdatadev=",
    ],
    max_len: 400,
    weight: 1,
};

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Each mount, written as the kernel writes it, is read again as the same.
pub fn mountinfo(data: &[u8]) {
    let entries = match parse_mountinfo(data) {
        Ok(entries) => entries,
        Err(error) => return assert!(error.to_string().len() < 10_000),
    };
    let lines = data.split(|byte| *byte == b'\n');
    let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
    assert_eq!(entries.len(), lines.len(), "no line is passed over");
    for (entry, line) in entries.into_iter().zip(lines) {
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        assert_eq!(entry.root.as_os_str().as_bytes(), unmangle(words[3]));
        assert_eq!(entry.target.as_os_str().as_bytes(), unmangle(words[4]));
        let again = parse_mountinfo(&mount_line(&entry)).expect("our own line is one");
        assert_eq!(again, [entry]);
    }
}

fn mount_line(entry: &MountEntry) -> Vec<u8> {
    let MountEntry {
        mount_id,
        parent_id,
        device: (major, minor),
        root,
        target,
        options,
        fs_type,
        source,
    } = entry;
    let path = |path: &Path| mangle(path.as_os_str().as_bytes());
    [
        format!("{mount_id} {parent_id} {major}:{minor} ").into_bytes(),
        path(root),
        b" ".to_vec(),
        path(target),
        // The fields before the dash are never decoded as options: all may stand in the first list.
        format!(" {} shared:1 - ", options.join(",")).into_bytes(),
        mangle(fs_type.as_bytes()),
        b" ".to_vec(),
        path(source),
        b" ".to_vec(),
    ]
    .concat()
}

/// As the kernel's `mangle` writes a path.
fn mangle(bytes: &[u8]) -> Vec<u8> {
    let escape = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
        _ => vec![*byte],
    };
    bytes.iter().flat_map(escape).collect()
}

/// The reverse, wherever a backslash and three octal digits make a byte.
fn unmangle(word: &[u8]) -> Vec<u8> {
    let byte = |escape: &[u8]| {
        let digits = std::str::from_utf8(escape.strip_prefix(b"\\")?).ok()?;
        let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
        u8::from_str_radix(digits, 8).ok().filter(|_| plain)
    };
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < word.len() {
        let escaped = word.get(at..at + 4).and_then(byte);
        bytes.push(escaped.unwrap_or(word[at]));
        at += if escaped.is_some() { 4 } else { 1 };
    }
    bytes
}

fn mountinfo_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "36 35 98:0 / / rw,noatime master:1 - ext4 /dev/root rw,errors=continue\n",
        "40 36 253:3 /sub /mnt/with\\040space ro,nodev shared:2 master:3 - xfs /dev/dm-3 rw,noatime\n\
         41 36 0:5 / /proc rw - proc proc\n",
        "1 2 3:4 / /\\134\\011\\012\\043\\047\\377 rw - fuse.x\\040y none rw\n",
        "36 35 98 / / rw - ext4 x rw",
    ])
}

/// A size is the product of its number and unit; anything else is refused with a short message.
pub fn size(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(number) = text.parse::<u64>()
        && !text.starts_with('+')
    {
        assert_eq!(text.parse(), Ok(Bytes(number)));
        assert_eq!(DevId::new(number).is_ok(), number < 1 << 24);
        let block = (128..=2_097_152).contains(&number) && number % 128 == 0;
        assert_eq!(DataBlockSize::new(Sectors(number)).is_ok(), block);
    }
    match text.parse::<Bytes>() {
        Ok(bytes) => {
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            let number: u64 = digits.parse().expect("a size begins with its number");
            let unit = text
                .chars()
                .nth(digits.len())
                .unwrap_or('b')
                .to_ascii_lowercase();
            let power = "bkmgtp".find(unit).expect("then comes its unit");
            assert_eq!(number.checked_mul(1 << (10 * power)), Some(bytes.0));
            assert!(!bytes.to_string().is_empty());
        }
        Err(error) => assert!(error.to_string().len() < 1000),
    }
}

/// What is accepted keeps the one rule, shows as it was typed, and nothing else is accepted.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let valid = is_name(&text);
    shows::<VolumeName>(&text, valid);
    shows::<SnapshotName>(&text, valid);
    shows::<PoolName>(&text, valid);
    shows::<DestinationName>(&text, valid);
    let parts: Vec<&str> = text.split('@').collect();
    shows::<SnapshotRef>(
        &text,
        parts.len() <= 2 && parts.iter().all(|part| is_name(part)),
    );
}

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}`.
fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        && !text.starts_with(['_', '.', '-'])
}

#[track_caller]
fn shows<T: FromStr + Display>(text: &str, valid: bool)
where
    T::Err: Display,
{
    match text.parse::<T>() {
        Ok(name) => assert!(valid && name.to_string() == text),
        Err(error) => assert!(!valid && error.to_string().len() < 3000),
    }
}

/// What is accepted comes back from its own text; no path leaves its root, no key its folder.
pub fn location(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match text.parse::<Location>() {
        Ok(location) => {
            same(&location);
            let normal = location.normalised();
            assert_eq!(normal.normalised(), normal);
            same(&normal);
            if let Location::Vfs { path } = &location {
                assert!(
                    path.is_absolute() && path.components().all(|part| part.as_os_str() != "..")
                );
            }
        }
        Err(error) => told(&error),
    }
    match text.parse::<BackupUrl>() {
        Ok(url) => {
            same(&url);
            // The original's names may be longer than ours, by the same rule.
            let (backup, volume) = (url.backup.as_bytes(), url.volume.as_bytes());
            for name in [backup, volume] {
                assert!(name.len() <= 240 && name[0].is_ascii_alphanumeric());
                assert!(
                    name.iter()
                        .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b))
                );
            }
        }
        Err(error) => told(&error),
    }
    match Key::new(text.clone()) {
        Ok(key) => {
            assert_eq!(key.as_str(), text);
            assert!(text.split('/').all(|part| !matches!(part, "" | "." | "..")));
        }
        Err(error) => assert!(error.to_string().len() < 3000),
    }
}

#[track_caller]
fn same<T: FromStr + Display + PartialEq + Debug>(value: &T) {
    let text = value.to_string();
    let again = text.parse::<T>().ok();
    assert_eq!(again.as_ref(), Some(value), "{text:?} is shown");
}

fn told<E: Fault>(error: &E) {
    assert!(chain(error).len() < 10_000);
}

fn location_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "vfs:///mnt/backups",
        "vfs:///mnt//with%20space/",
        "s3://bucket@eu-west-1/convoy/",
        "s3://bucket/a//b",
        "vfs:///b/?backup=backup-0123&volume=v.1_u0026x",
        "vfs:///b/?backup=backup-0123\\u0026volume=v.1",
        "vfs:///b/?volume=v&backup=backup%2D0123",
        "packs/ab/0123-4",
        "tmp/x",
    ])
}

/// Lines of `name=value`: accepted or refused with the rule.
pub fn options(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let options: Vec<(String, String)> = text
        .lines()
        .take(64)
        .map(|line| line.split_once('=').unwrap_or((line, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    match convoy_engine::pool_options(&options) {
        Ok(config) => {
            assert_eq!(config.data.is_some(), config.metadata.is_some());
            assert!(config.data.is_none() || config.data != config.metadata);
            let twice = [options.clone(), options].concat();
            assert!(
                convoy_engine::pool_options(&twice).is_ok(),
                "saying it twice changes nothing"
            );
        }
        Err(error) => told(&error),
    }
}

fn options_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "dm.datadev=/dev/sdb\ndm.metadatadev=/dev/sdc\ndm.thinpoolname=p\ndm.fs=xfs",
        "dm.thinpoolblocksize=4k\ndm.defaultvolumesize=10G\ndm.fs=ext4\ndm.trustdatadev=true",
        "dm.datadev=/dev/sdb",
        "dm.datadev=/dev/sdb\ndm.metadatadev=/dev/sdb",
        "dm.fs=btrfs",
        "dm.nope=1",
    ])
}
