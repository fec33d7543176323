//! Which devices and settings an engine accepts, and that what it refuses is as it was.

use convoy_tests::disk::digest;
use convoy_units::Bytes;
use std::path::Path;

mod again;
mod foreign;
mod fresh;

const DATA: Bytes = Bytes::mib(64);
const METADATA: Bytes = Bytes::mib(8);

/// The options that name these two devices.
fn devices<'a>(data: &'a str, metadata: &'a str) -> [(&'static str, &'a str); 2] {
    [("dm.datadev", data), ("dm.metadatadev", metadata)]
}

/// What stands for everything that can be read from these devices.
fn bytes_of(devices: &[&str]) -> Vec<String> {
    nix::unistd::sync();
    devices
        .iter()
        .map(|device| digest(Path::new(device)))
        .collect()
}
