//! The model kernel against the real one: the same traces, the same answers, the same states.
//!
//! What the simulation believes of dm-thin is what this shows. Writes are flushed, so that both have committed the
//! same; a power cut is the metadata device put back as it was on the disk.

use crate::pool::control;
use crate::world::sweep;
use convoy_tests::disk::disks;
use convoy_thinpool::fake::FakeKernel;
use convoy_thinpool::{
    Control, ControlError, DmName, Pool, PoolSpec, PoolStatus, Suspend, ThinTable, blockdev,
    pool_name, thin_name, thin_uuid,
};
use convoy_units::{ByteRange, Bytes, DataBlockSize, DevId, Sectors};
use nix::errno::Errno;
use std::fmt::Write;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use uuid::Uuid;

/// Bytes of a block, and blocks of a device.
const BLOCK: usize = 65_536;
const BLOCKS: u64 = 6;
/// Device ids of a trace: few, so that they meet.
const IDS: u64 = 4;
/// As much of the metadata device as these traces use.
const METADATA: usize = 8 << 20;

/// One step of a trace.
#[derive(Debug, Clone, Copy)]
enum Step {
    CreateThin(u64),
    CreateSnap(u64, u64),
    Delete(u64),
    SetTransactionId { right: bool },
    Reserve,
    Release,
    Activate(u64),
    Deactivate(u64),
    Suspend(u64),
    Resume(u64),
    Write(u64, u64, u8),
    Discard(u64, u64),
    PowerCut,
}

/// `xorshift64*`: a trace is its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % end
    }

    /// A step; what needs a device that runs gets one of these, if there is any.
    fn step(&mut self, running: &[u64]) -> Step {
        let id = 1 + self.below(IDS);
        let at = usize::try_from(self.below(running.len().max(1) as u64)).unwrap();
        let up = running.get(at).copied().unwrap_or(id);
        match self.below(60) {
            0..=2 => Step::CreateThin(id),
            3..=9 => Step::CreateSnap(id, up),
            10..=11 => Step::Delete(id),
            12..=13 => Step::SetTransactionId {
                right: self.below(3) > 0,
            },
            14 => Step::Reserve,
            15 => Step::Release,
            16..=23 => Step::Activate(id),
            24 => Step::Deactivate(up),
            25 => Step::Suspend(up),
            26..=28 => Step::Resume(id),
            29..=54 => Step::Write(
                up,
                self.below(BLOCKS),
                u8::try_from(1 + self.below(255)).unwrap(),
            ),
            55..=58 => Step::Discard(up, self.below(BLOCKS)),
            _ => Step::PowerCut,
        }
    }
}

/// One of the two, under the trace.
struct Side {
    control: Arc<dyn Control>,
    /// The model, if this is it.
    model: Option<FakeKernel>,
    pool: PoolSpec,
    transaction: u64,
}

fn name(id: u64) -> DmName {
    thin_name(&"model".parse().unwrap(), Uuid::from_u128(u128::from(id))).unwrap()
}

fn dev_id(id: u64) -> DevId {
    DevId::new(id).unwrap()
}

impl Side {
    fn new(control: Arc<dyn Control>, model: Option<FakeKernel>) -> Self {
        let (metadata, data) = match &model {
            Some(_) => (
                PathBuf::from("/model/metadata"),
                PathBuf::from("/model/data"),
            ),
            None => (disks()[1].clone(), disks()[2].clone()),
        };
        if let Some(model) = &model {
            model.add_device(metadata.clone(), Bytes::mib(16));
            model.add_device(data.clone(), blockdev::size(&disks()[2]).unwrap());
        }
        let pool = PoolSpec {
            name: "model".parse().unwrap(),
            uuid: Uuid::from_u128(0x0de1),
            metadata,
            metadata_len: None,
            data,
            block_size: DataBlockSize::new(Sectors(128)).unwrap(),
            low_water: 4,
            error_if_no_space: true,
        };
        let side = Self {
            control,
            model,
            pool,
            transaction: 0,
        };
        side.up();
        side
    }

