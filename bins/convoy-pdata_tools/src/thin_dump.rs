//! `thin_dump`: all devices of a pool and their mappings.

use crate::failure::Failure;
use crate::human::HumanDump;
use crate::json::JsonDump;
use crate::reference::{self, Reference};
use crate::thin_delta::dev_id;
use crate::xml::XmlDump;
use crate::{input, output};
use clap::{Parser, ValueEnum};
use convoy_thin_metadata::{DeviceDetails, Error, FileSource, Run, Superblock, View};
use convoy_units::DevId;
use std::io::{self, Write};
use std::path::PathBuf;

/// What `--help` adds to `-h`.
const LONG: &str = "\
JSON: {\"superblock\": {\"time\", \"transaction\", \"flags\", \"data_block_size\", \"nr_data_blocks\",
\"metadata_snap\"}, \"devices\": [{\"dev_id\", \"mapped_blocks\", \"transaction\", \"creation_time\", \"snap_time\",
\"mappings\": [{\"origin_begin\", \"data_begin\", \"length\", \"time\"}]}], \"end\": {\"devices\", \"mappings\"}}.
Numbers are integers; what is not known is null.

Exit status: 0 for success, 1 for anything else.";

/// Print the devices of a pool and their mappings.
///
/// Positions and lengths are in data blocks of the pool, `data_block_size` is in sectors of 512 bytes.
#[derive(Debug, Parser)]
#[command(
    name = "thin_dump",
    after_help = reference::EXIT,
    after_long_help = LONG,
    version = reference::VERSION, disable_version_flag = true,
    term_width = 100,
    infer_long_args = true,
    args_override_self = true
)]
pub(crate) struct Arguments {
    /// What to print
    #[arg(long, short, value_enum, default_value_t)]
    format: Kind,

    /// Only this device; may be repeated
    #[arg(long, value_name = "DEV_ID", value_parser = dev_id, action = clap::ArgAction::Append)]
    dev_id: Vec<DevId>,

    /// Leave the mappings out, and unread
    #[arg(long)]
    skip_mappings: bool,

    /// Write to this file and not to stdout
    #[arg(short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Refused: damaged metadata is never guessed at
    #[arg(long, short, hide_short_help = true)]
    repair: bool,

    #[command(flatten)]
    input: input::Source,

    #[command(flatten)]
    _reference: Reference,
}

/// What to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// What `thin_restore` reads
    #[default]
    Xml,
    /// One JSON document whose last member is `end`
    Json,
    /// Text
    #[value(name = "human_readable")]
    HumanReadable,
}

/// One way to print metadata; `end` is called after the last check, and only then.
pub(crate) trait Format {
    fn begin(&mut self, out: &mut dyn Write, superblock: &Superblock) -> io::Result<()>;
    fn device_begin(&mut self, out: &mut dyn Write, device: &DeviceDetails) -> io::Result<()>;
    fn run(&mut self, out: &mut dyn Write, run: &Run) -> io::Result<()>;
    fn device_end(&mut self, out: &mut dyn Write) -> io::Result<()>;
    fn end(&mut self, out: &mut dyn Write) -> io::Result<()>;
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    if arguments.repair {
        let hint =
            "thin_repair of the thin-provisioning-tools writes what can be saved to another device";
        return Err(Failure::told(
            "--repair is not offered: a dump of damaged metadata would be a guess",
            Some(hint),
        ));
    }
    let input = input::open(&arguments.input)?;
    let devices = chosen(&input.view, &arguments.dev_id)?;
    let dump = |out: &mut dyn Write| dump(arguments, &input.view, &devices, out);
    match &arguments.output {
        Some(path) => output::to_file(path, &arguments.input.metadata, dump),
        None => dump(out),
    }
}

/// The devices asked for, by ascending id; all of them when none is named.
fn chosen(view: &View<FileSource>, ids: &[DevId]) -> Result<Vec<DeviceDetails>, Failure> {
    let mut devices = view.devices()?;
    if let Some(dev_id) = ids
        .iter()
        .find(|id| devices.iter().all(|device| device.dev_id != **id))
    {
        return Err(Error::NoDevice { dev_id: *dev_id }.into());
    }
    devices.retain(|device| ids.is_empty() || ids.contains(&device.dev_id));
    Ok(devices)
}

fn dump(
    arguments: &Arguments,
    view: &View<FileSource>,
    devices: &[DeviceDetails],
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut format: Box<dyn Format> = match arguments.format {
        Kind::Xml => Box::new(XmlDump),
        Kind::Json => Box::new(JsonDump::default()),
        Kind::HumanReadable => Box::new(HumanDump),
    };
    format.begin(out, view.superblock())?;
    for device in devices {
        format.device_begin(out, device)?;
        if !arguments.skip_mappings {
            // Ends in an error unless it was whole.
            for run in view.mappings(device.dev_id)? {
                format.run(out, &run?)?;
            }
        }
        format.device_end(out)?;
    }
    view.check_unchanged()?;
    Ok(format.end(out)?)
}
