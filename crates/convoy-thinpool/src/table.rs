//! Table lines of the targets `thin-pool` and `thin`: written and read as text, nothing else.
//!
//! After the kernel's `Documentation/admin-guide/device-mapper/thin-provisioning.rst`. A table that is
//! read back names devices by number, ends in a space, and gives features in the kernel's order.

use crate::control::DeviceNumber;
use convoy_units::{DataBlockSize, DevId, Sectors};
use std::fmt;

/// One line of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableLine {
    /// First sector.
    pub start: Sectors,
    /// How many sectors.
    pub len: Sectors,
    /// The target's type.
    pub target: String,
    /// The target's parameters.
    pub params: String,
}

/// A table that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {target} table: {text:?}")]
pub struct TableError {
    target: &'static str,
    text: String,
}

/// What a `thin-pool` line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolTable {
    /// The data device's size, in whole blocks.
    pub len: Sectors,
    /// Where the pool's metadata is.
    pub metadata: DeviceNumber,
    /// Where its data is.
    pub data: DeviceNumber,
    /// The unit of sharing.
    pub block_size: DataBlockSize,
    /// An event fires when so many data blocks or fewer are free.
    pub low_water: u64,
    /// Whether writes that find no space fail at once rather than wait.
    pub error_if_no_space: bool,
    /// Whether newly provisioned blocks are **not** zeroed: never in a table of ours, since a tenant
    /// would see another's old data.
    pub skip_block_zeroing: bool,
    /// Features that we neither set nor care about, as they were.
    pub other_features: Vec<String>,
}

/// What a `thin` line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThinTable {
    /// The device's virtual size.
    pub len: Sectors,
    /// Its pool.
    pub pool: DeviceNumber,
    /// Which thin device of it.
    pub dev_id: DevId,
    /// What unmapped blocks read from; ours have none.
    pub external_origin: Option<DeviceNumber>,
}

/// What a `linear` line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinearTable {
    /// The device's size.
    pub(crate) len: Sectors,
    /// What it is a part of.
    pub(crate) device: DeviceNumber,
    /// Where in that it begins.
    pub(crate) begin: Sectors,
}

impl PoolTable {
    const TARGET: &'static str = "thin-pool";

    /// The line to load.
    pub fn line(&self) -> TableLine {
        let mut features: Vec<&str> = Vec::new();
        if self.skip_block_zeroing {
            features.push("skip_block_zeroing");
        }
        if self.error_if_no_space {
            features.push("error_if_no_space");
        }
        features.extend(self.other_features.iter().map(String::as_str));
        let mut params = format!(
            "{} {} {} {} {}",
            self.metadata,
            self.data,
            self.block_size.sectors().0,
            self.low_water,
            features.len()
        );
        for feature in features {
            params.push(' ');
            params.push_str(feature);
        }
        line(Self::TARGET, self.len, params)
    }

    /// Reads a line back.
    pub fn parse(line: &TableLine) -> Result<Self, TableError> {
        parse_pool(line).ok_or_else(|| error(Self::TARGET, line))
    }
}

impl ThinTable {
    const TARGET: &'static str = "thin";

    /// The line to load.
    pub fn line(&self) -> TableLine {
        let mut params = format!("{} {}", self.pool, self.dev_id);
        if let Some(origin) = self.external_origin {
            params.push(' ');
            params.push_str(&origin.to_string());
        }
        line(Self::TARGET, self.len, params)
    }

    /// Reads a line back.
    pub fn parse(line: &TableLine) -> Result<Self, TableError> {
        parse_thin(line).ok_or_else(|| error(Self::TARGET, line))
    }
}

impl LinearTable {
    const TARGET: &'static str = "linear";

    /// The line to load.
    pub(crate) fn line(&self) -> TableLine {
        line(
            Self::TARGET,
            self.len,
            format!("{} {}", self.device, self.begin.0),
        )
    }

    /// Reads a line back.
    pub(crate) fn parse(line: &TableLine) -> Result<Self, TableError> {
        parse_linear(line).ok_or_else(|| error(Self::TARGET, line))
    }
}

impl fmt::Display for TableLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, len) = (self.start.0, self.len.0);
        write!(f, "{start} {len} {} {}", self.target, self.params)
    }
}

fn line(target: &str, len: Sectors, params: String) -> TableLine {
    TableLine {
        start: Sectors(0),
        len,
        target: target.to_owned(),
        params,
    }
}

