//! A guard over the model kernel, and the guard's process as a shell that speaks like one.

use super::*;
use crate::control::{Control, Suspend};
use crate::fake::FakeKernel;
use crate::names::{DmName, thin_name, thin_uuid};
use crate::{Error, Operation, Pool, PoolSpec, ThinSpec};
use convoy_units::{Bytes, DataBlockSize, DevId, Sectors};
use nix::errno::Errno;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;
use uuid::Uuid;

const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(80);

struct World {
    kernel: FakeKernel,
    pool: Pool,
    name: DmName,
    device: DmUuid,
}

fn world() -> World {
    let kernel = FakeKernel::new();
    kernel.add_device("/dev/m", Bytes::mib(16));
    kernel.add_device("/dev/d", Bytes::gib(1));
    let spec = PoolSpec {
        name: "p".parse().unwrap(),
        uuid: Uuid::from_u128(1),
        metadata: "/dev/m".into(),
        metadata_len: None,
        data: "/dev/d".into(),
        block_size: DataBlockSize::DEFAULT,
        low_water: 8,
        error_if_no_space: false,
    };
    let pool = Pool::activate(Arc::new(kernel.clone()), &spec).unwrap();
    let (uuid, dev_id) = (Uuid::from_u128(7), DevId::new(1).unwrap());
    pool.create_thin(dev_id).unwrap();
    pool.activate_thin(&ThinSpec {
        uuid,
        dev_id,
        size: Sectors(4096),
        read_only: false,
    })
    .unwrap();
    World {
        name: thin_name(&spec.name, uuid).unwrap(),
        device: thin_uuid(spec.uuid, uuid),
        kernel,
        pool,
    }
}

impl World {
    fn suspend(&self) {
        let how = Suspend {
            lockfs: true,
            flush: true,
        };
        self.kernel.suspend(&self.name, how).unwrap();
    }

    fn suspended(&self) -> bool {
        self.kernel.info(&self.name).unwrap().unwrap().suspended
    }

    #[track_caller]
    fn runs_within(&self, patience: Duration) {
        let begin = Instant::now();
        while self.suspended() {
            assert!(begin.elapsed() < patience, "it is suspended still");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A guard in a thread; what it told, once it has ended.
    fn guard(&self) -> (Caller, JoinHandle<Vec<String>>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let kernel = self.kernel.clone();
        let served = std::thread::spawn(move || {
            let mut told = Vec::new();
            serve(theirs, &kernel, |device, why| {
                told.push(format!("{device}: {why}"));
            })
            .unwrap();
            told
        });
        let mut caller = Caller(BufReader::new(ours));
        assert_eq!(caller.line(), "ready");
        (caller, served)
    }
}

/// The other end of a guard's socket.
struct Caller(BufReader<UnixStream>);

impl Caller {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(line.as_bytes()).unwrap();
        self.0.get_mut().write_all(b"\n").unwrap();
        self.line()
    }

    fn arm(&mut self, ticket: u64, world: &World, limit: Duration) {
        let line = format!("arm {ticket} {} {}", limit.as_millis(), world.device);
        assert_eq!(self.ask(&line), format!("armed {ticket}"));
    }
}

#[test]
fn whoever_dies_inside_is_followed_by_a_resume() {
    let world = world();
    let (mut caller, served) = world.guard();
    caller.arm(1, &world, LONG);
    world.suspend();
    drop(caller);
    let told = served.join().unwrap();
    assert!(!world.suspended());
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with(world.device.as_str()), "{told:?}");
}

#[test]
fn nothing_is_touched_that_was_given_back() {
    let world = world();
    let (mut caller, served) = world.guard();
    caller.arm(1, &world, SHORT);
    assert_eq!(caller.ask("disarm 1"), "in-time 1");
    // Somebody else's doing from here on.
    world.suspend();
    std::thread::sleep(SHORT * 2);
    drop(caller);
    assert_eq!(served.join().unwrap(), Vec::<String>::new());
    assert!(world.suspended());
}

#[test]
fn whoever_is_too_late_is_told_so() {
    let world = world();
    let (mut caller, served) = world.guard();
    caller.arm(1, &world, SHORT);
    world.suspend();
    world.runs_within(Duration::from_secs(1));
    // The suspend itself may take that long: the device is suspended only after its time is over.
    world.suspend();
    world.runs_within(Duration::from_secs(1));
    assert_eq!(caller.ask("disarm 1"), "resumed 1");
    world.suspend();
    std::thread::sleep(Duration::from_millis(250));
    assert!(world.suspended(), "the duty is over");
    drop(caller);
    assert_eq!(served.join().unwrap().len(), 2);
}

