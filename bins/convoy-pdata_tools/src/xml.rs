//! Metadata and comparisons as XML, byte for byte as the reference tools 0.9.0 print them.
//!
//! Every value is a number but the `uuid`, which those tools always print empty: nothing needs escaping.

use crate::thin_delta::{Format as DeltaFormat, Header, Totals, kind_word};
use crate::thin_dump::Format as DumpFormat;
use convoy_blockdiff::{Delta, DeltaKind};
use convoy_thin_metadata::{DeviceDetails, Run, Superblock};
use std::io::{self, Write};

/// A comparison: ranges with their kind.
#[derive(Debug)]
pub(crate) struct PlainDelta;

impl DeltaFormat for PlainDelta {
    fn begin(&mut self, out: &mut dyn Write, header: Header<'_>) -> io::Result<()> {
        delta_begin(out, header)
    }

    fn range(&mut self, out: &mut dyn Write, delta: &Delta) -> io::Result<()> {
        let (kind, range) = (kind_word(delta.kind), delta.range);
        writeln!(
            out,
            r#"    <{kind} begin="{}" length="{}"/>"#,
            range.begin,
            range.len()
        )
    }

    fn end(&mut self, out: &mut dyn Write, _: Totals) -> io::Result<()> {
        out.write_all(DELTA_END)
    }
}

/// A comparison with places on the data device: one element for neighbours of a kind, gaps between them or not.
#[derive(Debug, Default)]
pub(crate) struct VerboseDelta {
    open: Option<DeltaKind>,
}

impl VerboseDelta {
    fn close(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match self.open.take() {
            Some(kind) => writeln!(out, "    </{}>", kind_word(kind)),
            None => Ok(()),
        }
    }
}

impl DeltaFormat for VerboseDelta {
    fn begin(&mut self, out: &mut dyn Write, header: Header<'_>) -> io::Result<()> {
        delta_begin(out, header)
    }

    fn range(&mut self, out: &mut dyn Write, delta: &Delta) -> io::Result<()> {
        if self.open != Some(delta.kind) {
            self.close(out)?;
            writeln!(out, "    <{}>", kind_word(delta.kind))?;
            self.open = Some(delta.kind);
        }
        write!(out, r#"      <range begin="{}""#, delta.range.begin)?;
        match (delta.kind, delta.left, delta.right) {
            (DeltaKind::Differ, Some(left), Some(right)) => {
                write!(
                    out,
                    r#" left_data_begin="{left}" right_data_begin="{right}""#
                )?;
            }
            (_, Some(data), _) | (_, None, Some(data)) => write!(out, r#" data_begin="{data}""#)?,
            (_, None, None) => {}
        }
        writeln!(out, r#" length="{}"/>"#, delta.range.len())
    }

    fn end(&mut self, out: &mut dyn Write, _: Totals) -> io::Result<()> {
        self.close(out)?;
        out.write_all(DELTA_END)
    }

    fn tells_data(&self) -> bool {
        true
    }
}

const DELTA_END: &[u8] = b"  </diff>\n</superblock>\n";

fn delta_begin(out: &mut dyn Write, header: Header<'_>) -> io::Result<()> {
    let superblock = header.superblock;
    write!(
        out,
        r#"<superblock uuid="" time="{}" transaction="{}" data_block_size="{}" nr_data_blocks="{}""#,
        superblock.time,
        superblock.transaction,
        superblock.data_block_size.sectors().0,
        superblock.nr_data_blocks.unwrap_or(0)
    )?;
    if let Some(block) = superblock.held_root {
        write!(out, r#" metadata_snap="{block}""#)?;
    }
    let (left, right) = (header.left, header.right);
    writeln!(out, ">\n  <diff left=\"{left}\" right=\"{right}\">")
}

/// All devices and their mappings.
#[derive(Debug)]
pub(crate) struct XmlDump;

impl DumpFormat for XmlDump {
    fn begin(&mut self, out: &mut dyn Write, superblock: &Superblock) -> io::Result<()> {
        writeln!(
            out,
            r#"<superblock uuid="" time="{}" transaction="{}" flags="{}" version="2" data_block_size="{}" nr_data_blocks="{}">"#,
            superblock.time,
            superblock.transaction,
            u8::from(superblock.needs_check),
            superblock.data_block_size.sectors().0,
            superblock.nr_data_blocks.unwrap_or(0)
        )
    }

    fn device_begin(&mut self, out: &mut dyn Write, device: &DeviceDetails) -> io::Result<()> {
        writeln!(
            out,
            r#"  <device dev_id="{}" mapped_blocks="{}" transaction="{}" creation_time="{}" snap_time="{}">"#,
            device.dev_id,
            device.mapped_blocks,
            device.transaction,
            device.creation_time,
            device.snapshotted_time
        )
    }

    fn run(&mut self, out: &mut dyn Write, run: &Run) -> io::Result<()> {
        let Run {
            thin,
            data,
            len,
            time,
        } = run;
        if *len == 1 {
            writeln!(
                out,
                r#"    <single_mapping origin_block="{thin}" data_block="{data}" time="{time}"/>"#
            )
        } else {
            writeln!(
                out,
                r#"    <range_mapping origin_begin="{thin}" data_begin="{data}" length="{len}" time="{time}"/>"#
            )
        }
    }

    fn device_end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"  </device>\n")
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"</superblock>\n")
    }
}
