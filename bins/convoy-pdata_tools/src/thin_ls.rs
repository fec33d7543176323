//! `thin_ls`: the devices of a pool, what each maps, and how much of that nobody else maps.

use crate::failure::Failure;
use crate::input;
use crate::reference::{self, Reference};
use crate::table::table;
use clap::{Parser, ValueEnum};
use convoy_blockdiff::usage;
use convoy_thin_metadata::DeviceDetails;
use convoy_units::{Bytes, DataBlockSize};
use std::io::Write;

/// List the devices of a pool.
///
/// EXCLUSIVE is what no other device of the pool maps: what deleting the device would free. SHARED is the rest. Those
/// fields cost reading all mappings of the pool; the others come from the devices' own records.
#[derive(Debug, Parser)]
#[command(
    name = "thin_ls",
    after_help = reference::EXIT,
    version = reference::VERSION, disable_version_flag = true,
    term_width = 100,
    infer_long_args = true,
    args_override_self = true
)]
pub(crate) struct Arguments {
    /// The columns, separated by commas
    #[arg(
        long, short = 'o', value_name = "FIELDS", value_enum, value_delimiter = ',', num_args = 1,
        action = clap::ArgAction::Set, default_value = "DEV,MAPPED,CREATE_TIME,SNAP_TIME"
    )]
    format: Vec<Field>,

    /// Leave the line of headers out
    #[arg(long)]
    no_headers: bool,

    #[command(flatten)]
    input: input::Source,

    #[command(flatten)]
    _reference: Reference,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
enum Field {
    /// Device id
    Dev,
    MappedBlocks,
    ExclusiveBlocks,
    SharedBlocks,
    MappedSectors,
    ExclusiveSectors,
    SharedSectors,
    MappedBytes,
    ExclusiveBytes,
    SharedBytes,
    /// Rounded, with a unit
    Mapped,
    /// Rounded, with a unit
    Exclusive,
    /// Rounded, with a unit
    Shared,
    /// The pool's transaction id when the device was made
    Transaction,
    /// The pool's time when the device was made
    CreateTime,
    /// The pool's time at its last snapshot
    SnapTime,
}

/// What a cell counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Mapped,
    Exclusive,
    Shared,
}

/// How it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Blocks,
    Sectors,
    Bytes,
    Rounded,
}

impl Field {
    /// What is counted and how, if this column counts mappings.
    const fn counts(self) -> Option<(Measure, Scale)> {
        Some(match self {
            Self::MappedBlocks => (Measure::Mapped, Scale::Blocks),
            Self::MappedSectors => (Measure::Mapped, Scale::Sectors),
            Self::MappedBytes => (Measure::Mapped, Scale::Bytes),
            Self::Mapped => (Measure::Mapped, Scale::Rounded),
            Self::ExclusiveBlocks => (Measure::Exclusive, Scale::Blocks),
            Self::ExclusiveSectors => (Measure::Exclusive, Scale::Sectors),
            Self::ExclusiveBytes => (Measure::Exclusive, Scale::Bytes),
            Self::Exclusive => (Measure::Exclusive, Scale::Rounded),
            Self::SharedBlocks => (Measure::Shared, Scale::Blocks),
            Self::SharedSectors => (Measure::Shared, Scale::Sectors),
            Self::SharedBytes => (Measure::Shared, Scale::Bytes),
            Self::Shared => (Measure::Shared, Scale::Rounded),
            Self::Dev | Self::Transaction | Self::CreateTime | Self::SnapTime => return None,
        })
    }

    fn header(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let input = input::open(&arguments.input)?;
    let view = &input.view;
    let devices = view.devices()?;
    let fields = &arguments.format;
    let needs_usage = fields.iter().any(|field| {
        let counted = field.counts();
        counted.is_some_and(|(measure, _)| measure != Measure::Mapped)
    });
    let exclusive: Vec<Bytes> = if needs_usage {
        let usage = usage(view, None)?;
        usage.iter().map(|usage| usage.exclusive).collect()
    } else {
        vec![Bytes(0); devices.len()]
    };
    let block_size = view.superblock().data_block_size;
    let rows = devices.iter().zip(exclusive).map(|(device, exclusive)| {
        let row = Row {
            device,
            exclusive,
            block_size,
        };
        fields.iter().map(|field| row.cell(*field)).collect()
    });
    let headers = fields.iter().map(|field| field.header()).collect();
    let headers = (!arguments.no_headers).then_some(headers);
    let text = table(headers, rows.collect());
    view.check_unchanged()?;
    Ok(out.write_all(text.as_bytes())?)
}

struct Row<'a> {
    device: &'a DeviceDetails,
    exclusive: Bytes,
    block_size: DataBlockSize,
}

impl Row<'_> {
    fn cell(&self, field: Field) -> String {
        if let Some((measure, scale)) = field.counts() {
            return self.count(measure, scale);
        }
        let device = self.device;
        match field {
            Field::Transaction => device.transaction.to_string(),
            Field::CreateTime => device.creation_time.to_string(),
            Field::SnapTime => device.snapshotted_time.to_string(),
            _ => device.dev_id.to_string(),
        }
    }

    fn count(&self, measure: Measure, scale: Scale) -> String {
        let block = self.block_size.bytes().0;
        // What is mapped was counted entry by entry, or comes from a record that nobody has compared with the
        // entries: that may be any number.
        let mapped = self.device.mapped_blocks.saturating_mul(block);
        let bytes = match measure {
            Measure::Mapped => mapped,
            Measure::Exclusive => self.exclusive.0,
            Measure::Shared => mapped.saturating_sub(self.exclusive.0),
        };
        match scale {
            Scale::Blocks => (bytes / block).to_string(),
            Scale::Sectors => Bytes(bytes).sectors_floor().0.to_string(),
            Scale::Bytes => bytes.to_string(),
            Scale::Rounded => rounded(bytes),
        }
    }
}

/// A size as the reference tool 0.9.0 prints it: in the least unit of which there are 8192 or fewer, to the
/// nearest whole below 1024 of it and cut off above.
fn rounded(bytes: u64) -> String {
    if bytes == 0 {
        return "0".to_owned();
    }
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].into_iter();
    let mut unit = units.next();
    let (mut number, mut rest) = (bytes, 0);
    while number > 8192 {
        (number, rest) = (number / 1024, number % 1024);
        unit = units.next();
    }
    let up = u64::from(number < 1024 && rest >= 512);
    format!("{}{}", number + up, unit.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes and what 0.9.0 printed for them.
    const PRINTED: &[(u64, &str)] = &[
        (0, "0"),
        (65_536, "64KiB"),
        (1_048_576, "1024KiB"),
        (8_388_608, "8192KiB"),
        (8_454_144, "8MiB"),
        (10_420_224, "10MiB"),
        (65_536_000, "63MiB"),
        (1_073_676_288, "1024MiB"),
        (1_114_112_000, "1062MiB"),
        (8_590_458_880, "8192MiB"),
        (8_590_983_168, "8GiB"),
        (10_200_023_040, "9GiB"),
        (10_200_547_328, "10GiB"),
        (8_795_019_280_384, "8191GiB"),
        (8_797_166_764_032, "8TiB"),
    ];

    #[test]
    fn sizes_are_rounded_as_the_reference_tool_rounds_them() {
        for (bytes, printed) in PRINTED {
            assert_eq!(rounded(*bytes), *printed, "{bytes}");
        }
        assert_eq!(rounded(u64::MAX), "16EiB");
    }
}
