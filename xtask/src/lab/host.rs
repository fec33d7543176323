//! The runner: one guest from start to end, with nothing left behind.
//!
//! Order matters here: the reaper exists before anything it must clean up, the status is read before
//! the reaper removes the run's folder, and the kernel's process is waited for last, so that its id
//! cannot belong to somebody else while the reaper kills by it.

use std::collections::BTreeMap;
use std::io::{IsTerminal, PipeReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::Pid;

use super::args::Options;
use super::job::{Job, STATUS_FILE, STDIN_OPEN_FILE};
use super::kernel::{self, Kernel};
use super::processor::Processor;
use super::pump::{Deadline, End, To, Watch};
use super::reaper::{Reaper, launcher, pass_on};
use super::{GUEST_WORD, disk, pump, switch};
use crate::{debs, places, run};

/// The exit statuses the lab itself gives.
const LAB_FAILED: u8 = 125;
const TIMED_OUT: u8 = 124;
const POWER_CUT: u8 = 137;

/// What the command needs when the caller's environment lacks it.
const ENV_DEFAULTS: &[(&str, &str)] = &[
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    ("TERM", "linux"),
];
/// These name folders that do not exist in the guest.
const ENV_HOST_ONLY: &[&str] = &["TMPDIR", "TMP", "TEMP", "XDG_RUNTIME_DIR"];

/// Runs the command in a guest and returns the exit status to pass on.
pub(crate) fn run(options: &Options) -> anyhow::Result<u8> {
    let cache = places::lab_cache()?;
    let kernel = kernel::find(&cache)?;
    let layers = layers(options, &cache)?;
    if options.fetch {
        println!("{}", kernel.binary.display());
        return Ok(0);
    }
    let signals = pump::catch_signals()?;
    if options.bound {
        bind_to_parent()?;
    }
    let run_dir = make_run_dir()?;
    let mut reaper = Reaper::start(&run_dir).inspect_err(|_| {
        std::fs::remove_dir_all(&run_dir).ok();
    })?;
    let job = job(options, &kernel, layers)?;
    job.save(&run_dir)?;
    let terminal = if options.tty {
        tcgetattr(std::io::stdin()).ok()
    } else {
        None
    };

    let processor = Processor::take()?;
    let (mut child, pipes) = start_kernel(options, &kernel, &processor, &run_dir, &mut reaper)?;
    let watch = Watch {
        deadlines: deadlines(options),
        cut_on: options
            .power_cut_on
            .as_ref()
            .map(|text| (text.clone().into_bytes(), End::Early(POWER_CUT))),
        show_log: options.console,
        signals,
    };
    let kernel_process = child.id();
    let ended = pump::run(pipes, watch, || {
        // At once: whoever looks for the rest of the kernel takes his time.
        kill_now(kernel_process);
        reaper.release();
    });
    let status = read_status(&run_dir);
    reaper.finish();
    let exit = child.wait();
    drop(processor);
    restore(terminal.as_ref());

    let ended = ended?;
    match (ended.early, status) {
        (Some(TIMED_OUT), _) => {
            let after = options.timeout.unwrap_or_default().as_secs_f64();
            eprintln!("lab: timed out after {after} s");
            Ok(TIMED_OUT)
        }
        (Some(code), _) | (None, Some(code)) => Ok(code),
        (None, None) => {
            std::io::stderr().write_all(&ended.log).ok();
            let exit = exit.map_or_else(|error| error.to_string(), |status| status.to_string());
            eprintln!("lab: the guest died (its kernel: {exit})");
            Ok(LAB_FAILED)
        }
    }
}

/// Ends the kernel's first process, which is our child and not waited for yet.
fn kill_now(child: u32) {
    if let Ok(child) = i32::try_from(child) {
        kill(Pid::from_raw(child), Signal::SIGKILL).ok();
    }
}

/// Has the kernel tell us by SIGTERM, which ends the guest, when our parent dies.
fn bind_to_parent() -> anyhow::Result<()> {
    let parent = nix::unistd::getppid();
    set_pdeathsig(Signal::SIGTERM).context("watch the parent")?;
    // It may have died before; then its children have been given to somebody else.
    anyhow::ensure!(
        parent == nix::unistd::getppid(),
        "the parent is gone already"
    );
    Ok(())
}

fn layers(options: &Options, cache: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut layers = Vec::new();
    for dir in &options.layers {
        layers.push(
            dir.canonicalize()
                .with_context(|| format!("find {}", dir.display()))?,
        );
    }
    layers.extend(debs::fetch(cache, &options.debs)?);
    Ok(layers)
}

/// The run's folder: control socket, job, status, scratch disks. Under the temporary folder, since
/// the path of a unix socket is short and a disk's may have no space.
fn make_run_dir() -> anyhow::Result<PathBuf> {
    let top = std::env::temp_dir();
    let dir = nix::unistd::mkdtemp(&top.join("convoy-lab.XXXXXX"))
        .with_context(|| format!("make a folder in {}", top.display()))?;
    dir.canonicalize().context("find the run's folder")
}

fn job(options: &Options, kernel: &Kernel, layers: Vec<PathBuf>) -> anyhow::Result<Job> {
    let cwd = std::env::current_dir().context("find the working directory")?;
    let mut writable = Vec::new();
    for dir in &options.writable {
        writable.push(
            dir.canonicalize()
                .with_context(|| format!("find {}", dir.display()))?,
        );
    }
    writable.sort();
    Ok(Job {
        argv: options.command.clone(),
        env: environment(options),
        visible: visible(&cwd, options),
        cwd,
        layers,
        modules: kernel.modules.clone(),
        load: options.modules.clone(),
        writable,
        hostname: options.hostname.clone().unwrap_or_else(|| "lab".to_owned()),
        network: options
            .net
            .as_ref()
            .map(|_| options.ip.clone().unwrap_or_default()),
        udev: options.udev,
        tty: options.tty,
        stdin: options.stdin,
        sync: !options.no_sync,
    })
}

fn environment(options: &Options) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    if !options.clear_env {
        // A variable that is not UTF-8 cannot cross; nothing we run needs one.
        env.extend(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }));
    }
    for (name, default) in ENV_DEFAULTS {
        let value = std::env::var(name).unwrap_or_else(|_| (*default).to_owned());
        env.entry((*name).to_owned()).or_insert(value);
    }
    if let Some(path) = env.get_mut("PATH").filter(|path| !path.contains("sbin")) {
        // An ordinary user's lacks mkfs and dmsetup.
        path.push_str(":/usr/local/sbin:/usr/sbin:/sbin");
    }
    for name in ENV_HOST_ONLY {
        env.remove(*name);
    }
    for setting in &options.env {
        match setting.split_once('=') {
            Some((name, value)) => env.insert(name.to_owned(), value.to_owned()),
            None => std::env::var(setting)
                .ok()
                .and_then(|value| env.insert(setting.clone(), value)),
        };
    }
    env
}

