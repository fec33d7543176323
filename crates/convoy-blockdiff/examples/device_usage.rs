//! Prints what each thin device of a pool maps, and how much of that no other device does.
//!
//! Usage: `device_usage METADATA [HELD_ROOT]`. METADATA is a metadata device or an image of one. Without `HELD_ROOT`
//! the pool must not be active. One line a device: id, mapped bytes, exclusive bytes.
#![expect(
    clippy::print_stdout,
    reason = "an example program answers on its standard output"
)]

use convoy_blockdiff::usage;
use convoy_thin_metadata::{FileSource, View};
use convoy_units::MetadataBlock;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let view = match &arguments[..] {
        [path] => View::live(FileSource::open(Path::new(path))?)?,
        [path, root] => {
            let root = MetadataBlock(root.parse()?);
            View::held(FileSource::open(Path::new(path))?, root)?
        }
        _ => return Err("usage: device_usage METADATA [HELD_ROOT]".into()),
    };
    for device in usage(&view, None)? {
        let (mapped, exclusive) = (device.mapped.0, device.exclusive.0);
        println!("{} {mapped} {exclusive}", device.dev_id);
    }
    Ok(())
}
