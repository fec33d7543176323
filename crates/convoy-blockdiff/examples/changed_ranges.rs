//! Prints what a backup of one device against another would copy, as fast as the library answers.
//!
//! Usage: `changed_ranges METADATA BASE NEW [HELD_ROOT]`. METADATA is a metadata device or an image of one, BASE a
//! device id or `-` for nothing. Without `HELD_ROOT` the pool must not be active. One line a range: `copy` or `hole`,
//! begin, length. The last line is `end`; without it the answer is not whole.

use convoy_blockdiff::{Change, changes};
use convoy_thin_metadata::{FileSource, View};
use convoy_units::{DevId, MetadataBlock};
use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, base, new, held) = match &arguments[..] {
        [path, base, new] => (path, base, new, None),
        [path, base, new, held] => (path, base, new, Some(MetadataBlock(held.parse()?))),
        _ => return Err("usage: changed_ranges METADATA BASE NEW [HELD_ROOT]".into()),
    };
    let source = FileSource::open(Path::new(path))?;
    let view = match held {
        Some(root) => View::held(source, root)?,
        None => View::live(source)?,
    };
    let base = match base.as_str() {
        "-" => None,
        id => Some(DevId::new(id.parse()?)?),
    };
    let list = changes(&view, base, DevId::new(new.parse()?)?)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for change in &list {
        let (word, range) = match change {
            Change::Copy(range) => ("copy", range),
            Change::Hole(range) => ("hole", range),
        };
        writeln!(out, "{word} {} {}", range.begin, range.len())?;
    }
    writeln!(out, "end")?;
    Ok(out.flush()?)
}
