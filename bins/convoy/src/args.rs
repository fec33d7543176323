//! The grammar: the original's commands and flags, and ours.

mod jobs;

pub(crate) use jobs::{JobCommand, PoolCommand};

use crate::complete;
use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use std::path::PathBuf;
use uuid::Uuid;

/// Thin-provisioned volumes with snapshots and incremental backups.
#[derive(Debug, Parser)]
#[command(
    name = "convoy",
    display_name = "Convoy",
    version = concat!("version v", env!("CARGO_PKG_VERSION")),
    disable_version_flag = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    /// Print version
    #[arg(long, short, action = ArgAction::Version)]
    version: Option<bool>,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Where help lists the flags of every command.
const GLOBAL: &str = "Global options";

/// Flags of every command, before or after it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Global {
    /// The daemon's unix socket [default: /run/convoy/convoy.sock]
    #[arg( long, short, global = true, help_heading = GLOBAL, value_name = "PATH", env = "CONVOY_SOCKET", hide_env_values = true )]
    pub(crate) socket: Option<PathBuf>,

    /// Say on stderr what is asked of the daemon
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    pub(crate) debug: bool,

    /// Print the whole object instead of a name, path or URL
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) verbose: bool,

    /// What to print on stdout
    #[arg( long, short, global = true, help_heading = GLOBAL, value_enum, default_value_t, env = "CONVOY_OUTPUT", hide_env_values = true )]
    pub(crate) output: Output,

    /// Repeat a create or delete whose answer was lost under the id its error told: nothing is done twice
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "UUID")]
    pub(crate) operation: Option<Uuid>,

    /// No progress on stderr
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) no_progress: bool,

    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        env = "CONVOY_COLOR",
        hide_env_values = true,
        hide_possible_values = true,
        help = "Colours in tables: always, never, or auto: on a terminal, unless NO_COLOR is set or TERM is dumb"
    )]
    pub(crate) color: When,
}

/// When something is done that a terminal decides else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    #[default]
    Auto,
    Always,
    Never,
}

