//! Process 1 of the guest: mounts a root nobody can dirty, loads modules, runs the command, halts.
//!
//! It is this very program, named by `init=` on the kernel's command line, so the guest needs nothing
//! of the host but its files. Whatever fails before the command is said on the console, which the
//! runner shows when the guest dies.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;
use nix::mount::MsFlags;
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::job::{GUEST_RUN_DIR, JOB_FILE, Job, STATUS_FILE, STDIN_OPEN_FILE};
use super::modules::{ALWAYS, Modules};
use super::{COMMAND_WORD, link, serial};

/// A fresh tmpfs here carries the overlay; any host has the folder.
const STAGE: &str = "/tmp";
/// The overlay before it becomes the root.
const NEW_ROOT: &str = "/tmp/root";

/// Runs the job as process 1 and never returns: the end of process 1 is a panic of the kernel.
pub(crate) fn init(job_file: &Path) -> ! {
    if let Err(error) = run(job_file) {
        say(&format!("{error:#}"));
    }
    loop {
        // File systems are neither synced nor unmounted by this.
        let Err(errno) = reboot(RebootMode::RB_POWER_OFF);
        say(&format!("power off: {errno}"));
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

fn say(text: &str) {
    eprintln!("lab: guest: {text}");
}

fn run(job_file: &Path) -> anyhow::Result<()> {
    mount(
        "proc",
        "/proc",
        "proc",
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        "",
    )?;
    let job = Job::load(job_file)?;
    let mut modules = Modules::open(job.modules.clone())?;
    modules.load("overlay")?;
    let run_dir = job_file.parent().context("the job has no folder")?;
    make_root(&job, run_dir)?;
    enter_root()?;
    for name in ALWAYS
        .iter()
        .copied()
        .chain(job.load.iter().map(String::as_str))
    {
        // The graph is in memory, and the modules' folder lies under the same path in the new root.
        warn(modules.load(name));
    }
    settle(&job);
    let code = run_command(&job)?;
    finish(&job, code)
}

fn warn(outcome: anyhow::Result<()>) {
    if let Err(error) = outcome {
        say(&format!("{error:#}"));
    }
}

/// Overlay: the host's tree and the layers below (hostfs, read-only), a tmpfs above.
fn make_root(job: &Job, run_dir: &Path) -> anyhow::Result<()> {
    mount("lab", STAGE, "tmpfs", MsFlags::empty(), "mode=755,size=90%")?;
    for name in ["upper", "work", "root"] {
        std::fs::create_dir(Path::new(STAGE).join(name)).context("make the overlay's folders")?;
    }
    let mut lower = String::new();
    for (index, layer) in job.layers.iter().enumerate() {
        let dir = format!("{STAGE}/{index}");
        let source = layer.to_str().context("a layer's path is not UTF-8")?;
        mount_made("none", &dir, "hostfs", MsFlags::MS_RDONLY, source)?;
        lower.push_str(&dir);
        lower.push(':');
    }
    let data = format!("lowerdir={lower}/,upperdir={STAGE}/upper,workdir={STAGE}/work");
    mount("overlay", NEW_ROOT, "overlay", MsFlags::empty(), &data)?;
    fill_root(job, run_dir)
}

fn fill_root(job: &Job, run_dir: &Path) -> anyhow::Result<()> {
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let visible = hold_visible(&job.visible);
    mount_in_root("proc", "/proc", "proc", quiet, "")?;
    mount_in_root("sysfs", "/sys", "sysfs", quiet, "")?;
    mount_in_root(
        "devtmpfs",
        "/dev",
        "devtmpfs",
        MsFlags::MS_NOSUID,
        "mode=755",
    )?;
    mount_in_root("run", "/run", "tmpfs", quiet, "mode=755,size=50%")?;
    mount_in_root("tmp", "/tmp", "tmpfs", quiet, "mode=1777,size=80%")?;
    for (dir, held) in visible {
        let source = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&held.as_fd())
        );
        mount_in_root(&source, dir, "", MsFlags::MS_BIND, "")?;
    }
    mount_in_root(
        "devpts",
        "/dev/pts",
        "devpts",
        MsFlags::MS_NOSUID,
        "mode=620,ptmxmode=666",
    )?;
    mount_in_root("shm", "/dev/shm", "tmpfs", quiet, "mode=1777")?;
    warn(mount_in_root(
        "cgroup2",
        "/sys/fs/cgroup",
        "cgroup2",
        MsFlags::empty(),
        "",
    ));
    for dir in &job.writable {
        let source = dir.to_str().context("a --rw path is not UTF-8")?;
        mount_in_root("none", source, "hostfs", MsFlags::empty(), source)?;
    }
    let run_dir = run_dir.to_str().context("the run's folder is not UTF-8")?;
    mount_in_root("none", GUEST_RUN_DIR, "hostfs", MsFlags::empty(), run_dir)?;
    let modules = job
        .modules
        .to_str()
        .context("the modules' folder is not UTF-8")?;
    let release = job
        .modules
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let standard = format!("/lib/modules/{release}");
    mount_in_root("none", &standard, "hostfs", MsFlags::MS_RDONLY, modules)?;
    mount_in_root("none", modules, "hostfs", MsFlags::MS_RDONLY, modules)
}