    fn up(&self) {
        drop(Pool::activate(Arc::clone(&self.control), &self.pool).unwrap());
    }

    fn message(&self, text: &str) -> Result<(), ControlError> {
        self.control
            .message(&pool_name(&self.pool.name).unwrap(), text)
    }

    fn activate(&self, id: u64) -> Result<(), ControlError> {
        let name = name(id);
        let pool = self
            .control
            .info(&pool_name(&self.pool.name).unwrap())?
            .unwrap();
        let uuid = thin_uuid(self.pool.uuid, Uuid::from_u128(u128::from(id)));
        self.control.create(&name, &uuid)?;
        let table = ThinTable {
            len: Sectors(BLOCKS * 128),
            pool: pool.number,
            dev_id: dev_id(id),
            external_origin: None,
        };
        let loaded = self
            .control
            .load(&name, &[table.line()], false)
            .and_then(|()| self.control.resume(&name));
        if loaded.is_err() {
            self.control.remove(&name)?;
        }
        loaded
    }

    /// Whether a device takes writes and reads at once.
    fn runs(&self, id: u64) -> bool {
        let info = self.control.info(&name(id)).unwrap();
        info.is_some_and(|info| info.live_table && !info.suspended)
    }

    fn node(&self, id: u64) -> PathBuf {
        let info = self.control.info(&name(id)).unwrap().unwrap();
        self.control.node(&name(id), info.number).unwrap()
    }

    fn write(&self, id: u64, block: u64, byte: u8) {
        let bytes = vec![byte; BLOCK];
        if let Some(model) = &self.model {
            model.write_block(&name(id), block, Some(&bytes)).unwrap();
            return model.commit();
        }
        let file = OpenOptions::new().write(true).open(self.node(id)).unwrap();
        file.write_all_at(&bytes, block * BLOCK as u64).unwrap();
        file.sync_all().unwrap();
    }

    fn discard(&self, id: u64, block: u64) {
        if let Some(model) = &self.model {
            model.discard_blocks(&name(id), block, block + 1).unwrap();
            return model.commit();
        }
        let begin = block * BLOCK as u64;
        let end = begin + BLOCK as u64;
        blockdev::discard(&self.node(id), ByteRange { begin, end }).unwrap();
        let file = OpenOptions::new().write(true).open(self.node(id)).unwrap();
        file.sync_all().unwrap();
    }

    fn first_bytes(&self, id: u64) -> Vec<u8> {
        let read = |block: u64| {
            if let Some(model) = &self.model {
                let bytes = model.read_block(&name(id), block).unwrap();
                return bytes.map_or(0, |bytes| bytes[0]);
            }
            let mut byte = [0];
            let file = std::fs::File::open(self.node(id)).unwrap();
            file.read_exact_at(&mut byte, block * BLOCK as u64).unwrap();
            byte[0]
        };
        (0..BLOCKS).map(read).collect()
    }