/// The verdict is about the time, not about whether there was anything to resume: the device may have been
/// resumed and suspended in turn by others.
#[test]
fn too_late_is_too_late_even_if_nothing_was_suspended() {
    let world = world();
    let (mut caller, _) = world.guard();
    caller.arm(1, &world, Duration::ZERO);
    assert_eq!(caller.ask("disarm 1"), "resumed 1");
    assert_eq!(
        caller.ask("disarm 1"),
        "resumed 1",
        "nobody knows what it was"
    );
}

#[test]
fn a_new_arming_replaces_an_old_one_that_was_never_given_back() {
    let world = world();
    let (mut caller, served) = world.guard();
    caller.arm(1, &world, SHORT);
    caller.arm(2, &world, LONG);
    world.suspend();
    std::thread::sleep(SHORT * 3);
    assert!(world.suspended(), "the first one's time means nothing now");
    assert_eq!(caller.ask("disarm 2"), "in-time 2");
    drop(caller);
    assert_eq!(served.join().unwrap(), Vec::<String>::new());
}

#[test]
fn a_resume_that_fails_is_tried_until_it_works() {
    let world = world();
    let (mut caller, served) = world.guard();
    caller.arm(1, &world, LONG);
    world.suspend();
    world.kernel.refuse(Operation::Resume, Some(Errno::ENOMEM));
    drop(caller);
    std::thread::sleep(Duration::from_millis(100));
    assert!(world.suspended() && !served.is_finished());
    world.kernel.refuse(Operation::Resume, None);
    world.runs_within(Duration::from_secs(2));
    assert_eq!(served.join().unwrap().len(), 1);
}

