//! The real thing: device-mapper's ioctls through crate `devicemapper`'s low-level `DM`.
//!
//! Works with and without udev. Without it the crate sends no cookies and makes no nodes, so we make them
//! (`nodes.rs`). With it, removing and resuming wait for udev's answer on a semaphore that may never
//! come (a container that sees the host's `/run/udev` but not its IPC namespace): those ioctls run on
//! a thread of their own, and what the kernel says of the device, not udev, tells when they are done.

use crate::blockdev;
use crate::control::{
    BackingDevice, Control, ControlError, DeviceInfo, DeviceNumber, Listed, Operation, Suspend,
    TargetStatus,
};
use crate::names::{DmName, DmUuid};
use crate::table::TableLine;
use convoy_units::Sectors;
use devicemapper::{DM, DevId, DmError, DmFlags, DmOptions, errors};
use nix::errno::Errno;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

mod nodes;

/// How long udev may take to answer for a removal before we go on without it.
const UDEV_PATIENCE: Duration = Duration::from_secs(10);
/// How often the kernel is asked whether a resume is done while udev has not answered yet.
const UDEV_POLL: Duration = Duration::from_millis(1);

/// The kernel's device-mapper.
pub struct KernelControl {
    dm: Arc<DM>,
    /// udev let us wait in vain once: it will do so again.
    udev_is_deaf: AtomicBool,
}

impl fmt::Debug for KernelControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KernelControl")
    }
}

impl KernelControl {
    /// Opens `/dev/mapper/control`, which must exist: `modprobe dm_mod` makes it. Needs root.
    pub fn open() -> Result<Self, ControlError> {
        let unavailable = |reason: String| ControlError::Unavailable { reason };
        let dm = DM::new().map_err(|source| unavailable(source.to_string()))?;
        match dm.version() {
            Ok(_) => Ok(Self {
                dm: Arc::new(dm),
                udev_is_deaf: AtomicBool::new(false),
            }),
            Err(source) => {
                let error = translate(Operation::List, &"/dev/mapper/control", source);
                match error.errno() {
                    Some(Errno::EPERM | Errno::EACCES) | None => Err(error),
                    Some(errno) => Err(unavailable(errno.desc().to_owned())),
                }
            }
        }
    }

    /// Runs an ioctl that may wait for udev: on this thread where there is none.
    ///
    /// `done` asks the kernel whether it did what was wanted; once it has, the wait for udev alone
    /// goes on for `patience` at most, and then without us.
    fn with_udev(
        &self,
        operation: Operation,
        device: &dyn fmt::Display,
        patience: Duration,
        done: impl Fn() -> bool,
        ioctl: impl FnOnce(&DM) -> Result<(), DmError> + Send + 'static,
    ) -> Result<(), ControlError> {
        let failed = |source| translate(operation, device, source);
        if !nodes::udev_is_running() {
            return ioctl(&self.dm).map_err(failed);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let dm = Arc::clone(&self.dm);
        // Kept where both threads reach it: a machine that can start no thread must still resume.
        let ioctl = Arc::new(Mutex::new(Some(ioctl)));
        let run = {
            let ioctl = Arc::clone(&ioctl);
            move || {
                let ioctl = ioctl.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(ioctl) = ioctl {
                    // The receiver is gone if nobody waits any more: there is nothing to tell then.
                    drop(sender.send(ioctl(&dm)));
                }
            }
        };
        let spawned = std::thread::Builder::new()
            .name("convoy-dm".into())
            .spawn(run);
        if let Err(source) = spawned {
            tracing::warn!(%device, %source, "no thread to wait for udev on: waiting here");
            let ioctl = ioctl.lock().unwrap_or_else(PoisonError::into_inner).take();
            return ioctl.map_or(Ok(()), |ioctl| ioctl(&self.dm).map_err(failed));
        }
        let mut done_since = None;
        loop {
            match receiver.recv_timeout(UDEV_POLL) {
                Ok(result) => return result.map_err(failed),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(ControlError::ioctl(operation, device, Errno::EIO));
                }
                Err(mpsc::RecvTimeoutError::Timeout) if !done() => {}
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let since: &Instant = done_since.get_or_insert_with(Instant::now);
                    let deaf = self.udev_is_deaf.load(Ordering::Relaxed);
                    if deaf || since.elapsed() >= patience {
                        if !deaf && !patience.is_zero() {
                            self.udev_is_deaf.store(true, Ordering::Relaxed);
                            tracing::warn!(%device, %operation, "udev does not answer, going on without it");
                        }
                        return Ok(());
                    }
                }
            }
        }
    }

    fn look(
        &self,
        device: &dyn fmt::Display,
        id: &DevId<'_>,
    ) -> Result<Option<devicemapper::DeviceInfo>, ControlError> {
        match self.dm.device_info(id) {
            Ok(info) => Ok(Some(info)),
            Err(source) => match translate(Operation::Info, device, source) {
                error if error.errno() == Some(Errno::ENXIO) => Ok(None),
                error => Err(error),
            },
        }
    }

    fn targets(
        &self,
        operation: Operation,
        name: &DmName,
        flags: DmFlags,
    ) -> Result<Vec<(u64, u64, String, String)>, ControlError> {
        let (info, targets) = self
            .dm
            .table_status(&id(name)?, DmOptions::default().set_flags(flags))
            .map_err(|source| translate(operation, name, source))?;
        // Without a live table the kernel answers for nothing at all; some versions for the inactive one.
        let live = info.flags().contains(DmFlags::DM_ACTIVE_PRESENT);
        Ok(if live { targets } else { Vec::new() })
    }
}

