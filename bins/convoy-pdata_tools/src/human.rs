//! Metadata as text for people, byte for byte as the reference tool 0.9.0 prints it.

use crate::thin_dump::Format;
use convoy_thin_metadata::{DeviceDetails, Run, Superblock};
use std::io::{self, Write};

/// All devices and their mappings.
#[derive(Debug)]
pub(crate) struct HumanDump;

impl Format for HumanDump {
    fn begin(&mut self, out: &mut dyn Write, superblock: &Superblock) -> io::Result<()> {
        writeln!(
            out,
            r#"begin superblock: "", {}, {}, {}, 2, {}, {}"#,
            superblock.time,
            superblock.transaction,
            u8::from(superblock.needs_check),
            superblock.data_block_size.sectors().0,
            superblock.nr_data_blocks.unwrap_or(0)
        )
    }

    fn device_begin(&mut self, out: &mut dyn Write, device: &DeviceDetails) -> io::Result<()> {
        writeln!(out, "device: {}", device.dev_id)?;
        writeln!(out, "mapped_blocks: {}", device.mapped_blocks)?;
        writeln!(out, "transaction: {}", device.transaction)?;
        writeln!(out, "creation time: {}", device.creation_time)?;
        writeln!(out, "snap time: {}", device.snapshotted_time)
    }

    fn run(&mut self, out: &mut dyn Write, run: &Run) -> io::Result<()> {
        let (thin, data, time) = (run.thin.0, run.data.0, run.time);
        if run.len == 1 {
            return writeln!(out, "    {thin} -> {data}, {time}");
        }
        let more = run.len - 1;
        writeln!(
            out,
            "    ({thin}..{}) -> ({data}..{}), {time}",
            thin + more,
            data + more
        )
    }

    fn device_end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"\n")
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"end superblock\n")
    }
}