#[test]
fn requests_may_come_in_pieces_and_nonsense_is_said_back() {
    let world = world();
    let (mut caller, _) = world.guard();
    for piece in ["ar", "m 1 10", "000 ", world.device.as_str(), "\ndisarm"] {
        caller.0.get_mut().write_all(piece.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(caller.line(), "armed 1");
    assert_eq!(caller.ask(" 1"), "in-time 1");
    assert_eq!(caller.ask("what?"), "what?");
}

// -- the process

/// A shell that speaks as a guard does; `$t` is the ticket asked about.
fn shell(arm: &'static str, disarm: &'static str) -> impl Fn() -> Command + Send + Sync {
    move || {
        let script = format!(
            "echo ready >&0; while read verb t rest; do case $verb in arm) {arm};; *) {disarm};; esac; done"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        command
    }
}

const ARMED: &str = "echo armed $t >&0";
const IN_TIME: &str = "echo in-time $t >&0";

fn device() -> DmUuid {
    DmUuid::new("CONVOY-a-b").unwrap()
}

#[test]
fn a_process_is_asked_and_ends_with_us() {
    let guard = GuardProcess::new(shell(ARMED, IN_TIME));
    assert_eq!(guard.pid(), None);
    guard.start().unwrap();
    let pid = guard.pid().unwrap();
    for _ in 0..3 {
        let ticket = guard.arm(&device(), LONG).unwrap();
        assert_eq!(guard.disarm(ticket).unwrap(), Verdict::InTime);
    }
    assert_eq!(guard.pid(), Some(pid), "one process serves all");
    drop(guard);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_dead_guard_is_followed_by_another_before_anything_is_armed() {
    let guard = GuardProcess::new(shell(ARMED, IN_TIME));
    guard.start().unwrap();
    let first = guard.pid().unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(first).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let ticket = guard.arm(&device(), LONG).unwrap();
    assert_ne!(guard.pid(), Some(first));
    assert_eq!(guard.disarm(ticket).unwrap(), Verdict::InTime);
}

/// Dead between arming and disarming: whether it resumed the device is not known.
#[test]
fn a_guard_that_died_while_armed_vouches_for_nothing() {
    let guard = GuardProcess::new(shell("echo armed $t >&0; exit", IN_TIME));
    let ticket = guard.arm(&device(), LONG).unwrap();
    let error = guard.disarm(ticket).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy, "{error}");
    guard.arm(&device(), LONG).unwrap();
}

#[test]
fn a_guard_that_says_something_else_is_none() {
    let starts = Arc::new(AtomicU32::new(0));
    let counted = {
        let (starts, shell) = (Arc::clone(&starts), shell("echo armed 99 >&0", IN_TIME));
        move || {
            starts.fetch_add(1, Ordering::SeqCst);
            shell()
        }
    };
    let guard = GuardProcess::new(counted);
    let error = guard.arm(&device(), LONG).unwrap_err();
    assert!(
        matches!(&error, GuardError::Answer(said) if said == "armed 99"),
        "{error:?}"
    );
    assert_eq!(guard.pid(), None, "it was killed");
    guard.arm(&device(), LONG).unwrap_err();
    assert_eq!(starts.load(Ordering::SeqCst), 2);
}

#[test]
fn a_guard_that_hangs_is_killed_and_followed() {
    // The first one never answers; the next one does.
    let flag = tempfile::tempdir().unwrap();
    let path = flag.path().join("hung");
    let command = move || {
        let script = format!(
            "echo ready >&0; if mkdir {0} 2>/dev/null; then sleep 600; fi; while read verb t rest; do echo armed $t >&0; done",
            path.display()
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        command
    };
    let guard = GuardProcess::new(command);
    let begin = Instant::now();
    guard.arm(&device(), LONG).unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn without_a_program_there_is_no_guard() {
    let guard = GuardProcess::new(|| Command::new("/nonexistent"));
    assert!(matches!(
        guard.arm(&device(), LONG),
        Err(GuardError::Start(_))
    ));
    let guard = GuardProcess::new(|| Command::new("true"));
    assert!(matches!(guard.start(), Err(GuardError::Lost(_))));
}

// -- suspensions under a guard

/// Hands duties to a guard in a thread.
#[derive(Debug)]
struct InThread(std::sync::Mutex<UnixStream>);

impl InThread {
    fn ask(&self, line: &str) -> String {
        let mut stream = self.0.lock().unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(&*stream).read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }
}

impl Guard for InThread {
    fn arm(&self, device: &DmUuid, limit: Duration) -> Result<Ticket, GuardError> {
        self.ask(&format!("arm 1 {} {device}", limit.as_millis()));
        Ok(Ticket(1))
    }

    fn disarm(&self, _: Ticket) -> Result<Verdict, GuardError> {
        match self.ask("disarm 1").as_str() {
            "in-time 1" => Ok(Verdict::InTime),
            _ => Ok(Verdict::Resumed),
        }
    }
}

#[test]
fn a_hold_past_its_limit_is_broken_and_the_device_runs_meanwhile() {
    let mut world = world();
    let (caller, served) = world.guard();
    let stream = caller.0.into_inner();
    let closer = stream.try_clone().unwrap();
    world.pool = world
        .pool
        .guarded_by(Arc::new(InThread(stream.into())), SHORT);
    let uuid = Uuid::from_u128(7);
    let (seen, _) = world
        .pool
        .while_suspended(uuid, || {
            let info = world.kernel.info(&world.name).unwrap().unwrap();
            Ok(info.suspended)
        })
        .unwrap();
    assert!(seen && !world.suspended());
    let error = world
        .pool
        .while_suspended(uuid, || {
            // As a process that is stopped here would.
            let begin = Instant::now();
            while world.kernel.info(&world.name).unwrap().unwrap().suspended {
                assert!(
                    begin.elapsed() < Duration::from_secs(2),
                    "nobody resumed it"
                );
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        })
        .unwrap_err();
    assert!(matches!(error, Error::HoldBroken { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Busy);
    assert!(!world.suspended());
    closer.shutdown(Shutdown::Both).unwrap();
    assert_eq!(served.join().unwrap().len(), 1);
}

#[test]
fn a_device_that_anybody_resumed_did_not_stay_suspended() {
    let world = world();
    let outcome = world.pool.while_suspended(Uuid::from_u128(7), || {
        world.kernel.resume(&world.name).unwrap();
        Ok(())
    });
    assert!(matches!(outcome, Err(Error::HoldBroken { .. })));
}

/// A guard that refuses, or is lost when it is asked for its verdict.
#[derive(Debug)]
struct Useless {
    arms: bool,
}

impl Guard for Useless {
    fn arm(&self, _: &DmUuid, _: Duration) -> Result<Ticket, GuardError> {
        let error = || GuardError::Start(std::io::ErrorKind::OutOfMemory.into());
        self.arms.then_some(Ticket(1)).ok_or_else(error)
    }

    fn disarm(&self, _: Ticket) -> Result<Verdict, GuardError> {
        Err(GuardError::Lost(std::io::ErrorKind::UnexpectedEof.into()))
    }
}

#[test]
fn without_a_guard_nothing_is_suspended_and_without_a_verdict_nothing_is_believed() {
    let mut world = world();
    let uuid = Uuid::from_u128(7);
    world.pool = world
        .pool
        .guarded_by(Arc::new(Useless { arms: false }), SHORT);
    let before = world.kernel.operations();
    let error = world
        .pool
        .while_suspended::<()>(uuid, || unreachable!("nothing is suspended"))
        .unwrap_err();
    assert!(matches!(error, Error::Unguarded { .. }), "{error:?}");
    assert_eq!(
        world.kernel.operations(),
        before + 1,
        "the device was only asked about"
    );
    world.pool = world
        .pool
        .guarded_by(Arc::new(Useless { arms: true }), SHORT);
    let error = world.pool.while_suspended(uuid, || Ok(())).unwrap_err();
    assert!(matches!(error, Error::HoldBroken { .. }), "{error:?}");
    assert!(!world.suspended());
}

#[test]
fn a_suspend_that_takes_too_long_is_not_acted_under() {
    let mut world = world();
    world.pool = world.pool.guarded_by(Arc::new(Unguarded), Duration::ZERO);
    let error = world
        .pool
        .while_suspended::<()>(Uuid::from_u128(7), || unreachable!("it is too late"))
        .unwrap_err();
    assert!(matches!(error, Error::HoldBroken { .. }), "{error:?}");
    assert!(!world.suspended());
}

/// Device mapper of which the first resume panics, as a thread that cannot be started may.
struct PanicsOnce {
    kernel: FakeKernel,
    panicked: std::sync::atomic::AtomicBool,
}

impl Control for PanicsOnce {
    fn list(&self) -> Result<Vec<crate::Listed>, crate::ControlError> {
        self.kernel.list()
    }
    fn info(&self, name: &DmName) -> Result<Option<crate::DeviceInfo>, crate::ControlError> {
        self.kernel.info(name)
    }
    fn info_by_uuid(
        &self,
        uuid: &DmUuid,
    ) -> Result<Option<crate::DeviceInfo>, crate::ControlError> {
        self.kernel.info_by_uuid(uuid)
    }
    fn create(
        &self,
        name: &DmName,
        uuid: &DmUuid,
    ) -> Result<crate::DeviceInfo, crate::ControlError> {
        self.kernel.create(name, uuid)
    }
    fn load(
        &self,
        name: &DmName,
        table: &[crate::TableLine],
        read_only: bool,
    ) -> Result<(), crate::ControlError> {
        self.kernel.load(name, table, read_only)
    }
    fn suspend(&self, name: &DmName, how: Suspend) -> Result<(), crate::ControlError> {
        self.kernel.suspend(name, how)
    }
    fn resume(&self, name: &DmName) -> Result<(), crate::ControlError> {
        if !self.panicked.swap(true, Ordering::SeqCst) {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        self.kernel.resume(name)
    }
    fn resume_by_uuid(&self, uuid: &DmUuid) -> Result<(), crate::ControlError> {
        self.kernel.resume_by_uuid(uuid)
    }
    fn remove(&self, name: &DmName) -> Result<(), crate::ControlError> {
        self.kernel.remove(name)
    }
    fn table(&self, name: &DmName) -> Result<Vec<crate::TableLine>, crate::ControlError> {
        self.kernel.table(name)
    }
    fn status(&self, name: &DmName) -> Result<Vec<crate::TargetStatus>, crate::ControlError> {
        self.kernel.status(name)
    }
    fn message(&self, name: &DmName, text: &str) -> Result<(), crate::ControlError> {
        self.kernel.message(name, text)
    }
    fn node(
        &self,
        name: &DmName,
        number: crate::DeviceNumber,
    ) -> Result<std::path::PathBuf, crate::ControlError> {
        self.kernel.node(name, number)
    }
    fn backing(&self, path: &std::path::Path) -> Result<crate::BackingDevice, crate::ControlError> {
        self.kernel.backing(path)
    }
}

/// A panic inside the resume itself left the volume held in a daemon that went on: what was to resume it had
/// been put out of action one line before. Found by ending a snapshot there.
#[test]
fn a_panic_in_the_resume_is_followed_by_a_resume() {
    let mut world = world();
    world.pool.control = Arc::new(PanicsOnce {
        kernel: world.kernel.clone(),
        panicked: false.into(),
    });
    let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.pool.while_suspended(Uuid::from_u128(7), || Ok(()))
    }));
    assert!(held.is_err() && !world.suspended());
}
