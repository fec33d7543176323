//! The envelope of a log entry: 128 bytes before the body (format §5).

use crate::body::{Body, Unreadable, is_collector, is_known};
use crate::id::FullHash;
use crate::keys::Keys;
use convoy_objectstore::Key;
use uuid::Uuid;
use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The longest body.
pub(crate) const MAX_BODY: usize = 16 << 20;
/// Bytes of a whole entry, at most.
pub(crate) const MAX_ENTRY: u64 = MAX_BODY as u64 + 128;
const HEADER: usize = 128;
const MAC_AT: usize = 96;
const COLLECTOR: u8 = 1;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: U16,
    kind: u8,
    flags: u8,
    body: U32,
    slot: U64,
    time: I64,
    op: [u8; 16],
    host: [u8; 16],
    prev: [u8; 32],
    mac: [u8; 32],
}

/// What is written besides the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Which slot.
    pub slot: u64,
    /// The hash of the entry before; zeros at slot 0.
    pub prev: FullHash,
    /// The operation.
    pub op: Uuid,
    /// The writer's host.
    pub host: Uuid,
    /// Microseconds since 1970, information only.
    pub time: i64,
}

/// An entry as the fold takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its slot.
    pub slot: u64,
    /// The operation.
    pub op: Uuid,
    /// The writer's host.
    pub host: Uuid,
    /// Microseconds since 1970, information only.
    pub time: i64,
    /// What it says, or why that cannot be told.
    pub body: Result<Body, Unreadable>,
}

/// The key of slot `n`.
pub fn slot_key(n: u64) -> Key {
    crate::pack::key(format!("log/{:09x}/{n:012x}", n / 4096))
}

/// The bytes of an entry.
pub fn encode(keys: &Keys, stamp: &Stamp, body: &Body) -> Vec<u8> {
    let json = body.to_json();
    let mut header = Header {
        magic: *b"CNVYLOG1",
        version: U16::new(1),
        kind: body.kind(),
        flags: if body.is_collector() { COLLECTOR } else { 0 },
        body: U32::new(u32::try_from(json.len()).expect("a body stays below 16 MiB")),
        slot: U64::new(stamp.slot),
        time: I64::new(stamp.time),
        op: *stamp.op.as_bytes(),
        host: *stamp.host.as_bytes(),
        prev: stamp.prev.0,
        mac: [0; 32],
    };
    let signed = header.as_bytes().get(..MAC_AT).unwrap_or_default();
    header.mac = keys.mac(body.is_collector(), signed, &json);
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(json);
    bytes
}

/// The entry at `slot` after the one whose hash is `prev`; `Err` names the broken rule: damage, or
/// another repository's entry.
pub fn decode(keys: &Keys, slot: u64, prev: FullHash, bytes: &[u8]) -> Result<Entry, String> {
    let (header, json) =
        Header::read_from_prefix(bytes).map_err(|_| "it is shorter than an entry")?;
    if header.magic != *b"CNVYLOG1" {
        return Err("it does not begin like a log entry".to_owned());
    }
    if header.slot.get() != slot {
        return Err(format!("it is the entry of slot {}", header.slot));
    }
    if json.len() > MAX_BODY || header.body.get() as usize != json.len() {
        return Err(format!(
            "its body has {} bytes, not {}",
            json.len(),
            header.body
        ));
    }
    if header.prev != prev.0 {
        return Err(
            "it does not follow the entry before it: the log was rolled back or forked".to_owned(),
        );
    }
    let signed = bytes.get(..MAC_AT).unwrap_or_default();
    let collector = header.flags & COLLECTOR != 0;
    if keys.mac(collector, signed, json) != header.mac {
        return Err("its bytes do not have its MAC".to_owned());
    }
    Ok(Entry {
        slot,
        op: Uuid::from_bytes(header.op),
        host: Uuid::from_bytes(header.host),
        time: header.time.get(),
        body: body(&header, collector, json),
    })
}

