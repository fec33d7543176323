//! Help, errors and our own formats, word by word.

use crate::world::{FIXTURE, answer, folder, golden, ours};
use convoy_testkit::thin::{ImageOptions, PoolModel};
use serde_json::{Value, json};
use std::path::Path;

const TOOLS: [&str; 6] = [
    "thin_check",
    "thin_delta",
    "thin_dump",
    "thin_ls",
    "thin_metadata_size",
    "dm_dev_partition.sh",
];

fn fixture(line: &str) -> String {
    answer(line, Path::new(FIXTURE))
}

#[test]
fn help() {
    golden("help.txt", &fixture("--help"));
    for tool in TOOLS {
        golden(
            &format!("{tool}.help.txt"),
            &fixture(&format!("{tool} --help")),
        );
    }
}

#[test]
fn errors() {
    let mut text = String::new();
    for line in [
        "",
        "thin_repair",
        "thin_delta @",
        "thin_delta --snap1 1 --snap2 16777216 @",
        "thin_delta --snap1 1 --snap2 99 @",
        "thin_delta --snap1 1 --snap2 2 -m13 @",
        "thin_delta --snap1 1 --snap2 2 --verbose --output json @",
        "thin_dump --dev-id 99 @",
        "thin_dump --repair @",
        "thin_dump @ extra",
        "thin_ls -o MAPPED,dev @",
        "thin_ls /nowhere",
        "thin_check --clear-needs-check-flag @",
        "thin_check --auto-repair -q @",
        "thin_check --override-mapping-root 3 @",
        "thin_metadata_size -b 192k -s 100g -m 1",
        "thin_metadata_size -b 64kb -s 100g -m 1",
        "dm_dev_partition.sh /dev/none-such",
        "dm_dev_partition.sh /dev/null",
        "dm_dev_partition.sh -m 0 /dev/null",
        "dm_dev_partition.sh --write /dev/null",
    ] {
        let ran = ours(line, Path::new(FIXTURE));
        assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{line}");
        text.extend(["$ ", line, "\n", &ran.stderr.replace(FIXTURE, "@"), "\n"]);
    }
    golden("errors.txt", &text);
}

#[test]
fn a_file_that_is_no_metadata_is_told_for_what_it_is() {
    let folder = folder();
    let path = folder.path().join("image");
    for (content, because) in [
        (vec![0; 1 << 16], "blank"),
        (vec![b'x'; 1 << 16], "not the superblock"),
        (vec![0; 100], "block 0"),
    ] {
        std::fs::write(&path, content).unwrap();
        for line in [
            "thin_check @",
            "thin_dump @",
            "thin_ls @",
            "thin_delta --snap1 1 --snap2 2 @",
        ] {
            let ran = ours(line, &path);
            assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{line}");
            assert!(ran.stderr.contains(because), "{line}: {}", ran.stderr);
        }
    }
}

