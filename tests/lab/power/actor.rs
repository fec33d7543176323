//! Who does the deeds: one after the other, each told before and after.

use super::cutter::Cutter;
use super::teller::Told;
use super::{Devices, FILE, SIZE, destination};
use crate::verbs::{
    back_up, delete_snapshot, delete_volume, mount, name, restore, silent, snapshot, unmount,
    volume,
};
use convoy_engine::{BackupInfo, Engine, Seams};
use convoy_fault::{Fault, Kind};
use convoy_tests::story::{BLOCKS, BUSY, Deed, Dice, Seen, Verb, World, choose, toward};
use convoy_thinpool::KernelControl;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The first hand; the second is `Busy`.
pub(crate) const HAND: &str = "a";

/// The world as one process sees it.
pub(crate) struct Actor {
    pub(crate) devices: Devices,
    pub(crate) told: Arc<Told>,
    pub(crate) cutter: Arc<Cutter>,
    pub(crate) control: KernelControl,
    pub(crate) dice: Dice,
    /// Held while the second hand must not write.
    pub(crate) pause: Arc<Mutex<()>>,
    engine: Option<Engine>,
}

impl Actor {
    pub(crate) fn new(devices: Devices, told: Arc<Told>, dice: Dice) -> Self {
        Self {
            devices,
            cutter: Arc::new(Cutter::new(Arc::clone(&told))),
            told,
            control: KernelControl::open().unwrap(),
            dice,
            pause: Arc::default(),
            engine: None,
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it was opened")
    }

    /// Opens the engine, which must work after any cut.
    #[track_caller]
    pub(crate) fn open(&mut self) {
        let mut seams = Seams::kernel().unwrap();
        seams.failpoints = Some(Arc::clone(&self.cutter) as _);
        match Engine::open_with(&self.devices.config(), seams) {
            Ok(engine) => self.engine = Some(engine),
            Err(error) => panic!("it does not open: {}", convoy_fault::chain(&error)),
        }
    }

    /// Takes everything down.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        let engine = self.engine.take().expect("it was opened");
        if let Err(error) = engine.stop() {
            panic!("it does not stop: {}", convoy_fault::chain(&error));
        }
    }

    /// The first opening, which makes the pool.
    pub(crate) fn open_first(&mut self) {
        self.act(|_, _| Deed::new(Verb::Open, "-", "-"));
    }

    /// The volume that is written to all the time, as far as it is not there yet.
    pub(crate) fn make_busy(&mut self) {
        let found = self.engine().volume(&name(BUSY));
        if found.is_err() {
            self.act(|_, _| Deed::new(Verb::Create, BUSY, "-"));
        }
        let found = self.engine().volume(&name(BUSY)).unwrap();
        if found.mountpoint.is_none() {
            self.act(|_, _| Deed::new(Verb::Mount, BUSY, "-"));
        }
    }

    /// Does one of these verbs, or what it needs first.
    pub(crate) fn act_any(&mut self, verbs: &[Verb]) {
        self.act(|world, dice| choose(world, verbs, dice));
    }

    /// Does all that comes before this verb, if anything.
    pub(crate) fn prepare(&mut self, verb: Verb) {
        for _ in 0..20 {
            let next = toward(&self.told.world(), verb, &mut self.dice.clone());
            if next.verb == verb {
                return;
            }
            self.act(|world, dice| toward(world, verb, dice));
        }
        panic!("{} cannot be done", verb.word());
    }

    /// Does a deed that is chosen in the world as it is at this moment.
    pub(crate) fn act(&mut self, choose: impl FnOnce(&World, &mut Dice) -> Deed) {
        let deed = {
            let mut world = self.told.world();
            let deed = choose(&world, &mut self.dice);
            self.told
                .tell_in(&mut world, &format!("begin {HAND} {deed}"));
            deed
        };
        self.do_deed(&deed);
        self.told.tell(&format!("done {HAND}"));
    }

    fn do_deed(&mut self, deed: &Deed) {
        let (what, with) = (deed.what.as_str(), deed.with.as_str());
        match deed.verb {
            Verb::Open => self.open(),
            Verb::Restart => {
                let pause = Arc::clone(&self.pause);
                let _pause = pause.lock().unwrap();
                self.stop();
                self.open();
            }
            Verb::Create => drop(volume(self.engine(), what, SIZE)),
            Verb::Restore => {
                let url = self.url(with);
                restore(self.engine(), what, &url);
            }
            Verb::Delete => delete_volume(self.engine(), what),
            Verb::Mount => drop(mount(self.engine(), what)),
            Verb::Unmount => unmount(self.engine(), what),
            Verb::Write => {
                let target = self.engine().volume(&name(what)).unwrap().mountpoint;
                write(&self.cutter, &target.unwrap(), with.parse().unwrap());
            }
            Verb::Snapshot => drop(snapshot(self.engine(), with, what)),
            Verb::DeleteSnapshot => delete_snapshot(self.engine(), what),
            Verb::Backup => drop(back_up(self.engine(), what, &destination())),
            Verb::DeleteBackup => {
                let url = self.url(what);
                self.engine().delete_backup(&url, &silent()).unwrap();
            }
        }
    }

    /// All backups there are; a destination that was never used has none.
    #[track_caller]
    pub(crate) fn backups(&self) -> Vec<BackupInfo> {
        match self.engine().backups(&destination(), None) {
            Ok(backups) => backups,
            Err(error) if error.kind() == Kind::NotFound => Vec::new(),
            Err(error) => panic!("{}", convoy_fault::chain(&error)),
        }
    }

    #[track_caller]
    fn url(&self, snapshot: &str) -> String {
        let found = self.backups().into_iter();
        let mut found = found.filter(|backup| backup.snapshot_name == snapshot);
        found.next().expect("it was made").url
    }
}

/// Writes a generation below a mount point, durably.
pub(crate) fn write(cutter: &Cutter, target: &Path, generation: u64) {
    let options = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(target.join(FILE));
    let file = options.unwrap();
    for block in 0..BLOCKS {
        let bytes = Seen::block(block, generation);
        file.write_all_at(&bytes, (block * bytes.len()) as u64)
            .unwrap();
        cutter.step(&format_args!("after write {block}"));
    }
    cutter.step(&"before fsync");
    file.sync_all().unwrap();
    // A name is durable with its folder.
    File::open(target).unwrap().sync_all().unwrap();
    cutter.step(&"after fsync");
}