fn body(header: &Header, collector: bool, json: &[u8]) -> Result<Body, Unreadable> {
    if header.version.get() != 1 || header.flags & !COLLECTOR != 0 || !is_known(header.kind) {
        return Err(Unreadable::UnknownKind(header.kind));
    }
    if collector != is_collector(header.kind) {
        return Err(Unreadable::WrongRole);
    }
    Body::parse(header.kind, json)
}

/// The operation an entry claims to be, without any check: to recognise our own.
pub(crate) fn op_of(bytes: &[u8]) -> Option<Uuid> {
    Header::read_from_prefix(bytes)
        .ok()
        .map(|(header, _)| Uuid::from_bytes(header.op))
}

/// The hash an entry claims for the one before it, without any check.
pub(crate) fn prev_of(bytes: &[u8]) -> Option<FullHash> {
    let (header, body) = Header::read_from_prefix(bytes).ok()?;
    debug_assert_eq!(bytes.len() - body.len(), HEADER);
    Some(FullHash(header.prev))
}

#[cfg(test)]
mod tests {
    //! Any damage of an entry is seen, wherever it is.

    use super::*;
    use crate::body::Volume;
    use crate::keys::Secret;

    #[test]
    fn every_bit_is_covered() {
        let keys = Keys::derive(&Secret([2; 32]));
        let stamp = Stamp {
            slot: 5000,
            prev: FullHash([1; 32]),
            op: Uuid::from_bytes([2; 16]),
            host: Uuid::from_bytes([3; 16]),
            time: 4,
        };
        let body = Body::Volume(Volume {
            id: Uuid::nil(),
            name: "v".to_owned(),
            created: None,
        });
        let bytes = encode(&keys, &stamp, &body);
        let entry = decode(&keys, 5000, FullHash([1; 32]), &bytes).unwrap();
        assert_eq!(entry.body, Ok(body));
        assert_eq!(slot_key(5000).as_str(), "log/000000001/000000001388");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                decode(&keys, 5000, FullHash([1; 32]), &damaged).is_err(),
                "bit {bit}"
            );
        }
        for cut in 0..bytes.len() {
            assert!(decode(&keys, 5000, FullHash([1; 32]), &bytes[..cut]).is_err());
        }
        assert!(
            decode(&keys, 5001, FullHash([1; 32]), &bytes)
                .unwrap_err()
                .contains("slot 5000")
        );
        assert!(
            decode(&keys, 5000, FullHash([0; 32]), &bytes)
                .unwrap_err()
                .contains("forked")
        );
    }

    #[test]
    fn roles_and_kinds() {
        let keys = Keys::derive(&Secret([2; 32]));
        let check = |version: u16, kind: u8, flags: u8, expected: Result<(), Unreadable>| {
            let mut header = Header::read_from_bytes(&[0; HEADER]).unwrap();
            header.magic = *b"CNVYLOG1";
            (header.version, header.kind, header.flags) = (U16::new(version), kind, flags);
            let json = br#"{"session":"44444444444444444444444444444444","packs":[],"basis":0}"#;
            header.body = U32::new(u32::try_from(json.len()).unwrap());
            header.mac = keys.mac(flags & 1 != 0, &header.as_bytes()[..MAC_AT], json);
            let bytes = [header.as_bytes(), json].concat();
            let entry = decode(&keys, 0, FullHash([0; 32]), &bytes).unwrap();
            assert_eq!(entry.body.map(|_| ()), expected, "{version} {kind} {flags}");
        };
        check(1, 6, 0, Ok(()));
        check(1, 18, 1, Ok(()));
        check(1, 6, 1, Err(Unreadable::WrongRole));
        check(1, 18, 0, Err(Unreadable::WrongRole));
        for (version, kind, flags) in [
            (0, 6, 0),
            (2, 6, 0),
            (1, 6, 2),
            (1, 7, 0),
            (1, 7, 1),
            (1, 21, 0),
            (1, 31, 1),
        ] {
            check(version, kind, flags, Err(Unreadable::UnknownKind(kind)));
        }
    }
}