/// Folders under `/tmp` or `/run` that the command needs, though the guest's own hide those.
fn visible(cwd: &Path, options: &Options) -> Vec<PathBuf> {
    let program = options
        .command
        .first()
        .and_then(|name| run::find_program(name));
    let program = program.and_then(|file| file.canonicalize().ok());
    let mut dirs = vec![cwd.to_owned(), places::workspace(), places::target()];
    dirs.extend(program.and_then(|file| file.parent().map(Path::to_owned)));
    dirs.retain(|dir| {
        let hidden = dir.starts_with("/tmp") || dir.starts_with("/run");
        hidden && dir.components().count() > 2 && dir.is_dir()
    });
    dirs.sort();
    dirs.dedup();
    dirs
}

fn deadlines(options: &Options) -> Vec<Deadline> {
    let now = Instant::now();
    let timeout = options.timeout.map(|after| (after, TIMED_OUT));
    let cut = options.power_cut_after.map(|after| (after, POWER_CUT));
    let both = timeout.into_iter().chain(cut);
    both.filter_map(|(after, code)| {
        Some(Deadline {
            at: now.checked_add(after)?,
            end: End::Early(code),
        })
    })
    .collect()
}

/// Starts the kernel's process; the pipes end when it and all its helpers are gone.
fn start_kernel(
    options: &Options,
    kernel: &Kernel,
    processor: &Processor,
    run_dir: &Path,
    reaper: &mut Reaper,
) -> anyhow::Result<(Child, Vec<(PipeReader, To)>)> {
    let memory = options.mem.unwrap_or(1 << 30);
    let mut command = launcher(processor);
    command
        .arg(&kernel.binary)
        .arg(format!("mem={}M", memory >> 20));
    command.args(["rootfstype=hostfs", "rootflags=/", "ro"]);
    command.args([format!("uml_dir={}", run_dir.display()).as_str(), "umid=u"]);
    command.args(["noreboot", "panic=-1", "con=null", "ssl=null"]);
    add_disks(&mut command, options, run_dir)?;
    add_network(&mut command, options, run_dir)?;
    command
        .env_clear()
        .env("HOME", run_dir)
        .env("TMPDIR", memory_folder(memory));
    command.env(
        "PATH",
        std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
    );

    let (log, log_writer) = std::io::pipe().context("make a pipe")?;
    let mut pipes = vec![(log, To::Log)];
    command.stderr(log_writer.try_clone().context("copy a pipe")?);
    let ends = if options.tty {
        command.args(["con0=fd:0,fd:1", "quiet"]);
        None
    } else {
        // (Only a terminal's foreground group may read it, so --tty stays in ours.)
        command
            .stdin(Stdio::null())
            .stdout(log_writer.try_clone().context("copy a pipe")?);
        command.process_group(0);
        Some(add_lines(&mut command, options, run_dir, &mut pipes)?)
    };
    command.args(&options.kernel_args);
    // What follows -- goes to process 1: a copy of this program, since cargo may replace the original.
    let init = run_dir.join("init");
    std::fs::copy("/proc/self/exe", &init).context("copy this program for the guest")?;
    command.arg(format!("init={}", init.display()));
    command
        .args(["--", GUEST_WORD])
        .arg(run_dir.join(super::job::JOB_FILE));

    let child = command.spawn().context("start the kernel")?;
    reaper.guard(child.id())?;
    drop(ends);
    Ok((child, pipes))
}