    /// Everything is gone that was not on the disk.
    fn cut_power(&mut self) {
        if let Some(model) = &self.model {
            model.cut_power();
            return self.up();
        }
        let disk = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.pool.metadata)
            .unwrap();
        // Past the page cache, where the kernel's own writes do not go.
        let mut metadata = vec![0; METADATA + 4096];
        let at = metadata.as_ptr().align_offset(4096);
        let direct = blockdev::open_direct(&self.pool.metadata).unwrap();
        direct
            .read_exact_at(&mut metadata[at..at + METADATA], 0)
            .unwrap();
        for id in 1..=IDS {
            if self.control.info(&name(id)).unwrap().is_some() {
                self.control.resume(&name(id)).unwrap();
                self.control.remove(&name(id)).unwrap();
            }
        }
        self.control
            .remove(&pool_name(&self.pool.name).unwrap())
            .unwrap();
        disk.write_all_at(&metadata[at..at + METADATA], 0).unwrap();
        disk.sync_all().unwrap();
        drop(disk);
        self.up();
    }

    /// Does a step; the answer is an error number, or that it was done, or that it makes no sense now.
    fn play(&mut self, step: Step) -> Option<Result<(), Option<Errno>>> {
        let answer = match step {
            Step::CreateThin(id) => self.message(&format!("create_thin {id}")),
            Step::CreateSnap(id, origin) => self.message(&format!("create_snap {id} {origin}")),
            Step::Delete(id) => self.message(&format!("delete {id}")),
            Step::SetTransactionId { right } => {
                let from = self.transaction + u64::from(!right);
                let to = self.transaction + 1;
                let answer = self.message(&format!("set_transaction_id {from} {to}"));
                self.transaction = if answer.is_ok() { to } else { self.transaction };
                answer
            }
            Step::Reserve => self.message("reserve_metadata_snap"),
            Step::Release => self.message("release_metadata_snap"),
            Step::Activate(id) => self.activate(id),
            Step::Deactivate(id)
            | Step::Suspend(id)
            | Step::Write(id, ..)
            | Step::Discard(id, _)
                if !self.runs(id) =>
            {
                return None;
            }
            Step::Deactivate(id) => self.control.remove(&name(id)),
            Step::Suspend(id) => {
                let how = Suspend {
                    lockfs: true,
                    flush: true,
                };
                self.control.suspend(&name(id), how)
            }
            Step::Resume(id) => self.control.resume(&name(id)),
            Step::Write(id, block, byte) => {
                self.write(id, block, byte);
                Ok(())
            }
            Step::Discard(id, block) => {
                self.discard(id, block);
                Ok(())
            }
            Step::PowerCut => {
                self.cut_power();
                Ok(())
            }
        };
        Some(answer.map_err(|error| error.errno()))
    }

    /// What is to be the same on both.
    fn state(&self) -> String {
        let status = self
            .control
            .status(&pool_name(&self.pool.name).unwrap())
            .unwrap();
        let status = PoolStatus::parse(&status[0].text).unwrap();
        let usage = status.usage().unwrap();
        let mut state = format!(
            "transaction {} held {} data {}/{}",
            usage.transaction_id,
            usage.held_root.is_some(),
            usage.data.used,
            usage.data.total
        );
        for id in 1..=IDS {
            let Some(info) = self.control.info(&name(id)).unwrap() else {
                continue;
            };
            let status = self.control.status(&name(id)).unwrap();
            let mapped = status.first().map_or("-", |target| target.text.trim());
            write!(state, "; {id}: suspended {} {mapped}", info.suspended).unwrap();
            if self.runs(id) {
                write!(state, " {:?}", self.first_bytes(id)).unwrap();
            }
        }
        state
    }
}

fn compare(seed: u64, steps: usize) {
    sweep();
    blockdev::zero_first_block(&disks()[1]).unwrap();
    let model = FakeKernel::new();
    let mut kernel = Side::new(control(), None);
    let mut fake = Side::new(Arc::new(model.clone()), Some(model));
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut story = Vec::new();
    for _ in 0..steps {
        let running: Vec<u64> = (1..=IDS).filter(|id| kernel.runs(*id)).collect();
        let step = random.step(&running);
        let (wanted, found) = (kernel.play(step), fake.play(step));
        story.push(format!("{step:?}: {wanted:?}"));
        let tell = || story.join("\n");
        assert_eq!(
            found,
            wanted,
            "trace {seed}: the model answers otherwise\n{}",
            tell()
        );
        let (wanted, found) = (kernel.state(), fake.state());
        assert_eq!(
            found,
            wanted,
            "trace {seed}: the model is otherwise\n{}",
            tell()
        );
    }
    for id in 1..=IDS {
        if kernel.control.info(&name(id)).unwrap().is_some() {
            kernel.control.resume(&name(id)).unwrap();
            kernel.control.remove(&name(id)).unwrap();
        }
    }
    kernel
        .control
        .remove(&pool_name(&kernel.pool.name).unwrap())
        .unwrap();
}

#[test]
fn traces_end_alike_on_the_model_and_on_the_kernel() {
    let torture = std::env::var_os("CONVOY_TORTURE").is_some();
    let traces = if torture { 200 } else { 6 };
    for seed in 1..=traces {
        compare(seed, 80);
    }
}
