//! Numbers with units as `thin_metadata_size` reads and prints them: `64k`, `1gibi`, `100gigabytes`.
//!
//! Lower-case letters are powers of 1024, upper-case ones powers of 1000, `b` is a byte and `s` a sector. A word may be
//! cut short; where two words begin alike, the one of the power of 1024 is meant.

use std::fmt;

/// A unit of size, or of number where devices are counted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) letter: char,
    /// In the plural, as it is always printed.
    pub(crate) word: &'static str,
    pub(crate) size: u128,
}

const fn unit(letter: char, word: &'static str, base: u128, power: u32) -> Unit {
    let size = base.pow(power);
    Unit { letter, word, size }
}

/// What a size without a unit is in, and what sizes are printed in.
pub(crate) const SECTORS: &Unit = &UNITS[1];

/// All units; the order decides what an ambiguous word means.
pub(crate) const UNITS: &[Unit; 18] = &[
    unit('b', "bytes", 1, 1),
    unit('s', "sectors", 512, 1),
    unit('k', "kibibytes", 1024, 1),
    unit('K', "kilobytes", 1000, 1),
    unit('m', "mebibytes", 1024, 2),
    unit('M', "megabytes", 1000, 2),
    unit('g', "gibibytes", 1024, 3),
    unit('G', "gigabytes", 1000, 3),
    unit('t', "tebibytes", 1024, 4),
    unit('T', "terabytes", 1000, 4),
    unit('p', "pebibytes", 1024, 5),
    unit('P', "petabytes", 1000, 5),
    unit('e', "ebibytes", 1024, 6),
    unit('E', "exabytes", 1000, 6),
    unit('z', "zebibytes", 1024, 7),
    unit('Z', "zettabytes", 1000, 7),
    unit('y', "yobibytes", 1024, 8),
    unit('Y', "yottabytes", 1000, 8),
];

impl Unit {
    /// The unit of this letter, or whose word begins so.
    pub(crate) fn named(text: &str) -> Option<&'static Self> {
        let by_letter = UNITS.iter().find(|unit| text.chars().eq([unit.letter]));
        by_letter.or_else(|| {
            let by_word = UNITS.iter().find(|unit| unit.word.starts_with(text));
            by_word.filter(|_| !text.is_empty())
        })
    }
}

/// A number as it was typed, its unit, and what both come to.
#[derive(Debug, Clone)]
pub(crate) struct Quantity {
    digits: String,
    unit: Option<&'static Unit>,
    number: u64,
}

impl Quantity {
    /// Digits, then a unit or nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let end = text.find(|c: char| !c.is_ascii_digit());
        let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
        if digits.is_empty() {
            return Err("no number".to_owned());
        }
        let number = digits.parse().map_err(|_| "too large".to_owned())?;
        let unit = match rest {
            "" => None,
            word => Some(Unit::named(word).ok_or_else(|| format!("no unit {word}"))?),
        };
        Ok(Self {
            digits: digits.to_owned(),
            unit,
            number,
        })
    }

    /// With its unit, or that many of `bare`.
    pub(crate) fn times(&self, bare: u128) -> u128 {
        // 2^64 times 1000^8 does not fit; saturated, it stays too large for whatever is asked.
        let unit = self.unit.map_or(bare, |unit| unit.size);
        u128::from(self.number).saturating_mul(unit)
    }

    /// As typed, but for the unit in full; `bare` stands for none.
    pub(crate) fn in_words(&self, bare: &str) -> String {
        let word = self.unit.map_or(bare, |unit| unit.word);
        format!("{}{word}", self.digits)
    }
}

/// Bytes in a unit as the reference tool 0.9.0 prints them.
///
/// A whole number where it is one; else two decimals, or scientific where the fraction is less than 0.01.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) bytes: u64,
    pub(crate) unit: &'static Unit,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = u128::from(self.bytes);
        if bytes.is_multiple_of(self.unit.size) {
            return write!(f, "{}", bytes / self.unit.size);
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "three digits are printed, as the reference tool computes them"
        )]
        let value = bytes as f64 / self.unit.size as f64;
        if value.fract() < 0.01 {
            write_scientific(f, value)
        } else {
            write!(f, "{value:.2}")
        }
    }
}

/// As C's `%.2e`: the exponent has a sign and at least two digits.
fn write_scientific(f: &mut fmt::Formatter<'_>, value: f64) -> fmt::Result {
    let text = format!("{value:.2e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    write!(f, "{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests;