/// Folders below `/tmp` and `/run` are held open before fresh file systems hide them.
fn hold_visible(dirs: &[PathBuf]) -> Vec<(&str, File)> {
    let mut held = Vec::new();
    for dir in dirs {
        let Some(name) = dir.to_str() else { continue };
        let mut options = File::options();
        options
            .read(true)
            .custom_flags(nix::fcntl::OFlag::O_PATH.bits());
        match options.open(format!("{NEW_ROOT}{name}")) {
            Ok(file) => held.push((name, file)),
            Err(error) => say(&format!("keep {name} visible: {error}")),
        }
    }
    held
}

fn enter_root() -> anyhow::Result<()> {
    std::env::set_current_dir(NEW_ROOT).context("enter the new root")?;
    mount(".", "/", "", MsFlags::MS_MOVE, "")?;
    nix::unistd::chroot(".").context("change root")?;
    std::env::set_current_dir("/").context("enter the root")?;
    mount("", "/", "", MsFlags::MS_PRIVATE | MsFlags::MS_REC, "")
}

/// What any Linux machine has done before its first program starts.
fn settle(job: &Job) {
    for (name, target) in [
        ("fd", ""),
        ("stdin", "/0"),
        ("stdout", "/1"),
        ("stderr", "/2"),
    ] {
        // devtmpfs of a later kernel may have made them already.
        symlink(format!("/proc/self/fd{target}"), format!("/dev/{name}")).ok();
    }
    warn(nix::unistd::sethostname(&job.hostname).context("set the host's name"));
    warn(link::up("lo", None));
    if let Some(address) = &job.network {
        warn(link::up(
            "vec0",
            Some(address.as_str()).filter(|address| !address.is_empty()),
        ));
    }
    if job.udev {
        warn(start_udev());
    }
}

fn start_udev() -> anyhow::Result<()> {
    let daemon = [
        "/lib/systemd/systemd-udevd",
        "/usr/lib/systemd/systemd-udevd",
    ];
    let daemon = daemon.iter().find(|path| Path::new(path).exists());
    run_quietly(
        daemon.context("no systemd-udevd here: --deb udev")?,
        &["--daemon"],
    )?;
    run_quietly(
        "udevadm",
        &["trigger", "--action=add", "--subsystem-match=block"],
    )?;
    run_quietly("udevadm", &["settle", "--timeout=20"])
}

fn run_quietly(program: &str, words: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command
        .args(words)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null());
    let status = command
        .status()
        .with_context(|| format!("start {program}"))?;
    anyhow::ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}

