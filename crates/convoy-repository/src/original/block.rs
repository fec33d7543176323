//! One block: gzip around exactly 2 MiB, named by the first half of their SHA-512.

use super::layout::Checksum;
use flate2::read::GzDecoder;
use sha2::{Digest, Sha512};
use std::io::Read;

/// Bytes in every block, and what its offsets are multiples of.
pub const BLOCK: u64 = 2 << 20;
/// The largest stored block, in bytes. What cannot be compressed grows by less than a thousandth.
pub(super) const MAX_PACKED: u64 = BLOCK + (BLOCK >> 4);

/// The checksum of a block of zeros: what stands for it need not be read.
pub(super) const ZEROS: Checksum = Checksum([
    0x73, 0x18, 0x59, 0x02, 0x92, 0x15, 0x87, 0x3f, 0xda, 0xc1, 0xc9, 0xf2, 0xf8, 0xbd, 0x25, 0xa3,
    0x34, 0xab, 0xf0, 0xf3, 0xa9, 0xe1, 0xb0, 0x57, 0xcf, 0x2c, 0xac, 0xc2, 0x82, 0x6d, 0x86, 0xb0,
]);

/// Unpacks a stored block into `plain`, which has [`BLOCK`] bytes then that hash to `checksum`.
///
/// `Err` says what is wrong with it; `plain` may hold anything then. However it was made, no more than one byte
/// over [`BLOCK`] is unpacked. What stands behind the gzip stream is not looked at: the bytes in it are proved.
pub fn open(packed: &[u8], checksum: &Checksum, plain: &mut Vec<u8>) -> Result<(), String> {
    plain.clear();
    GzDecoder::new(packed)
        .take(BLOCK + 1)
        .read_to_end(plain)
        .map_err(|error| format!("it is no whole gzip stream ({error})"))?;
    match plain.len() as u64 {
        BLOCK => (),
        more if more > BLOCK => return Err(format!("it holds more than {BLOCK} bytes")),
        less => return Err(format!("it holds {less} bytes, not {BLOCK}")),
    }
    if checksum_of(plain) == *checksum {
        Ok(())
    } else {
        Err("its bytes do not have the checksum it is named by".to_owned())
    }
}

fn checksum_of(plain: &[u8]) -> Checksum {
    let whole = Sha512::digest(plain);
    let (half, _) = whole
        .split_first_chunk::<32>()
        .expect("SHA-512 has 64 bytes");
    Checksum(*half)
}

#[cfg(test)]
mod tests {
    //! What is given out, and what is not.

    use super::*;
    use convoy_testkit::original::{checksum, pack};

    #[test]
    fn the_checksum_of_zeros_is_what_the_original_writes() {
        let zeros = vec![0; usize::try_from(BLOCK).unwrap()];
        assert_eq!(checksum_of(&zeros), ZEROS);
        assert_eq!(checksum(&zeros), ZEROS.to_string());
    }

    #[track_caller]
    fn check(packed: &[u8], named: &Checksum, what: &str) {
        let mut plain = Vec::new();
        let error = open(packed, named, &mut plain).unwrap_err();
        assert!(error.contains(what), "{error}");
        assert!(plain.len() as u64 <= BLOCK + 1);
    }

    #[test]
    fn only_the_very_bytes_are_given_out() {
        let block: Vec<u8> = (0..BLOCK).map(|n| (n / 997 % 251) as u8).collect();
        let named = Checksum::parse(&checksum(&block)).unwrap();
        let mut plain = Vec::new();
        open(&pack(&block), &named, &mut plain).unwrap();
        assert_eq!(plain, block);

        let packed = pack(&block);
        check(&packed, &ZEROS, "checksum");
        check(&pack(&block[1..]), &named, "2097151 bytes");
        check(&pack(&vec![0; 64 << 20]), &ZEROS, "more than");
        check(&packed[..packed.len() - 1], &named, "no whole gzip");
        check(&packed[..packed.len() / 2], &named, "no whole gzip");
        check(b"", &named, "no whole gzip");
        check(&block, &named, "no whole gzip");
    }
}
