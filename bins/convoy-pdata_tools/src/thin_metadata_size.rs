//! `thin_metadata_size`: how large the metadata device of a pool should be.

use crate::failure::Failure;
use crate::quantity::{Figure, Quantity, SECTORS, Unit};
use crate::reference::{self, Reference};
use clap::Parser;
use convoy_thin_metadata::sizing::metadata_size_0_9;
use convoy_thin_metadata::{BLOCK_SIZE, MAX_METADATA_BLOCKS};
use convoy_units::{Bytes, DataBlockSize, Sectors};
use std::io::Write;

/// Estimate how large the metadata device of a pool should be.
///
/// A number may have a unit: b bytes, s sectors (512 bytes), k m g t p e powers of 1024, K M G T P E powers of 1000, or the
/// beginning of its name, as in 64kibi. Sizes without one are in sectors. The estimate counts half-full leaves for every
/// block of the pool, and one root per device; snapshots that diverge take more.
#[derive(Debug, Parser)]
#[command(
    name = "thin_metadata_size",
    after_help = reference::EXIT,
    version = reference::VERSION, disable_version_flag = true,
    term_width = 100,
    infer_long_args = true,
    args_override_self = true
)]
pub(crate) struct Arguments {
    /// Block size of the pool, a power of 2
    #[arg(long, short, value_name = "SIZE", value_parser = Quantity::parse)]
    block_size: Quantity,

    /// Size of the pool's data device
    #[arg(long, short = 's', value_name = "SIZE", value_parser = Quantity::parse)]
    pool_size: Quantity,

    /// How many devices and snapshots there may be; units multiply here, too
    #[arg(long, short, value_name = "NUMBER", value_parser = Quantity::parse)]
    max_thins: Quantity,

    /// Unit of the answer [default: s]
    #[arg(long, short, value_name = "UNIT", value_parser = parse_unit, hide_default_value = true, default_value = "s")]
    unit: &'static Unit,

    /// Print the number only; with the unit's letter or name after it if that is attached, as in -nshort
    #[arg(
        long, short, value_name = "short|long", num_args = 0..=1, require_equals = true,
        default_missing_value = "", value_parser = parse_numeric
    )]
    numeric_only: Option<Numeric>,

    #[command(flatten)]
    _reference: Reference,
}

/// What follows the number.
#[derive(Debug, Clone, Copy)]
enum Numeric {
    Bare,
    Short,
    Long,
}

fn parse_unit(text: &str) -> Result<&'static Unit, String> {
    Unit::named(text).ok_or_else(|| "no such unit".to_owned())
}

fn parse_numeric(text: &str) -> Result<Numeric, String> {
    match text {
        "" => Ok(Numeric::Bare),
        text if "short".starts_with(text) => Ok(Numeric::Short),
        text if "long".starts_with(text) => Ok(Numeric::Long),
        _ => Err("neither short nor long".to_owned()),
    }
}

pub(crate) fn run(
    arguments: &Arguments,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), Failure> {
    let bytes = estimate(arguments)?;
    for note in notes(arguments, bytes) {
        // Nobody at stderr changes nothing of the answer.
        drop(writeln!(err, "thin_metadata_size: note: {note}"));
    }
    let unit = arguments.unit;
    let figure = Figure {
        bytes: bytes.0,
        unit,
    };
    match arguments.numeric_only {
        Some(Numeric::Bare) => writeln!(out, "{figure}")?,
        Some(Numeric::Short) => writeln!(out, "{figure}{}", unit.letter)?,
        Some(Numeric::Long) => writeln!(out, "{figure}{}", unit.word)?,
        None => writeln!(
            out,
            "thin_metadata_size - {figure} {} estimated metadata area size for \"--block-size={} --pool-size={} --max-thins={}\"",
            unit.word,
            arguments.block_size.in_words(SECTORS.word),
            arguments.pool_size.in_words(SECTORS.word),
            arguments.max_thins.in_words("")
        )?,
    }
    Ok(())
}

/// The formula of 0.9.0, with the same inputs refused; and those that would overflow.
fn estimate(arguments: &Arguments) -> Result<Bytes, Failure> {
    let block = sectors(&arguments.block_size, "block size")?;
    let pool = sectors(&arguments.pool_size, "pool size")?;
    let thins = at_most_u64(arguments.max_thins.times(1), "max thins")?;
    for (number, what) in [
        (block, "block size"),
        (pool, "pool size"),
        (thins, "max thins"),
    ] {
        if number == 0 {
            return Err(refused(format!("{what} must not be 0")));
        }
    }
    if !block.is_power_of_two() {
        return Err(refused("block size must be a power of 2"));
    }
    if pool <= block {
        return Err(refused("pool size must be larger than block size"));
    }
    let bytes = metadata_size_0_9(pool, block, thins);
    // The formula saturates; no metadata device is near that.
    if bytes.0 == u64::MAX {
        return Err(refused("max thins is too large"));
    }
    Ok(bytes)
}

/// Whole sectors of a size.
fn sectors(size: &Quantity, what: &str) -> Result<u64, Failure> {
    let bytes = at_most_u64(size.times(SECTORS.size), what)?;
    Ok(Bytes(bytes).sectors_floor().0)
}

fn at_most_u64(number: u128, what: &str) -> Result<u64, Failure> {
    u64::try_from(number).map_err(|_| refused(format!("{what} is too large")))
}

fn refused(message: impl Into<String>) -> Failure {
    Failure::told(message, Some("see thin_metadata_size --help"))
}

/// What the reference tool does not say and a pool will.
fn notes(arguments: &Arguments, bytes: Bytes) -> Vec<String> {
    let mut notes = Vec::new();
    let block = sectors(&arguments.block_size, "block size").map(Sectors);
    if block.is_ok_and(|block| DataBlockSize::new(block).is_err()) {
        notes.push("no pool takes blocks of this size: they are 64 KiB to 1 GiB".to_owned());
    }
    let most = MAX_METADATA_BLOCKS * BLOCK_SIZE as u64;
    if bytes.0 > most {
        notes.push(format!("a pool uses {most} bytes of metadata at most"));
    }
    notes
}
