//! A comparison as plain lines for scripts: kind, begin, length; the last line is `end` and their number.

use crate::thin_delta::{Format, Header, Totals, kind_word};
use convoy_blockdiff::Delta;
use std::io::{self, Write};

/// One range a line.
#[derive(Debug)]
pub(crate) struct Lines;

impl Format for Lines {
    fn begin(&mut self, _: &mut dyn Write, _: Header<'_>) -> io::Result<()> {
        Ok(())
    }

    fn range(&mut self, out: &mut dyn Write, delta: &Delta) -> io::Result<()> {
        let (kind, range) = (kind_word(delta.kind), delta.range);
        writeln!(out, "{kind} {} {}", range.begin, range.len())
    }

    fn end(&mut self, out: &mut dyn Write, totals: Totals) -> io::Result<()> {
        writeln!(out, "end {}", totals.ranges)
    }
}
