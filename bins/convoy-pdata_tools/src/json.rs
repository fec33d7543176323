//! Metadata and comparisons as one JSON document each, written as it is read.
//!
//! Keys are the attributes of the reference tools' XML. The last member of every document is `end`, written
//! after the last check: a document without it does not even parse. Every value is a number or one of our own words:
//! nothing needs escaping.

use crate::thin_delta::{Format as DeltaFormat, Header, Totals, kind_word};
use crate::thin_dump::Format as DumpFormat;
use convoy_blockdiff::Delta;
use convoy_thin_metadata::{DeviceDetails, Run, Superblock};
use std::io::{self, Write};

/// A comparison: the ranges that are not the same.
#[derive(Debug, Default)]
pub(crate) struct JsonDelta {
    list: List,
}

impl DeltaFormat for JsonDelta {
    fn begin(&mut self, out: &mut dyn Write, header: Header<'_>) -> io::Result<()> {
        out.write_all(b"{\n")?;
        superblock(out, header.superblock)?;
        let (left, right) = (header.left, header.right);
        write!(out, r#"  "left": {left}, "right": {right}, "ranges": ["#)
    }

    fn range(&mut self, out: &mut dyn Write, delta: &Delta) -> io::Result<()> {
        self.list.item(out, "    ")?;
        let (kind, range) = (kind_word(delta.kind), delta.range);
        write!(
            out,
            r#"{{"kind": "{kind}", "begin": {}, "length": {}}}"#,
            range.begin,
            range.len()
        )
    }

    fn end(&mut self, out: &mut dyn Write, totals: Totals) -> io::Result<()> {
        self.list.close(out, "  ")?;
        let Totals { ranges, blocks } = totals;
        writeln!(
            out,
            ",\n  \"end\": {{\"ranges\": {ranges}, \"blocks\": {blocks}}}\n}}"
        )
    }
}

/// All devices and their mappings.
#[derive(Debug, Default)]
pub(crate) struct JsonDump {
    devices: List,
    mappings: List,
    mapped: u64,
}

impl DumpFormat for JsonDump {
    fn begin(&mut self, out: &mut dyn Write, header: &Superblock) -> io::Result<()> {
        out.write_all(b"{\n")?;
        superblock(out, header)?;
        out.write_all(b"  \"devices\": [")
    }

    fn device_begin(&mut self, out: &mut dyn Write, device: &DeviceDetails) -> io::Result<()> {
        self.devices.item(out, "    ")?;
        self.mappings = List::default();
        write!(
            out,
            r#"{{"dev_id": {}, "mapped_blocks": {}, "transaction": {}, "creation_time": {}, "snap_time": {}, "mappings": ["#,
            device.dev_id,
            device.mapped_blocks,
            device.transaction,
            device.creation_time,
            device.snapshotted_time
        )
    }

    fn run(&mut self, out: &mut dyn Write, run: &Run) -> io::Result<()> {
        self.mappings.item(out, "      ")?;
        self.mapped += run.len;
        write!(
            out,
            r#"{{"origin_begin": {}, "data_begin": {}, "length": {}, "time": {}}}"#,
            run.thin, run.data, run.len, run.time
        )
    }

    fn device_end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.mappings.close(out, "    ")?;
        out.write_all(b"}")
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.devices.close(out, "  ")?;
        let (devices, mapped) = (self.devices.items, self.mapped);
        writeln!(
            out,
            ",\n  \"end\": {{\"devices\": {devices}, \"mappings\": {mapped}}}\n}}"
        )
    }
}

/// An array in the making, an item a line.
#[derive(Debug, Default)]
struct List {
    items: u64,
}

impl List {
    fn item(&mut self, out: &mut dyn Write, indent: &str) -> io::Result<()> {
        let separator = if self.items == 0 { "" } else { "," };
        self.items += 1;
        write!(out, "{separator}\n{indent}")
    }

    fn close(&self, out: &mut dyn Write, indent: &str) -> io::Result<()> {
        if self.items == 0 {
            out.write_all(b"]")
        } else {
            write!(out, "\n{indent}]")
        }
    }
}

/// `nr_data_blocks` and `metadata_snap` are null where the state does not tell them.
fn superblock(out: &mut dyn Write, superblock: &Superblock) -> io::Result<()> {
    let or_null = |n: Option<u64>| n.map_or_else(|| "null".to_owned(), |n| n.to_string());
    writeln!(
        out,
        r#"  "superblock": {{"time": {}, "transaction": {}, "flags": {}, "data_block_size": {}, "nr_data_blocks": {}, "metadata_snap": {}}},"#,
        superblock.time,
        superblock.transaction,
        u8::from(superblock.needs_check),
        superblock.data_block_size.sectors().0,
        or_null(superblock.nr_data_blocks),
        or_null(superblock.held_root.map(|block| block.0))
    )
}