#[test]
fn without_a_metadata_snapshot_there_is_none_to_read() {
    let folder = folder();
    let mut pool = PoolModel::new(100, 252);
    pool.create_thin(1);
    let options = ImageOptions::fitting(&pool);
    let image = crate::world::write(folder.path(), &pool, options);
    for line in ["thin_check -m @", "thin_dump -m @", "thin_ls -m @"] {
        let ran = ours(line, &image);
        assert_eq!(ran.status, 1, "{line}");
        assert!(
            ran.stderr.contains("holds no metadata snapshot"),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(ours("thin_check @", &image).status, 0);
}

#[test]
fn changed_ranges_a_line_each() {
    let text = fixture("thin_delta --snap1 1 --snap2 2 --output ranges @");
    let expected = "different 10 5\nleft_only 300 8\nright_only 900 20\nleft_only 1000 3\nend 4\n";
    assert_eq!(text, expected);
    assert_eq!(
        fixture("thin_delta --snap1 2 --snap2 2 --output ranges @"),
        "end 0\n"
    );
}

/// 0.9.0 reads past the end of such a device's list, so there is nothing to compare with.
#[test]
fn a_device_without_mappings() {
    let text = fixture("thin_delta --snap1 5 --snap2 1 --output ranges @");
    assert_eq!(text, "right_only 0 700\nright_only 1000 3\nend 2\n");
    let text = fixture("thin_delta --snap1 5 --snap2 5 --verbose @");
    assert!(
        text.ends_with("  <diff left=\"5\" right=\"5\">\n  </diff>\n</superblock>\n"),
        "{text}"
    );
}

fn parse(line: &str) -> Value {
    let text = fixture(line);
    let value: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let last = value.as_object().unwrap().keys().next_back().cloned();
    assert_eq!(last.as_deref(), Some("end"));
    value
}

#[test]
fn changed_ranges_as_json() {
    golden(
        "delta.json",
        &fixture("thin_delta --snap1 1 --snap2 2 --output json @"),
    );
    let value = parse("thin_delta --snap1 1 --snap2 2 --output json @");
    assert_eq!(value["end"], json!({"ranges": 4, "blocks": 36}));
    assert_eq!(
        value["ranges"][2],
        json!({"kind": "right_only", "begin": 900, "length": 20})
    );
    let value = parse("thin_delta --snap1 1 --snap2 1 --output json -m @");
    assert_eq!(value["ranges"], json!([]));
    assert_eq!(value["superblock"]["nr_data_blocks"], json!(null));
}

#[test]
fn dumps_as_json() {
    golden("dump.json", &fixture("thin_dump -f json @"));
    let value = parse("thin_dump -f json @");
    assert_eq!(value["end"], json!({"devices": 4, "mappings": 2128}));
    assert_eq!(value["devices"][3]["mappings"], json!([]));
    let value = parse("thin_dump -f json --skip-mappings -m @");
    assert_eq!(value["devices"][0]["mapped_blocks"], json!(700));
    assert_eq!(value["end"], json!({"devices": 4, "mappings": 0}));
    assert_eq!(
        parse("thin_dump -f json --dev-id 2 @")["devices"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_check_tells_what_the_pool_is_and_what_is_free() {
    for options in [
        "",
        "--skip-mappings",
        "--super-block-only",
        "-m",
        "--metadata-snapshot",
        "--ignore-non-fatal-errors",
    ] {
        let ran = ours(&format!("thin_check {options} @"), Path::new(FIXTURE));
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{options}");
        assert_eq!(
            ran.stdout, "TRANSACTION_ID=7\nMETADATA_FREE_BLOCKS=39\n",
            "{options}"
        );
    }
    assert_eq!(fixture("thin_check -q @"), "");
    let ran = ours("thin_check -q /nowhere", Path::new(""));
    assert_eq!(
        (ran.status, ran.stdout.as_str(), ran.stderr.as_str()),
        (1, "", "")
    );
}

#[test]
fn a_check_tells_everything_that_is_wrong() {
    let folder = folder();
    let mut pool = PoolModel::new(100, 252);
    pool.create_thin(1);
    pool.create_thin(2);
    pool.write(1, 0);
    pool.write(2, 0);
    let mut image = pool.image(ImageOptions::fitting(&pool));
    for id in [1, 2] {
        image.flip_bit(pool.device(id).root(), 9000);
    }
    let path = folder.path().join("metadata");
    std::fs::write(&path, &image.bytes).unwrap();
    let ran = ours("thin_check @", &path);
    assert_eq!(ran.status, 1);
    for device in ["device 1", "device 2"] {
        let line = ran.stderr.lines().find(|line| line.contains(device));
        assert!(ran.stdout.starts_with("TRANSACTION_ID="), "{}", ran.stdout);
        assert!(
            line.is_some_and(|line| line.starts_with("thin_check: fatal: ")),
            "{}",
            ran.stderr
        );
    }
    let quiet = ours("thin_check -q @", &path);
    assert_eq!(
        (quiet.status, quiet.stdout.as_str(), quiet.stderr.as_str()),
        (1, "", "")
    );
    // Of a superblock that cannot be trusted nothing is repeated.
    image.flip_bit(0, 400);
    std::fs::write(&path, &image.bytes).unwrap();
    let ran = ours("thin_check @", &path);
    assert_eq!((ran.status, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("checksum"), "{}", ran.stderr);
}

#[test]
fn a_leak_is_not_fatal_and_the_flag_is_not_an_error() {
    let folder = folder();
    let mut pool = PoolModel::new(100, 252);
    pool.create_thin(1);
    pool.write(1, 0);
    let options = ImageOptions {
        needs_check: true,
        ..ImageOptions::fitting(&pool)
    };
    let image = crate::world::write(folder.path(), &pool, options);
    let ran = ours("thin_check @", &image);
    assert_eq!(ran.status, 0);
    assert!(ran.stderr.contains("needs_check is set"), "{}", ran.stderr);
}
