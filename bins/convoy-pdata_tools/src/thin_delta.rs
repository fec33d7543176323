//! `thin_delta`: how two devices of a pool differ.

use crate::failure::Failure;
use crate::input;
use crate::reference::{self, Reference};
use crate::{json, ranges, xml};
use clap::{Parser, ValueEnum};
use convoy_blockdiff::{Delta, DeltaKind, Options, diff};
use convoy_thin_metadata::Superblock;
use convoy_units::{DevId, ThinRange};
use std::io::{self, Write};

/// What `--help` adds to `-h`.
const LONG: &str = "\
JSON: {\"superblock\": {\"time\", \"transaction\", \"flags\", \"data_block_size\" (sectors of 512 bytes),
\"nr_data_blocks\", \"metadata_snap\"}, \"left\", \"right\", \"ranges\": [{\"kind\", \"begin\", \"length\"}],
\"end\": {\"ranges\", \"blocks\"}}. Numbers are integers; what is not known is null.

Exit status: 0 for success, 1 for anything else.";

/// Compare the mappings of two thin devices of one pool.
///
/// Of each block of the two devices it tells whether it is mapped on the left side only, on the right side only, on both
/// to different data blocks, or on both to the same one. `different` does not prove that the bytes differ; `same` proves
/// that they are equal. Positions and lengths are in data blocks of the pool.
#[derive(Debug, Parser)]
#[command(
    name = "thin_delta",
    after_help = reference::EXIT,
    after_long_help = LONG,
    version = reference::VERSION, disable_version_flag = true,
    term_width = 100,
    infer_long_args = true,
    args_override_self = true
)]
pub(crate) struct Arguments {
    /// The left device, by its id
    #[arg(long = "snap1", visible_alias = "thin1", value_name = "DEV_ID", value_parser = dev_id)]
    left: DevId,

    /// The right device, by its id
    #[arg(long = "snap2", visible_alias = "thin2", value_name = "DEV_ID", value_parser = dev_id)]
    right: DevId,

    /// Where the blocks lie on the data device, too; XML only
    #[arg(long)]
    verbose: bool,

    /// What to print. `same` costs reading both devices' mappings in full; without it the cost grows with the
    /// change
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    input: input::Source,

    #[command(flatten)]
    _reference: Reference,
}

/// What to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// All ranges as XML, as the reference tool prints them
    #[default]
    Xml,
    /// Ranges that are not `same`, one a line: kind, begin, length; then `end` and how many
    Ranges,
    /// Ranges that are not `same`, as one JSON document whose last member is `end`
    Json,
}

/// What the comparison is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header<'a> {
    pub(crate) superblock: &'a Superblock,
    pub(crate) left: DevId,
    pub(crate) right: DevId,
}

/// What was told in all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) ranges: u64,
    pub(crate) blocks: u64,
}

/// One way to print a comparison; `end` is called after the last check, and only then.
pub(crate) trait Format {
    fn begin(&mut self, out: &mut dyn Write, header: Header<'_>) -> io::Result<()>;
    fn range(&mut self, out: &mut dyn Write, delta: &Delta) -> io::Result<()>;
    fn end(&mut self, out: &mut dyn Write, totals: Totals) -> io::Result<()>;
    /// Whether it tells where ranges lie on the data device: if not, ranges that touch are one.
    fn tells_data(&self) -> bool {
        false
    }
}

pub(crate) fn dev_id(text: &str) -> Result<DevId, String> {
    let id: u64 = text.parse().map_err(|_| "not a device id".to_owned())?;
    DevId::new(id).map_err(|error| error.to_string())
}

/// The word for it in every format.
pub(crate) const fn kind_word(kind: DeltaKind) -> &'static str {
    match kind {
        DeltaKind::LeftOnly => "left_only",
        DeltaKind::RightOnly => "right_only",
        DeltaKind::Differ => "different",
        DeltaKind::Same => "same",
    }
}

pub(crate) fn run(
    arguments: &Arguments,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), Failure> {
    let mut format: Box<dyn Format> = match (arguments.output, arguments.verbose) {
        (Output::Xml, false) => Box::new(xml::PlainDelta),
        (Output::Xml, true) => Box::new(xml::VerboseDelta::default()),
        (Output::Ranges, false) => Box::new(ranges::Lines),
        (Output::Json, false) => Box::new(json::JsonDelta::default()),
        (_, true) => {
            let hint = Some("leave --verbose or --output out");
            return Err(Failure::told("--verbose is for XML only", hint));
        }
    };
    let input = input::open(&arguments.input)?;
    let options = Options {
        include_same: arguments.output == Output::Xml,
    };
    let (left, right) = (arguments.left, arguments.right);
    let mut diff = diff(&input.view, Some(left), right, options)?;
    let superblock = input.view.superblock();
    format.begin(
        out,
        Header {
            superblock,
            left,
            right,
        },
    )?;
    let mut totals = Totals::default();
    let mut pending: Option<Delta> = None;
    for delta in diff.by_ref() {
        let delta = delta?;
        match &mut pending {
            Some(before) if !format.tells_data() && touches(before, &delta) => {
                before.range.end = delta.range.end;
            }
            pending => {
                let before = pending.replace(delta);
                before
                    .iter()
                    .try_for_each(|range| tell(&mut *format, out, range, &mut totals))?;
            }
        }
    }
    pending
        .iter()
        .try_for_each(|range| tell(&mut *format, out, range, &mut totals))?;
    let summary = diff.finish()?;
    if summary.time_mismatches > 0 {
        // Nobody at stderr changes nothing of the answer.
        drop(writeln!(
            err,
            "thin_delta: {} blocks are mapped to the same data at different times: this metadata was edited by a tool; they count as same",
            summary.time_mismatches
        ));
    }
    Ok(format.end(out, totals)?)
}

fn touches(before: &Delta, next: &Delta) -> bool {
    before.kind == next.kind && before.range.end == next.range.begin
}

fn tell(
    format: &mut dyn Format,
    out: &mut dyn Write,
    delta: &Delta,
    totals: &mut Totals,
) -> io::Result<()> {
    let ThinRange { begin, end } = delta.range;
    totals.ranges += 1;
    totals.blocks += end.0 - begin.0;
    format.range(out, delta)
}
