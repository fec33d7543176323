//! Names made of bytes: blob ids and sessions, and the hex they are written in.

use std::fmt;

macro_rules! hex_id {
    ($(#[doc = $doc:literal])* $name:ident, $size:literal) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $size]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl $name {
            /// Read from exactly as many lower-case hex digits; `None` for anything else.
            pub fn parse(text: &str) -> Option<Self> {
                from_hex(text).map(Self)
            }
        }
    };
}

hex_id! {
    /// The id of a chunk or tree node: keyed BLAKE3 of its plain bytes (format §3).
    BlobId, 32
}
hex_id! {
    /// One run of one writer: 128 random bits, never used twice.
    SessionId, 16
}
hex_id! {
    /// The first 16 bytes of the unkeyed BLAKE3 of a whole object: the last part of its name.
    ObjectHash, 16
}
hex_id! {
    /// The unkeyed BLAKE3 of a whole object: a log entry's, in the next one's `prev`.
    FullHash, 32
}

impl ObjectHash {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let hash = blake3::hash(bytes);
        Self(
            *hash
                .as_bytes()
                .first_chunk()
                .expect("a BLAKE3 hash has 32 bytes"),
        )
    }
}

impl FullHash {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// `N` bytes from exactly `2 × N` lower-case hex digits.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// Lower-case hex.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes any text");
            text
        })
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    //! Hex is strict: names come from strangers.

    use super::*;

    #[test]
    fn hex_is_strict() {
        let id = SessionId([0xab; 16]);
        assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        assert_eq!(SessionId::parse(&id.to_string().to_uppercase()), None);
        assert_eq!(SessionId::parse("ab"), None);
        assert_eq!(SessionId::parse(&"ab".repeat(17)), None);
        assert_eq!(SessionId::parse(&format!("{}g", "a".repeat(31))), None);
        assert_eq!(SessionId::parse(&"é".repeat(16)), None);
    }
}
