//! The lab's command line: words in, options out.

use std::path::PathBuf;
use std::time::Duration;

use super::disk::{Disk, parse_disk, parse_size};
use crate::run::usage;

/// What the lab can do, for `--help`.
pub(crate) const HELP: &str = "\
usage: cargo xtask lab [OPTIONS] -- COMMAND [ARG...]
       cargo xtask lab [OPTIONS] shell

COMMAND runs as root in a fresh Linux kernel (Debian's user-mode-linux) that boots in about two
seconds as an ordinary process. Its root is this machine's file tree, copy on write: new binaries are
there, and nothing the guest does reaches the host. The kernel has device-mapper (thin-pool, snapshot,
flakey, log-writes, dust, delay, clone), loop, nbd, brd, ext4, xfs, btrfs, nfs, overlay.

  --mem SIZE                 guest memory, taken as it is used (default 1G)
  --disk FILE:SIZE[:FLAGS]   a block device, /dev/ubda first. FILE is made (sparse) if missing, and
                             kept; an empty FILE (\":4G\") is a scratch disk. FLAGS: s = write through,
                             r = read-only, c = shared (no lock), t = no discard
  --env NAME[=VALUE]         set or pass on a variable; all are passed on unless --clear-env
  --clear-env                start from PATH, HOME, LANG, TERM alone
  --rw DIR                   let the guest write DIR of the host
  --deb PACKAGE              lay a Debian package over the guest's root (fetched once, unpacked in the
                             cache; no maintainer script, no dependencies: name each)
  --layer DIR                the same with a folder of your own
  --module NAME[=PARAMS]     load one more kernel module
  --udev                     run systemd-udevd (--deb udev --deb dmsetup where the host lacks them);
                             without it DM_DISABLE_UDEV=1 is set
  --net DIR                  join the network that `lab --switch DIR` serves, as vec0
  --ip ADDRESS/LENGTH        its address
  --hostname NAME            default \"lab\"
  --bound                    end when the process that started this one ends
  --timeout SECONDS          end the guest after so long: exit status 124
  --power-cut-on TEXT        SIGKILL the kernel once TEXT is seen on its standard output
  --power-cut-after SECONDS  the same after a time; exit status of both: 137
  --no-sync                  halt at the end without syncing file systems
  --stdin                    feed standard input to the command (it never sees its end)
  --tty                      this terminal becomes the guest's console
  --console                  show the kernel's messages on standard error
  --kernel-arg ARG           add to the kernel's command line
  --fetch                    fetch kernel and packages, then stop
  --switch DIR               serve a network for several guests until killed
  --host                     no lab: run COMMAND on this machine's own kernel

Exit status: the command's; 128+N when signal N ended it; 124 timeout; 137 power cut; 125 the lab
itself failed (no kernel, a panic); 2 usage.

CONVOY_LAB_CACHE moves the cache from the build's folder; CONVOY_LAB_KERNEL and CONVOY_LAB_MODULES
name another kernel. Needed on the host: x86-64 Linux with ptrace, and apt-get and dpkg-deb for the
first fetch. Not needed: root, KVM, loop devices.";

/// The options of one run.
#[derive(Debug, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one option of the command line"
)]
pub(crate) struct Options {
    pub(crate) mem: Option<u64>,
    pub(crate) disks: Vec<Disk>,
    pub(crate) env: Vec<String>,
    pub(crate) clear_env: bool,
    pub(crate) writable: Vec<PathBuf>,
    pub(crate) debs: Vec<String>,
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) modules: Vec<String>,
    pub(crate) udev: bool,
    pub(crate) bound: bool,
    pub(crate) net: Option<PathBuf>,
    pub(crate) ip: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) power_cut_on: Option<String>,
    pub(crate) power_cut_after: Option<Duration>,
    pub(crate) no_sync: bool,
    pub(crate) stdin: bool,
    pub(crate) tty: bool,
    pub(crate) console: bool,
    pub(crate) kernel_args: Vec<String>,
    pub(crate) fetch: bool,
    pub(crate) switch: Option<PathBuf>,
    pub(crate) host: bool,
    pub(crate) help: bool,
    pub(crate) command: Vec<String>,
}