/// The serial lines: standard output and error, and input when asked for.
fn add_lines(
    command: &mut Command,
    options: &Options,
    run_dir: &Path,
    pipes: &mut Vec<(PipeReader, To)>,
) -> anyhow::Result<LineEnds> {
    let (out, out_writer) = std::io::pipe().context("make a pipe")?;
    let (err, err_writer) = std::io::pipe().context("make a pipe")?;
    pass_on(&out_writer)?;
    pass_on(&err_writer)?;
    command.arg("con0=null,fd:1");
    command.arg(format!("ssl0=null,fd:{}", out_writer.as_raw_fd()));
    command.arg(format!("ssl1=null,fd:{}", err_writer.as_raw_fd()));
    if !options.console {
        command.arg("quiet");
    }
    pipes.extend([(out, To::Stdout), (err, To::Stderr)]);
    let mut input = None;
    if options.stdin {
        let (reader, writer) = std::io::pipe().context("make a pipe")?;
        pass_on(&reader)?;
        command.arg(format!("ssl2=fd:{},null", reader.as_raw_fd()));
        let open = run_dir.join(STDIN_OPEN_FILE);
        std::thread::spawn(move || feed(writer, &open));
        input = Some(reader);
    }
    Ok(LineEnds {
        _out: out_writer,
        _err: err_writer,
        _input: input,
    })
}

/// The guest's ends of the lines: held until the kernel has them.
struct LineEnds {
    _out: std::io::PipeWriter,
    _err: std::io::PipeWriter,
    _input: Option<PipeReader>,
}

/// Copies our input once the guest's line is open. A serial line has no end of file, and to the guest
/// a closed one would be a terminal hung up; so after the input's end the line stays open and quiet.
fn feed(mut line: std::io::PipeWriter, open: &Path) {
    while !open.exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::io::copy(&mut std::io::stdin(), &mut line).ok();
    loop {
        std::thread::park();
    }
}

fn add_disks(command: &mut Command, options: &Options, run_dir: &Path) -> anyhow::Result<()> {
    for (number, spec) in options.disks.iter().enumerate() {
        let file = disk::prepare(spec, &run_dir.join(format!("disk{number}")))?;
        // d: content that looks like a copy-on-write header is still content.
        command.arg(format!("ubd{number}d{}={}", spec.flags, file.display()));
    }
    Ok(())
}

fn add_network(command: &mut Command, options: &Options, run_dir: &Path) -> anyhow::Result<()> {
    let Some(dir) = &options.net else {
        return Ok(());
    };
    let mut random = [0; 5];
    let mut source = std::fs::File::open("/dev/urandom").context("open /dev/urandom")?;
    source
        .read_exact(&mut random)
        .context("read /dev/urandom")?;
    // 02: a locally administered address.
    let mac = random
        .iter()
        .fold(String::from("02"), |mac, byte| format!("{mac}:{byte:02x}"));
    let hub = switch::socket_in(dir)?;
    let nic = run_dir.join("nic");
    let (hub, nic) = (hub.display(), nic.display());
    command.arg(format!("vec0:transport=bess,dst={hub},src={nic},mac={mac}"));
    Ok(())
}

/// The kernel keeps guest memory in an unlinked file: the folder needs the space and must allow
/// execution. A small `/dev/shm`, as containers have, would end in SIGBUS.
fn memory_folder(need: u64) -> PathBuf {
    let folders = [
        PathBuf::from("/dev/shm"),
        std::env::temp_dir(),
        PathBuf::from("/var/tmp"),
    ];
    let fits = |dir: &PathBuf| {
        nix::sys::statvfs::statvfs(dir).is_ok_and(|stat| {
            let free = stat.blocks_available().saturating_mul(stat.fragment_size());
            free >= need && !stat.flags().contains(nix::sys::statvfs::FsFlags::ST_NOEXEC)
        })
    };
    folders
        .into_iter()
        .find(fits)
        .unwrap_or_else(|| PathBuf::from("/tmp"))
}

fn read_status(run_dir: &Path) -> Option<u8> {
    std::fs::read_to_string(run_dir.join(STATUS_FILE))
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn restore(terminal: Option<&Termios>) {
    if let Some(settings) = terminal.filter(|_| std::io::stdin().is_terminal()) {
        tcsetattr(std::io::stdin(), SetArg::TCSANOW, settings).ok();
    }
}