/// Starts the command, reaps everybody's orphans meanwhile, and gives the command's exit status.
fn run_command(job: &Job) -> anyhow::Result<i32> {
    // Held open here, so that the last bytes can be drained when the command is gone.
    let lines = if job.tty {
        Vec::new()
    } else {
        vec![serial::open(0)?, serial::open(1)?]
    };
    let child = Command::new("/proc/self/exe")
        .args([COMMAND_WORD, &format!("{GUEST_RUN_DIR}/{JOB_FILE}")])
        .spawn()
        .context("start the command")?;
    let child = Pid::from_raw(i32::try_from(child.id()).context("a process id out of range")?);
    let code = loop {
        match waitpid(None, None).context("wait for the command")? {
            WaitStatus::Exited(pid, code) if pid == child => break code,
            WaitStatus::Signaled(pid, signal, _) if pid == child => break 128 + signal as i32,
            _ => {}
        }
    };
    for line in &lines {
        warn(nix::sys::termios::tcdrain(line).context("drain a serial line"));
    }
    Ok(code)
}

/// Hands the status to the host (renamed, so that it is whole or absent) and syncs if asked to.
fn finish(job: &Job, code: i32) -> anyhow::Result<()> {
    let status = Path::new(GUEST_RUN_DIR).join(STATUS_FILE);
    let new = status.with_extension("new");
    std::fs::write(&new, code.to_string()).context("write the status")?;
    File::open(&new)
        .and_then(|file| file.sync_all())
        .context("sync the status")?;
    std::fs::rename(&new, &status).context("publish the status")?;
    if job.sync {
        kill(Pid::from_raw(-1), Signal::SIGKILL).ok();
        nix::unistd::sync();
    }
    Ok(())
}

/// The command's own process in the guest: takes its terminal or lines, then becomes the command.
pub(crate) fn become_command(job_file: &Path) -> ExitCode {
    match prepare_command(job_file) {
        Ok((name, mut command)) => {
            let error = command.exec();
            say(&format!("{name}: {error}"));
            ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound {
                127
            } else {
                126
            })
        }
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::from(126)
        }
    }
}

fn prepare_command(job_file: &Path) -> anyhow::Result<(String, Command)> {
    let job = Job::load(job_file)?;
    nix::unistd::setsid().context("start a session")?;
    if job.tty {
        serial::take_console()?;
    } else {
        serial::take_lines(job.stdin)?;
        if job.stdin {
            // The kernel misses input that came before the line was opened: the host waits for this.
            File::create(Path::new(GUEST_RUN_DIR).join(STDIN_OPEN_FILE))
                .context("ask for input")?;
        }
    }
    let (name, words) = job.argv.split_first().context("no command")?;
    let mut command = Command::new(name);
    command
        .args(words)
        .env_clear()
        .envs(&job.env)
        .env("CONVOY_LAB", "1");
    if !job.udev && !job.env.contains_key("DM_DISABLE_UDEV") {
        // libdevmapper would wait for a udevd that is not there; so it makes the nodes itself.
        command.env("DM_DISABLE_UDEV", "1");
    }
    command.current_dir(if job.cwd.is_dir() {
        &job.cwd
    } else {
        Path::new("/")
    });
    Ok((name.clone(), command))
}

fn mount_in_root(
    source: &str,
    dir: &str,
    kind: &str,
    flags: MsFlags,
    data: &str,
) -> anyhow::Result<()> {
    mount_made(source, &format!("{NEW_ROOT}{dir}"), kind, flags, data)
}

fn mount_made(
    source: &str,
    dir: &str,
    kind: &str,
    flags: MsFlags,
    data: &str,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("make {dir}"))?;
    mount(source, dir, kind, flags, data)
}

fn mount(source: &str, dir: &str, kind: &str, flags: MsFlags, data: &str) -> anyhow::Result<()> {
    let some = |text: &'_ str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let (kind_or_none, data) = (some(kind), some(data));
    nix::mount::mount(
        Some(source),
        dir,
        kind_or_none.as_deref(),
        flags,
        data.as_deref(),
    )
    .with_context(|| format!("mount {source} on {dir} ({kind})"))
}