fn error(target: &'static str, line: &TableLine) -> TableError {
    let text = line.to_string().chars().take(200).collect();
    TableError { target, text }
}

fn parse_number(text: &str) -> Option<DeviceNumber> {
    let (major, minor) = text.split_once(':')?;
    Some(DeviceNumber {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

fn parse_pool(line: &TableLine) -> Option<PoolTable> {
    if line.target != PoolTable::TARGET || line.start.0 != 0 {
        return None;
    }
    let mut words = line.params.split_ascii_whitespace();
    let metadata = parse_number(words.next()?)?;
    let data = parse_number(words.next()?)?;
    let block_size = DataBlockSize::new(Sectors(words.next()?.parse().ok()?)).ok()?;
    let low_water = words.next()?.parse().ok()?;
    let count: usize = words.next().map_or(Some(0), |n| n.parse().ok())?;
    let mut features: Vec<String> = words.map(str::to_owned).collect();
    if features.len() != count {
        return None;
    }
    let mut take = |feature: &str| {
        let before = features.len();
        features.retain(|f| f != feature);
        features.len() != before
    };
    let error_if_no_space = take("error_if_no_space");
    let skip_block_zeroing = take("skip_block_zeroing");
    Some(PoolTable {
        len: line.len,
        metadata,
        data,
        block_size,
        low_water,
        error_if_no_space,
        skip_block_zeroing,
        other_features: features,
    })
}

fn parse_thin(line: &TableLine) -> Option<ThinTable> {
    if line.target != ThinTable::TARGET || line.start.0 != 0 {
        return None;
    }
    let mut words = line.params.split_ascii_whitespace();
    let pool = parse_number(words.next()?)?;
    let dev_id = DevId::new(words.next()?.parse().ok()?).ok()?;
    let external_origin = match words.next() {
        Some(text) => Some(parse_number(text)?),
        None => None,
    };
    words.next().is_none().then_some(ThinTable {
        len: line.len,
        pool,
        dev_id,
        external_origin,
    })
}

fn parse_linear(line: &TableLine) -> Option<LinearTable> {
    if line.target != LinearTable::TARGET || line.start.0 != 0 {
        return None;
    }
    let mut words = line.params.split_ascii_whitespace();
    let device = parse_number(words.next()?)?;
    let begin = Sectors(words.next()?.parse().ok()?);
    words.next().is_none().then_some(LinearTable {
        len: line.len,
        device,
        begin,
    })
}

#[cfg(test)]
mod tests {
    //! Lines as the kernel prints them, and lines that are no lines.

    use super::*;
    use proptest::prelude::*;

    fn number(major: u32, minor: u32) -> DeviceNumber {
        DeviceNumber { major, minor }
    }

    #[test]
    fn a_pool_line_as_the_kernel_prints_it() {
        let read = PoolTable::parse(&line(
            "thin-pool",
            Sectors(8_388_608),
            "98:0 98:16 4096 64 2 error_if_no_space no_discard_passdown ".into(),
        ))
        .unwrap();
        assert_eq!(read.metadata, number(98, 0));
        assert_eq!(read.data, number(98, 16));
        assert_eq!(read.block_size, DataBlockSize::DEFAULT);
        assert!(read.error_if_no_space && !read.skip_block_zeroing);
        assert_eq!(read.other_features, ["no_discard_passdown"]);
        assert!(PoolTable::parse(&read.line()).unwrap() == read);
    }

    #[test]
    fn our_lines_are_the_documented_ones() {
        let pool = PoolTable {
            len: Sectors(8192),
            metadata: number(7, 0),
            data: number(7, 1),
            block_size: DataBlockSize::DEFAULT,
            low_water: 10,
            error_if_no_space: false,
            skip_block_zeroing: false,
            other_features: Vec::new(),
        };
        assert_eq!(
            pool.line().to_string(),
            "0 8192 thin-pool 7:0 7:1 4096 10 0"
        );
        let thin = ThinTable {
            len: Sectors(2048),
            pool: number(253, 0),
            dev_id: DevId::new(5).unwrap(),
            external_origin: None,
        };
        assert_eq!(thin.line().to_string(), "0 2048 thin 253:0 5");
        assert_eq!(ThinTable::parse(&thin.line()).unwrap(), thin);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~]{0,80}", pool in any::<bool>()) {
            let target = if pool { "thin-pool" } else { "thin" };
            let line = line(target, Sectors(8), text);
            drop((PoolTable::parse(&line), ThinTable::parse(&line)));
        }
    }
}