impl Control for KernelControl {
    fn list(&self) -> Result<Vec<Listed>, ControlError> {
        let devices = self
            .dm
            .list_devices()
            .map_err(|source| translate(Operation::List, &"all", source))?;
        // A name that is not visible ASCII is another's device by definition: ours never are so.
        let listed = devices.into_iter().filter_map(|(name, device, _)| {
            Some(Listed {
                name: DmName::new(name.to_string()).ok()?,
                number: number(device),
                uuid: None,
            })
        });
        Ok(listed.collect())
    }

    fn info(&self, name: &DmName) -> Result<Option<DeviceInfo>, ControlError> {
        let found = self.look(name, &id(name)?)?;
        Ok(found.map(|info| read_info(name, &info)))
    }

    fn info_by_uuid(&self, uuid: &DmUuid) -> Result<Option<DeviceInfo>, ControlError> {
        let Some(info) = self.look(uuid, &id_of(uuid)?)? else {
            return Ok(None);
        };
        let name = info
            .name()
            .and_then(|name| DmName::new(name.to_string()).ok())
            .ok_or_else(|| ControlError::Answer {
                operation: Operation::Info,
                device: uuid.to_string(),
                reason: "it has no name that we can read".to_owned(),
            })?;
        Ok(Some(read_info(&name, &info)))
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, ControlError> {
        let dm_uuid = devicemapper::DmUuid::new(uuid.as_str())
            .map_err(|source| translate(Operation::Create, name, source))?;
        let DevId::Name(dm_name) = id(name)? else {
            return Err(ControlError::ioctl(Operation::Create, name, Errno::EINVAL));
        };
        let info = self
            .dm
            .device_create(dm_name, Some(dm_uuid), DmOptions::private())
            .map_err(|source| translate(Operation::Create, name, source))?;
        Ok(read_info(name, &info))
    }

    fn load(
        &self,
        name: &DmName,
        table: &[TableLine],
        read_only: bool,
    ) -> Result<(), ControlError> {
        let targets: Vec<_> = table
            .iter()
            .map(|line| {
                (
                    line.start.0,
                    line.len.0,
                    line.target.clone(),
                    line.params.clone(),
                )
            })
            .collect();
        let flags = if read_only {
            DmFlags::DM_READONLY
        } else {
            DmFlags::empty()
        };
        self.dm
            .table_load(&id(name)?, &targets, DmOptions::default().set_flags(flags))
            .map(drop)
            .map_err(|source| translate(Operation::Load, name, source))
    }

    fn suspend(&self, name: &DmName, how: Suspend) -> Result<(), ControlError> {
        let mut flags = DmFlags::DM_SUSPEND;
        flags.set(DmFlags::DM_SKIP_LOCKFS, !how.lockfs);
        flags.set(DmFlags::DM_NOFLUSH, !how.flush);
        self.dm
            .device_suspend(&id(name)?, DmOptions::private().set_flags(flags))
            .map(drop)
            .map_err(|source| translate(Operation::Suspend, name, source))
    }

    fn resume(&self, name: &DmName) -> Result<(), ControlError> {
        let resumed = || {
            let info = self.info(name).ok().flatten();
            info.as_ref().is_some_and(is_resumed)
        };
        // Nothing to do must do nothing: an ioctl sent from a thread of its own could arrive after this
        // returned, and end the next suspension.
        if resumed() {
            return Ok(());
        }
        let owned = name.clone();
        // Writes pass as soon as the kernel resumed: nobody waits for udev here.
        self.with_udev(
            Operation::Resume,
            name,
            Duration::ZERO,
            resumed,
            move |dm| {
                let name = devicemapper::DmName::new(owned.as_str())?;
                dm.device_suspend(&DevId::Name(name), DmOptions::private())
                    .map(drop)
            },
        )
    }

    fn resume_by_uuid(&self, uuid: &DmUuid) -> Result<(), ControlError> {
        let Some(info) = self.info_by_uuid(uuid)? else {
            return Err(ControlError::ioctl(Operation::Resume, uuid, Errno::ENXIO));
        };
        if is_resumed(&info) {
            return Ok(());
        }
        let resumed = || {
            let info = self.info_by_uuid(uuid).ok().flatten();
            info.as_ref().is_some_and(is_resumed)
        };
        let owned = uuid.clone();
        self.with_udev(
            Operation::Resume,
            uuid,
            Duration::ZERO,
            resumed,
            move |dm| {
                let uuid = devicemapper::DmUuid::new(owned.as_str())?;
                dm.device_suspend(&DevId::Uuid(uuid), DmOptions::private())
                    .map(drop)
            },
        )
    }

    fn remove(&self, name: &DmName) -> Result<(), ControlError> {
        let number = self.info(name)?.map(|info| info.number);
        let gone = || self.info(name).is_ok_and(|info| info.is_none());
        let owned = name.clone();
        self.with_udev(Operation::Remove, name, UDEV_PATIENCE, gone, move |dm| {
            let name = devicemapper::DmName::new(owned.as_str())?;
            dm.device_remove(&DevId::Name(name), DmOptions::private())
                .map(drop)
        })?;
        if let Some(number) = number {
            nodes::forget(name, number);
        }
        Ok(())
    }

    fn table(&self, name: &DmName) -> Result<Vec<TableLine>, ControlError> {
        let flags = DmFlags::DM_STATUS_TABLE | DmFlags::DM_NOFLUSH;
        let targets = self.targets(Operation::Table, name, flags)?;
        let line = |(start, len, target, params)| TableLine {
            start: Sectors(start),
            len: Sectors(len),
            target,
            params,
        };
        Ok(targets.into_iter().map(line).collect())
    }

    fn status(&self, name: &DmName) -> Result<Vec<TargetStatus>, ControlError> {
        let targets = self.targets(Operation::Status, name, DmFlags::DM_NOFLUSH)?;
        let status = |(start, len, target, text)| TargetStatus {
            start: Sectors(start),
            len: Sectors(len),
            target,
            text,
        };
        Ok(targets.into_iter().map(status).collect())
    }

    fn message(&self, name: &DmName, text: &str) -> Result<(), ControlError> {
        self.dm
            .target_msg(&id(name)?, None, text)
            .map(drop)
            .map_err(|source| translate(Operation::Message, name, source))
    }

    fn node(&self, name: &DmName, number: DeviceNumber) -> Result<PathBuf, ControlError> {
        nodes::ensure(name, number).map_err(|source| open_error(Operation::Node, name, &source))
    }

    fn backing(&self, path: &Path) -> Result<BackingDevice, ControlError> {
        let facts = blockdev::facts(path)
            .map_err(|source| open_error(Operation::Open, &path.display(), &source))?;
        Ok(BackingDevice {
            number: facts.number,
            size: facts.size,
        })
    }
}

fn id(name: &DmName) -> Result<DevId<'_>, ControlError> {
    devicemapper::DmName::new(name.as_str())
        .map(DevId::Name)
        .map_err(|source| translate(Operation::Info, name, source))
}