/// What to print on stdout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Names and JSON objects as scripts expect them; lists as tables on a terminal
    #[default]
    Auto,
    /// Exactly one JSON document, errors too
    Json,
    /// Tables
    Table,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon in this process
    #[cfg(feature = "daemon")]
    Daemon(Box<convoyd::Args>),
    /// Run the daemon: not in this build
    #[cfg(not(feature = "daemon"))]
    Daemon {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        rest: Vec<String>,
    },
    /// The daemon, its settings and its pool
    Info,
    /// Make a volume, perhaps of a backup
    Create(Box<Create>),
    /// Delete volumes and their snapshots
    Delete(Delete),
    /// Mount a volume
    Mount(Mount),
    /// Unmount a volume
    #[command(visible_alias = "unmount")]
    Umount {
        /// The volume
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::volumes))]
        name: String,
    },
    /// Give back to the pool what a mounted volume's filesystem does not use
    Trim {
        /// The volume
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::volumes))]
        name: String,
    },
    /// Make a volume larger, in use or not, and its filesystem with it
    Resize {
        /// The volume
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::volumes))]
        name: String,
        /// Its new size, such as 20G: never less than it has
        #[arg(value_name = "SIZE")]
        size: String,
    },
    /// Call a volume by another name
    Rename {
        /// The volume
        #[arg(value_name = "OLD", add = ArgValueCompleter::new(complete::volumes))]
        name: String,
        /// What it is called from now on
        #[arg(value_name = "NEW")]
        new: String,
    },
    /// Set and remove labels of a volume
    Label {
        /// The volume
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::volumes))]
        name: String,
        /// Labels to set
        #[arg(value_name = "KEY=VALUE")]
        labels: Vec<String>,
        /// Label to remove; may be repeated
        #[arg(long, value_name = "KEY")]
        remove: Vec<String>,
    },
    /// All volumes
    List {
        /// What the driver knows of each, and no more
        #[arg(long, conflicts_with_all = ["columns", "sort"])]
        driver: bool,
        #[command(flatten)]
        layout: Layout,
    },
    /// One volume and its snapshots
    Inspect {
        /// The volume
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::volumes))]
        name: String,
    },
    /// Take, show and delete snapshots
    Snapshot {
        #[command(subcommand)]
        command: Option<SnapshotCommand>,
    },
    /// Make, show, verify and delete backups
    Backup {
        /// Server of an S3-compatible store, remembered for its destination; anywhere after backup
        #[arg(long, global = true, value_name = "URL")]
        s3_endpoint: Option<String>,
        #[command(subcommand)]
        command: Option<BackupCommand>,
    },
    /// Show and empty the trash, where volumes are that container engines removed
    Trash {
        #[command(subcommand)]
        command: Option<TrashCommand>,
    },
    /// Take a volume back from the trash
    Undelete {
        /// What it was called, or its UUID; of several, the last one thrown away
        #[arg(value_name = "NAME")]
        name: String,
        /// Call it so, where its name is taken
        #[arg(long = "name", value_name = "NEW")]
        new: Option<String>,
    },
    /// Show, wait for and cancel long operations
    Job {
        #[command(subcommand)]
        command: Option<JobCommand>,
    },
    /// Show, check and grow the pool
    Pool {
        #[command(subcommand)]
        command: Option<PoolCommand>,
    },
    /// Tell what disagrees between catalog, pool and devices, and what to do
    ///
    /// Asks the daemon; with --root looks at a root directory that no daemon serves. Ends with 0 when all is
    /// well, with 13 when a daemon would change nothing.
    Doctor(Doctor),
    /// Print a script that completes commands, flags and names in a shell
    ///
    /// Bash: put `source <(convoy completion bash)` into ~/.bashrc. Zsh: the same with zsh in ~/.zshrc. Fish:
    /// `convoy completion fish | source` in its configuration.
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Man {
        /// The directory, which must exist
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// A shell that can be told how to complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// How a list is laid out as a table; either flag asks for a table, in a pipe too.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Layout {
    /// Columns of the table, such as name,size; +uuid,labels adds to the usual ones; all shows all
    #[arg(long, value_name = "COLUMNS")]
    pub(crate) columns: Option<String>,
    /// Column to sort the table by; -COLUMN for the largest, latest or last first
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Made up when left out: volume- and 16 hexadecimal digits
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Upper limit, such as 10G; takes up only what is written [default: the daemon's, 100G]
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: Option<String>,
    /// Restore this backup into it
    #[arg(long, value_name = "URL", add = ArgValueCompleter::new(complete::backups))]
    pub(crate) backup: Option<String>,
    /// Make it of this snapshot: SNAPSHOT or VOLUME@SNAPSHOT
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "backup", add = ArgValueCompleter::new(complete::snapshots))]
    pub(crate) snapshot: Option<String>,
    /// With --backup: answer with a job's id, and restore in the daemon
    #[arg(long, requires = "backup")]
    pub(crate) detach: bool,
    /// Filesystem: ext4 or xfs [default: the daemon's, ext4]
    #[arg(long, value_name = "FS")]
    pub(crate) fs: Option<String>,
    /// How to mount it, such as noatime,commit=30; kept for every mount
    #[arg(long, value_name = "OPTIONS", value_delimiter = ',')]
    pub(crate) mount_options: Vec<String>,
    /// How to make its filesystem, such as inode-size=512,reserved=0
    #[arg(long, value_name = "OPTIONS", value_delimiter = ',')]
    pub(crate) mkfs_options: Vec<String>,
    /// User whose its root directory is, by number [default: 0]
    #[arg(long, value_name = "UID")]
    pub(crate) uid: Option<u32>,
    /// Group whose its root directory is, by number [default: 0]
    #[arg(long, value_name = "GID")]
    pub(crate) gid: Option<u32>,
    /// Mode of its root directory, in octal [default: 0755]
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<String>,
    /// Free text on it; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<String>,
    /// Driver to make it with [default: devicemapper]
    #[arg(long, value_name = "DRIVER")]
    pub(crate) driver: Option<String>,
    /// Server of an S3-compatible store, remembered for its destination
    #[arg(long, value_name = "URL")]
    pub(crate) s3_endpoint: Option<String>,
    /// Of other drivers: refused
    #[arg(long, value_name = "ID", hide_short_help = true)]
    pub(crate) id: Option<String>,
    /// Of other drivers: refused
    #[arg(long = "type", value_name = "TYPE", hide_short_help = true)]
    pub(crate) kind: Option<String>,
    /// Of other drivers: refused
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub(crate) iops: Option<String>,
    /// Of other drivers: refused
    #[arg(long, hide_short_help = true)]
    pub(crate) vm: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// The volumes; one that fails does not keep the others
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::volumes))]
    pub(crate) names: Vec<String>,
    /// Forget the volume and keep its data: refused for now
    #[arg(long, short, hide_short_help = true)]
    pub(crate) reference: bool,
    /// Say what would go, and delete nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Look at this root directory, without a daemon
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Put right what can be; whatever was there before is kept
    #[arg(long, requires = "root")]
    pub(crate) fix: bool,
    /// Blank device for repaired metadata, as large as the metadata device [default for a loop-backed pool: a new file]
    #[arg(long, value_name = "PATH", requires = "fix")]
    pub(crate) spare: Option<PathBuf>,
    /// Take the pool as it is, although it lacks what the catalog promises
    #[arg(long, requires = "fix")]
    pub(crate) accept_loss: bool,
    /// Where the pool is if the catalog cannot tell, as the daemon is told: dm.datadev=DEV, dm.metadatadev=DEV
    #[arg(long, value_name = "KEY=VALUE", requires = "root")]
    pub(crate) driver_opts: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Mount {
    /// The volume
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::volumes))]
    pub(crate) name: String,
    /// Where to [default: under the daemon's root]
    #[arg(long, value_name = "DIR")]
    pub(crate) mountpoint: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Take a snapshot of a volume, or of several volumes at one instant
    Create {
        /// The volume; several are all held while their snapshots are taken
        #[arg(value_name = "VOLUME", required = true, add = ArgValueCompleter::new(complete::volumes))]
        volumes: Vec<String>,
        /// Made up when left out: snapshot- and 16 hexadecimal digits. Of several volumes each is called NAME-VOLUME
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Make a volume what it was at a snapshot, and keep what it is now as a snapshot
    Rollback {
        /// SNAPSHOT or VOLUME@SNAPSHOT; its volume must not be mounted
        #[arg(value_name = "SNAPSHOT", add = ArgValueCompleter::new(complete::snapshots))]
        snapshot: String,
        /// Yes, the volume shall be what it was
        #[arg(long)]
        yes: bool,
    },
    /// Delete a snapshot
    Delete {
        /// SNAPSHOT or VOLUME@SNAPSHOT
        #[arg(value_name = "SNAPSHOT", add = ArgValueCompleter::new(complete::snapshots))]
        snapshot: String,
        /// Say what would go, and delete nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// One snapshot
    Inspect {
        /// SNAPSHOT or VOLUME@SNAPSHOT
        #[arg(value_name = "SNAPSHOT", add = ArgValueCompleter::new(complete::snapshots))]
        snapshot: String,
    },
    /// All snapshots, or those of one volume
    List {
        /// Only those of this volume
        #[arg(value_name = "VOLUME", add = ArgValueCompleter::new(complete::volumes))]
        volume: Option<String>,
        #[command(flatten)]
        layout: Layout,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrashCommand {
    /// What is in the trash, and how long it stays
    List {
        #[command(flatten)]
        layout: Layout,
    },
    /// Delete volumes in the trash for good, with their snapshots
    Empty {
        /// Only this one, by name or UUID; all when left out
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Back a snapshot up
    Create {
        /// SNAPSHOT or VOLUME@SNAPSHOT
        #[arg(value_name = "SNAPSHOT", add = ArgValueCompleter::new(complete::snapshots))]
        snapshot: String,
        #[arg(
            long,
            value_name = "URL",
            help = "Where to, such as vfs:///mnt/backups",
            add = ArgValueCompleter::new(complete::destinations)
        )]
        dest: String,
        /// Answer with a job's id, and go on in the daemon
        #[arg(long)]
        detach: bool,
    },
    /// Make a volume that exists what a backup holds: only what differs is written
    ///
    /// A snapshot of what was there is taken first, and kept. The volume must not be mounted.
    Restore {
        /// As backup create and backup list print it
        #[arg(value_name = "URL", add = ArgValueCompleter::new(complete::backups))]
        url: String,
        /// The volume that is overwritten
        #[arg(long, value_name = "VOLUME", add = ArgValueCompleter::new(complete::volumes))]
        to: String,
        /// Yes, overwrite it
        #[arg(long, short)]
        yes: bool,
        /// Answer with a job's id, and go on in the daemon
        #[arg(long)]
        detach: bool,
    },
    /// Delete a backup
    Delete {
        /// As backup create and backup list print it
        #[arg(value_name = "URL", add = ArgValueCompleter::new(complete::backups))]
        url: String,
        /// Say what would go, and delete nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// The backups at a destination
    List {
        #[arg(value_name = "DEST", help = "Such as vfs:///mnt/backups", add = ArgValueCompleter::new(complete::destinations))]
        dest: String,
        /// Only those of this volume
        #[arg(long, value_name = "VOLUME", add = ArgValueCompleter::new(complete::volumes))]
        volume_name: Option<String>,
        #[command(flatten)]
        layout: Layout,
    },
    /// One backup
    Inspect {
        /// As backup create and backup list print it
        #[arg(value_name = "URL", add = ArgValueCompleter::new(complete::backups))]
        url: String,
    },
    /// Read a backup back and check every byte of it
    Verify {
        /// As backup create and backup list print it
        #[arg(value_name = "URL", add = ArgValueCompleter::new(complete::backups))]
        url: String,
    },
}
