//! The original's names, defaults and rules, and its messages where scripts match them.

use super::*;

fn parse(options: &[(&str, &str)]) -> Result<PoolConfig, Error> {
    let options: Vec<_> = options
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    pool_options(&options)
}

#[track_caller]
fn refused(options: &[(&str, &str)], words: &str) {
    let error = parse(options).unwrap_err();
    assert_eq!(convoy_fault::Fault::kind(&error), Kind::Invalid);
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn nothing_given_means_the_defaults() {
    assert_eq!(parse(&[]).unwrap(), PoolConfig::default());
}

#[test]
fn every_option_is_read() {
    let config = parse(&[
        ("dm.datadev", "/dev/sdb1"),
        ("dm.metadatadev", "/dev/sdb2"),
        ("dm.thinpoolname", "pool"),
        ("dm.thinpoolblocksize", "256"),
        ("dm.defaultvolumesize", "10G"),
        ("dm.fs", "xfs"),
        ("dm.trustdatadev", "true"),
    ])
    .unwrap();
    assert!(config.trust_data);
    assert_eq!(config.block_size.unwrap().bytes(), Bytes::kib(128));
    assert_eq!(config.default_volume_size, Some(Bytes::gib(10)));
    assert_eq!(config.filesystem.as_deref(), Some("xfs"));
}

#[test]
fn a_suffix_multiplies_sectors_as_in_the_original() {
    let size = |text| {
        parse(&[("dm.thinpoolblocksize", text)])
            .unwrap()
            .block_size
            .unwrap()
    };
    assert_eq!(size("4k"), DataBlockSize::DEFAULT);
    assert_eq!(size("2M").bytes(), Bytes::gib(1));
}

#[test]
fn wrong_values_are_refused_with_their_rule() {
    const BLOCK: &str = "Block size must between 128 and 2097152, and must be a multiple of 128";
    for bad in ["64", "127", "192", "2097280", "0", "4T"] {
        refused(&[("dm.thinpoolblocksize", bad)], BLOCK);
    }
    refused(
        &[("dm.thinpoolblocksize", "many")],
        "Illegal block size specified",
    );
    refused(
        &[("dm.thinpoolblocksize", "")],
        "Illegal block size specified",
    );
    refused(
        &[("dm.defaultvolumesize", "1.5G")],
        "Illegal default volume size specified",
    );
    refused(
        &[("dm.fs", "btrfs")],
        "Unsupported filesystem type specified",
    );
    refused(&[("dm.thinpoolname", "../x")], convoy_names::RULE);
    refused(
        &[("dm.datadev", "/dev/sdb")],
        "data device or metadata device unspecified",
    );
    refused(
        &[("dm.datadev", "sdb"), ("dm.metadatadev", "/dev/sdc")],
        "absolute path",
    );
    refused(
        &[("dm.datadev", "/dev/a"), ("dm.metadatadev", "/dev/a")],
        "the same device",
    );
    refused(&[("dm.datadevice", "/dev/sdb")], "unknown driver option");
    refused(&[("dm.fs", "ext4"), ("dm.fs", "xfs")], "given twice");
}

#[test]
fn the_same_twice_is_the_same() {
    assert!(parse(&[("dm.fs", "ext4"), ("dm.fs", "ext4")]).is_ok());
}
