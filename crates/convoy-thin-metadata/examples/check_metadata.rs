//! Checks a pool's metadata: `check_metadata METADATA [HELD_ROOT]`. With a held root the pool may be in use.
#![expect(clippy::print_stdout, reason = "the answer")]

use convoy_thin_metadata::{CheckOptions, FileSource, check};
use convoy_units::MetadataBlock;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("name a file or a device")?;
    let root = arguments.next().map(|root| root.parse()).transpose()?;
    let options = CheckOptions {
        metadata_snapshot: root.map(MetadataBlock),
        ..CheckOptions::default()
    };
    let report = check(&FileSource::open(Path::new(&path))?, &options)?;
    for finding in &report.findings {
        println!("{finding}");
    }
    println!(
        "{} devices, {} mappings, {} of {} data blocks, {} of {} metadata blocks, {} findings",
        report.devices,
        report.mapped_blocks,
        report.data_blocks_used,
        report.data_blocks,
        report.metadata_blocks_used,
        report.metadata_blocks,
        report.findings.len() as u64 + report.uncounted,
    );
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
