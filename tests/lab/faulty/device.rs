//! A device whose kind can be changed while it is used: sound, failing, lying, slow, gone.

use convoy_thinpool::{Control, DmName, DmUuid, KernelControl, Suspend, TableLine};
use convoy_units::{Bytes, Sectors};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What a device is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It does what it is told.
    Sound,
    /// Reads work, writes fail (dm-flakey, `error_writes`).
    WritesFail,
    /// Reads work, writes are acknowledged and thrown away (dm-flakey, `drop_writes`).
    WritesVanish,
    /// Everything takes so many milliseconds longer (dm-delay).
    Slow(u32),
    /// Everything fails (the target `error`).
    Gone,
    /// Reads of blocks that are declared bad fail (dm-dust, in blocks of 512 bytes).
    Dusty,
}

/// A part of a scratch disk under a name of its own.
pub(crate) struct Device {
    control: KernelControl,
    name: DmName,
    disk: PathBuf,
    begin: u64,
    sectors: u64,
    pub(crate) node: PathBuf,
}

impl Device {
    /// `size` bytes of a scratch disk from `begin` on, blanked where anybody looks for signatures.
    #[track_caller]
    pub(crate) fn new(name: &str, disk: &Path, begin: Bytes, size: Bytes) -> Self {
        let file = File::options().write(true).open(disk).unwrap();
        for at in [begin.0, begin.0 + size.0 - (1 << 20)] {
            file.write_all_at(&vec![0; 1 << 20], at).unwrap();
        }
        file.sync_all().unwrap();
        let control = KernelControl::open().unwrap();
        let name = DmName::new(name).unwrap();
        let uuid = DmUuid::new(format!("LAB-{name}")).unwrap();
        let info = control.create(&name, &uuid).unwrap();
        let mut device = Self {
            control,
            name,
            disk: disk.to_owned(),
            begin: begin.0 / 512,
            sectors: size.0 / 512,
            node: PathBuf::new(),
        };
        device.load(Kind::Sound);
        device.control.resume(&device.name).unwrap();
        device.node = device.control.node(&device.name, info.number).unwrap();
        device
    }

    /// As the command line takes it.
    pub(crate) fn word(&self) -> &str {
        self.node.to_str().unwrap()
    }

    fn load(&self, kind: Kind) {
        let (disk, begin) = (self.disk.display(), self.begin);
        let (target, params) = match kind {
            Kind::Sound => ("linear", format!("{disk} {begin}")),
            Kind::WritesFail => ("flakey", format!("{disk} {begin} 0 3600 1 error_writes")),
            Kind::WritesVanish => ("flakey", format!("{disk} {begin} 0 3600 1 drop_writes")),
            Kind::Slow(by) => ("delay", format!("{disk} {begin} {by}")),
            Kind::Gone => ("error", String::new()),
            Kind::Dusty => ("dust", format!("{disk} {begin} 512")),
        };
        let line = TableLine {
            start: Sectors(0),
            len: Sectors(self.sectors),
            target: target.to_owned(),
            params,
        };
        self.control.load(&self.name, &[line], false).unwrap();
    }

    /// Changes what it is, under whoever uses it.
    pub(crate) fn becomes(&self, kind: Kind) {
        self.load(kind);
        let how = Suspend {
            lockfs: false,
            flush: false,
        };
        self.control.suspend(&self.name, how).unwrap();
        self.control.resume(&self.name).unwrap();
    }

    /// Makes it longer, sound.
    pub(crate) fn grow(&mut self, size: Bytes) {
        self.sectors = size.0 / 512;
        self.becomes(Kind::Sound);
    }

    /// Declares a sector of a dusty device bad, and has bad ones fail.
    pub(crate) fn spoil(&self, sector: u64) {
        let message = |text: &str| self.control.message(&self.name, text).unwrap();
        message(&format!("addbadblock {sector}"));
        message("enable");
    }
}
