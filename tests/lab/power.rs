//! A world that may lose its power at any moment: deeds done to it, and the look afterwards.
//!
//! What may be there is `convoy_tests::story`'s to say; here is how deeds are done with a real engine over whole
//! devices, and how everything is read again. Used by `power_cuts`, where a guest is killed, and `power_replay`,
//! where the writes of a guest are played again up to every flush.

mod actor;
mod busy;
mod cutter;
mod look;
mod teller;

pub(crate) use actor::Actor;
pub(crate) use busy::Busy;
pub(crate) use cutter::Cutter;
pub(crate) use look::{Thorough, is_sound_now, look, mounted_are_sound, raw};
pub(crate) use teller::{Tell, Told};

use convoy_engine::{Config, pool_options};
use convoy_tests::command::word;
use convoy_tests::mapper::SCRATCH;
use convoy_units::Bytes;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Small: a filesystem is made, checked and backed up in no time.
pub(crate) const SIZE: Bytes = Bytes::mib(16);
pub(crate) const POOL: &str = "convoy-pool";
/// The file on each volume whose blocks say in which deed they were written.
const FILE: &str = "generations";

/// The devices of the world.
#[derive(Debug, Clone)]
pub(crate) struct Devices {
    /// The filesystem with the engine's root directory, and with the backups.
    pub(crate) root: PathBuf,
    /// The pool's.
    pub(crate) metadata: PathBuf,
    /// The pool's.
    pub(crate) data: PathBuf,
}

impl Devices {
    fn config(&self) -> Config {
        let options = [
            ("dm.datadev", word(&self.data)),
            ("dm.metadatadev", word(&self.metadata)),
            ("dm.thinpoolblocksize", "128"),
        ];
        let mut config = Config::new(Path::new(SCRATCH).join("root"));
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned()));
        config.pool = pool_options(&options).unwrap();
        config
    }
}

fn destination() -> String {
    format!("vfs://{SCRATCH}/backups")
}

/// Makes the folder that backups go to. It is there for good before anything is told of it.
pub(crate) fn make_destination() {
    fs::create_dir_all(Path::new(SCRATCH).join("backups")).unwrap();
    File::open(SCRATCH).unwrap().sync_all().unwrap();
}