fn id_of(uuid: &DmUuid) -> Result<DevId<'_>, ControlError> {
    devicemapper::DmUuid::new(uuid.as_str())
        .map(DevId::Uuid)
        .map_err(|source| translate(Operation::Info, uuid, source))
}

/// Whether a resume has nothing to do.
fn is_resumed(info: &DeviceInfo) -> bool {
    !info.suspended && !info.inactive_table
}

fn number(device: devicemapper::Device) -> DeviceNumber {
    DeviceNumber {
        major: device.major,
        minor: device.minor,
    }
}

fn read_info(name: &DmName, info: &devicemapper::DeviceInfo) -> DeviceInfo {
    let flags = info.flags();
    DeviceInfo {
        name: name.clone(),
        number: number(info.device()),
        uuid: info
            .uuid()
            .and_then(|uuid| DmUuid::new(uuid.to_string()).ok()),
        open_count: u32::try_from(info.open_count()).unwrap_or(0),
        suspended: flags.contains(DmFlags::DM_SUSPEND),
        live_table: flags.contains(DmFlags::DM_ACTIVE_PRESENT),
        inactive_table: flags.contains(DmFlags::DM_INACTIVE_PRESENT),
        event_nr: info.event_nr(),
        read_only: flags.contains(DmFlags::DM_READONLY),
    }
}

fn open_error(
    operation: Operation,
    device: &dyn fmt::Display,
    source: &std::io::Error,
) -> ControlError {
    match source.raw_os_error() {
        Some(raw) => ControlError::ioctl(operation, device, Errno::from_raw(raw)),
        None => ControlError::Answer {
            operation,
            device: device.to_string(),
            reason: source.to_string(),
        },
    }
}

/// The crate's message repeats the whole ioctl buffer: the error number is what matters.
fn translate(operation: Operation, device: &dyn fmt::Display, source: DmError) -> ControlError {
    match source {
        DmError::Core(errors::Error::Ioctl(_, _, _, errno)) => {
            ControlError::ioctl(operation, device, Errno::from_raw(*errno as i32))
        }
        other => ControlError::Answer {
            operation,
            device: device.to_string(),
            reason: other.to_string(),
        },
    }
}
