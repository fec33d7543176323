//! What a block holds, as the model knows it, and the bytes that stands for.

use uuid::Uuid;

/// Bytes of a pool block here: the least the kernel takes.
pub(crate) const BLOCK: usize = 65_536;

/// The content of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing was written, or it was discarded.
    Zero,
    /// What mkfs writes: the volume's identity where a filesystem has it.
    Head(Uuid),
    /// The so-manieth write.
    Generation(u64),
}

impl Content {
    /// Its bytes; two that differ have different bytes.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; BLOCK];
        match self {
            Self::Zero => (),
            Self::Head(uuid) => {
                put(&mut bytes, 1024 + 0x38, &[0x53, 0xef]);
                put(&mut bytes, 1024 + 0x68, uuid.as_bytes());
            }
            Self::Generation(generation) => {
                let word = generation.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                for (index, place) in bytes.chunks_exact_mut(8).enumerate() {
                    // A page differs from the next, so that what is misplaced is noticed.
                    let page = (index as u64 / 512).wrapping_mul(0x0101_0101);
                    place.copy_from_slice(&word.wrapping_add(page).to_le_bytes());
                }
            }
        }
        bytes
    }

    /// Whether these are its bytes; `None` is a block that is not mapped.
    pub(crate) fn is(self, bytes: Option<&[u8]>) -> bool {
        match (self, bytes) {
            (Self::Zero, None) => true,
            (_, None) => false,
            (_, Some(bytes)) => self.bytes() == bytes,
        }
    }
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    for (place, byte) in bytes.iter_mut().skip(at).zip(what) {
        *place = *byte;
    }
}