/// Reads the words after `cargo xtask lab`.
pub(crate) fn parse(words: &[String]) -> anyhow::Result<Options> {
    let mut options = Options::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            options.command = rest.cloned().collect();
            break;
        }
        if !word.starts_with('-') {
            options.command = std::iter::once(word).chain(rest).cloned().collect();
            if options.command == ["shell"] {
                options.command.clear();
                make_shell(&mut options);
            }
            break;
        }
        let (name, joined) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        if set_flag(&mut options, name) {
            if joined.is_some() {
                return Err(usage(format!("{name} takes no value")));
            }
            continue;
        }
        let mut value = || {
            let value = joined.clone().or_else(|| rest.next().cloned());
            value.ok_or_else(|| usage(format!("{name} needs a value")))
        };
        set_value(&mut options, name, &mut value)?;
    }
    check(&options)?;
    Ok(options)
}

fn make_shell(options: &mut Options) {
    options.tty = true;
    options.command = vec!["bash".to_owned(), "-i".to_owned()];
}

fn set_flag(options: &mut Options, name: &str) -> bool {
    let flag = match name {
        "--clear-env" => &mut options.clear_env,
        "--udev" => &mut options.udev,
        "--bound" => &mut options.bound,
        "--no-sync" => &mut options.no_sync,
        "--stdin" => &mut options.stdin,
        "--tty" => &mut options.tty,
        "--console" => &mut options.console,
        "--fetch" => &mut options.fetch,
        "--host" => &mut options.host,
        "-h" | "--help" => &mut options.help,
        _ => return false,
    };
    *flag = true;
    true
}

fn set_value(
    options: &mut Options,
    name: &str,
    value: &mut dyn FnMut() -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    match name {
        "--mem" => options.mem = Some(parse_size(&value()?)?),
        "--disk" => options.disks.push(parse_disk(&value()?)?),
        "--env" => options.env.push(value()?),
        "--rw" => options.writable.push(value()?.into()),
        "--deb" => options.debs.push(value()?),
        "--layer" => options.layers.push(value()?.into()),
        "--module" => options.modules.push(value()?),
        "--net" => options.net = Some(value()?.into()),
        "--ip" => options.ip = Some(value()?),
        "--hostname" => options.hostname = Some(value()?),
        "--timeout" => options.timeout = Some(parse_seconds(&value()?)?),
        "--power-cut-on" => options.power_cut_on = Some(value()?),
        "--power-cut-after" => options.power_cut_after = Some(parse_seconds(&value()?)?),
        "--kernel-arg" => options.kernel_args.push(value()?),
        "--switch" => options.switch = Some(value()?.into()),
        _ => {
            return Err(usage(format!(
                "unknown option {name} (see cargo xtask lab --help)"
            )));
        }
    }
    Ok(())
}

fn parse_seconds(text: &str) -> anyhow::Result<Duration> {
    let seconds: Option<f64> = text.parse().ok();
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| usage(format!("not a number of seconds: {text}")))
}

fn check(options: &Options) -> anyhow::Result<()> {
    if options.disks.len() > 16 {
        return Err(usage("at most 16 disks"));
    }
    if options.ip.is_some() && options.net.is_none() {
        return Err(usage("--ip needs --net"));
    }
    let bystander = options.help || options.fetch || options.switch.is_some();
    if options.command.is_empty() && !bystander {
        return Err(usage("no command (see cargo xtask lab --help)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_end_where_the_command_begins() {
        let options = parse(&words("--mem 2G --disk=:64M --udev -- ls -l --mem 1G")).unwrap();
        assert_eq!(options.mem, Some(2 << 30));
        assert_eq!(options.disks.len(), 1);
        assert!(options.udev);
        assert_eq!(options.command, words("ls -l --mem 1G"));
    }

    #[test]
    fn a_plain_word_begins_the_command_too() {
        assert_eq!(
            parse(&words("--tty ls -l")).unwrap().command,
            words("ls -l")
        );
    }

    #[test]
    fn shell_is_an_interactive_command() {
        let options = parse(&words("--disk :4G shell")).unwrap();
        assert!(options.tty);
        assert_eq!(options.command.first().unwrap(), "bash");
    }

    #[test]
    fn a_command_called_shell_is_still_possible() {
        assert_eq!(parse(&words("-- shell")).unwrap().command, words("shell"));
    }

    #[track_caller]
    fn refuse(text: &str, expected: &str) {
        let error = parse(&words(text)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.is::<crate::run::Usage>());
    }

    #[test]
    fn wrong_words_are_refused() {
        refuse("--nonsense -- ls", "unknown option --nonsense");
        refuse("--mem", "--mem needs a value");
        refuse("--udev=yes -- ls", "takes no value");
        refuse("--timeout soon -- ls", "seconds");
        refuse("--ip 10.0.0.1/8 -- ls", "--net");
        refuse("--udev", "no command");
    }
}
