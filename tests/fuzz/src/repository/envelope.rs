//! The 128 bytes before a log entry's body, under a valid MAC.

use super::{KEYS, REPOSITORY, SECRET, overwrite};
use crate::Target;
use crate::input::Input;
use convoy_repository::FullHash;
use convoy_repository::format::{
    Body, Keep, Stamp, Unreadable, Volume, decode_entry, encode_entry,
};
use uuid::Uuid;

/// The target.
pub const TARGET: Target = Target {
    name: "entry",
    about: "a log entry with its envelope",
    run,
    seeds,
    words: &["CNVYLOG1"],
    max_len: 800,
    weight: 2,
};

const MAC_AT: usize = 96;
const BODY_AT: usize = 128;

/// First byte: bit 0 leaves the MAC as it is, bit 1 the length. Then the entry. It is read as the one it claims
/// to be, after the one it claims to follow.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let how = input.u8();
    let mut bytes = input.rest().to_vec();
    if how & 2 == 0 && bytes.len() >= BODY_AT {
        let length = u32::try_from(bytes.len() - BODY_AT).expect("a short input");
        overwrite(&mut bytes, 12, &length.to_le_bytes());
    }
    if how & 1 == 0 && bytes.len() >= BODY_AT {
        let mac = mac(&bytes);
        overwrite(&mut bytes, MAC_AT, &mac);
    }
    let slot = bytes[16.min(bytes.len())..]
        .first_chunk()
        .map_or(0, |slot| u64::from_le_bytes(*slot));
    let prev = bytes[64.min(bytes.len())..]
        .first_chunk()
        .map_or([0; 32], |prev| *prev);
    let Ok(entry) = decode_entry(&KEYS, slot, FullHash(prev), &bytes) else {
        return;
    };
    assert_eq!(
        mac(&bytes),
        bytes[MAC_AT..BODY_AT],
        "an entry that was not signed was taken"
    );
    assert_eq!(
        (entry.slot, entry.op.as_bytes()),
        (slot, &bytes[32..48].try_into().expect("16 bytes"))
    );
    assert!(decode_entry(&KEYS, slot.wrapping_add(1), FullHash(prev), &bytes).is_err());
    match &entry.body {
        Ok(body) => {
            assert_eq!(
                (body.kind(), body.is_collector()),
                (bytes[10], bytes[11] == 1)
            );
            let stamp = Stamp {
                slot,
                prev: FullHash(prev),
                op: entry.op,
                host: entry.host,
                time: entry.time,
            };
            let again = encode_entry(&KEYS, &stamp, body);
            assert_eq!(decode_entry(&KEYS, slot, FullHash(prev), &again), Ok(entry));
        }
        Err(Unreadable::UnknownKind(kind)) => assert_eq!(*kind, bytes[10]),
        Err(Unreadable::WrongRole) => assert_ne!(bytes[11] & 1 == 1, (16..32).contains(&bytes[10])),
        Err(Unreadable::Malformed(why)) => assert!(!why.is_empty()),
    }
}

/// As the format document has it: keyed BLAKE3 of the header before the MAC and of the body.
fn mac(bytes: &[u8]) -> [u8; 32] {
    let context = if bytes[11] & 1 == 1 {
        "convoy repository v1 collector mac"
    } else {
        "convoy repository v1 log mac"
    };
    let key = blake3::derive_key(context, &SECRET);
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(&bytes[..MAC_AT]).update(&bytes[BODY_AT..]);
    *hasher.finalize().as_bytes()
}

fn seeds() -> Vec<Vec<u8>> {
    let stamp = Stamp {
        slot: 5000,
        prev: FullHash([1; 32]),
        op: REPOSITORY,
        host: Uuid::from_bytes([3; 16]),
        time: 4,
    };
    let volume = Body::Volume(Volume {
        id: REPOSITORY,
        name: "v".to_owned(),
        created: None,
    });
    let keep = Body::Keep(Keep {
        session: convoy_repository::SessionId([4; 16]),
    });
    let compact = Body::parse(20, br#"{"old":[],"new":[]}"#).expect("a body");
    let mut seeds: Vec<Vec<u8>> = [volume, keep, compact]
        .iter()
        .map(|body| [&[0][..], &encode_entry(&KEYS, &stamp, body)].concat())
        .collect();
    let mut unknown = seeds[0].clone();
    unknown[11] = 31;
    seeds.push(unknown);
    seeds
}
