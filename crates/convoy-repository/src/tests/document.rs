//! The worked examples of `docs/formats/repository.md` are made by this code: the page cannot drift.

use crate::body::{Backups, Body};
use crate::codec::Compression;
use crate::config::Config;
use crate::entry::{self, Stamp};
use crate::id::{BlobId, FullHash, SessionId, to_hex};
use crate::keys::{BlobKind, Keys, Secret};
use crate::node;
use crate::pack::PackBuilder;
use convoy_units::Bytes;
use uuid::Uuid;

fn secret() -> Secret {
    Secret(std::array::from_fn(|n| u8::try_from(n).unwrap()))
}

fn dump(bytes: &[u8]) -> String {
    let line = |(number, line): (usize, &[u8])| {
        let text: String = line
            .iter()
            .map(|b| {
                if b.is_ascii_graphic() || *b == b' ' {
                    char::from(*b)
                } else {
                    '.'
                }
            })
            .collect();
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{:04x}  {:<47}  {text}\n", number * 16, hex.join(" "))
    };
    bytes.chunks(16).enumerate().map(line).collect()
}

fn keys_example() -> String {
    let keys = Keys::derive(&secret());
    let chunk: Vec<u8> = (0..4096u32).map(|n| (n % 251).to_le_bytes()[0]).collect();
    [
        format!("chunk key      {}\n", to_hex(&keys.chunk)),
        format!("node key       {}\n", to_hex(&keys.node)),
        format!("log key        {}\n", to_hex(&keys.log)),
        format!("collector key  {}\n", to_hex(&keys.collector)),
        format!(
            "chunk id of the 4096 bytes 0, 1 … 250, 0, 1 …\n               {}\n",
            keys.id(BlobKind::Chunk, &chunk)
        ),
        format!(
            "BLAKE3 of nothing, unkeyed\n               {}\n",
            FullHash::of(b"")
        ),
    ]
    .concat()
}

fn config_example() -> String {
    let config = Config {
        id: Uuid::from_u128(0x0001_0203_0405_4607_8809_0a0b_0c0d_0e0f),
        created: "2026-11-22T12:00:00Z".parse().unwrap(),
        created_by: "convoy 0.1.0".to_owned(),
        host: Uuid::from_bytes([0xa5; 16]),
        chunk_size: Bytes::kib(256),
        compression: Compression::default(),
        secret: secret(),
        grace_seconds: 86_400,
        single_writer: false,
        read_only_feature: None,
    };
    String::from_utf8(config.to_json()).unwrap()
}

fn entry_example() -> String {
    let stamp = Stamp {
        slot: 1,
        prev: FullHash([0x11; 32]),
        op: Uuid::from_bytes([0x22; 16]),
        host: Uuid::from_bytes([0xa5; 16]),
        time: 1_795_348_800_000_000,
    };
    let body = Body::Delete(Backups {
        backups: vec![Uuid::from_bytes([0x33; 16])],
    });
    let bytes = entry::encode(&Keys::derive(&secret()), &stamp, &body);
    format!(
        "{}\nits hash, the next entry's prev:\n{}\n",
        dump(&bytes),
        FullHash::of(&bytes)
    )
}

fn node_example() -> String {
    let [a, b, c] = [0xaa, 0xbb, 0xcc].map(|byte| Some(BlobId([byte; 32])));
    let bytes = node::encode(0, &[a, b, None, None, None, c]).unwrap();
    let id = Keys::derive(&secret()).id(BlobKind::Node, &bytes);
    format!("{}\nits node id:\n{id}\n", dump(&bytes))
}

fn pack_example() -> String {
    let keys = Keys::derive(&secret());
    let plain = b"sixteen bytes   ";
    let id = keys.id(BlobKind::Chunk, plain);
    let mut sealer = crate::codec::Sealer::new(Compression::None).unwrap();
    let mut builder = PackBuilder::new(
        Uuid::from_u128(0x0001_0203_0405_4607_8809_0a0b_0c0d_0e0f),
        BlobKind::Chunk,
        Vec::new(),
    );
    builder.push(&sealer.seal(BlobKind::Chunk, id, plain).unwrap());
    let pack = builder.finish(SessionId([0x44; 16]), 7);
    format!(
        "{}\nits key:\n{}\n",
        dump(&pack.bytes),
        pack.name.pack_key()
    )
}

#[test]
fn the_page_shows_what_the_code_writes() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/formats/repository.md"
    );
    let page = std::fs::read_to_string(path).unwrap();
    let examples = [
        keys_example(),
        config_example(),
        entry_example(),
        pack_example(),
        node_example(),
    ];
    let missing = examples.iter().filter(|example| !page.contains(*example));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    assert!(
        missing.is_empty(),
        "the page lacks these examples:\n{}",
        missing.join("\n=====\n")
    );
}
