//! Amounts: bytes and 512-byte sectors, and the sizes people type.

use std::fmt;
use std::str::FromStr;

/// Bytes in a sector: the kernel's unit for device sizes and tables, whatever the hardware's is.
pub const SECTOR: u64 = 512;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

/// A number of 512-byte sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sectors(pub u64);

impl Bytes {
    /// `n` KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// `n` GiB.
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// The same amount in sectors, if it is a whole number of them.
    pub const fn sectors_exact(self) -> Option<Sectors> {
        if self.0.is_multiple_of(SECTOR) {
            Some(Sectors(self.0 / SECTOR))
        } else {
            None
        }
    }

    /// As many whole sectors as fit.
    pub const fn sectors_floor(self) -> Sectors {
        Sectors(self.0 / SECTOR)
    }
}

impl Sectors {
    /// The same amount in bytes; `None` past 2^64 bytes.
    pub const fn bytes(self) -> Option<Bytes> {
        match self.0.checked_mul(SECTOR) {
            Some(bytes) => Some(Bytes(bytes)),
            None => None,
        }
    }
}

/// As people read it: `1.5 GiB`, `512 B`.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        // The unit is chosen after rounding to a tenth, so that 1023.99 KiB reads 1.0 MiB.
        let mut tenths = u128::from(self.0) * 10;
        let mut chosen = "B";
        for unit in UNITS {
            if (tenths + 512) / 1024 == 0 || chosen != "B" && tenths < 10_240 - 5 {
                break;
            }
            tenths = (tenths + 512) / 1024;
            chosen = unit;
        }
        write!(f, "{}.{} {chosen}", tenths / 10, tenths % 10)
    }
}

impl fmt::Display for Sectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sectors", self.0)
    }
}

/// A size that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a size: write a whole number of bytes, or one followed by K, M, G or T (powers of 1024), such as 10G"
)]
pub struct ParseSizeError(String);

/// A whole number, then nothing or one of `K M G T P` in either case, with `B` or `iB` after it or not;
/// every suffix is a power of 1024, as in the original's sizes.
impl FromStr for Bytes {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, ParseSizeError> {
        let error = || ParseSizeError(text.chars().take(60).collect());
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, suffix) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| error())?;
        let power = match suffix.to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 1,
            "m" | "mb" | "mib" => 2,
            "g" | "gb" | "gib" => 3,
            "t" | "tb" | "tib" => 4,
            "p" | "pb" | "pib" => 5,
            _ => return Err(error()),
        };
        number
            .checked_mul(1 << (10 * power))
            .map(Self)
            .ok_or_else(error)
    }
}

#[cfg(test)]
mod tests;
