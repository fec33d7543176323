//! The daemon's flags: the original's by name, and ours.

use std::path::PathBuf;

/// Flags of the daemon. What is absent here comes from the environment, then the configuration file, then
/// what the catalog has, then the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the original"
)]
pub struct Args {
    /// Directory of the catalog, mount points and loop-backed pool [default: /var/lib/convoy]
    #[arg(long, value_name = "DIR", env = "CONVOY_ROOT", hide_env_values = true)]
    pub root: Option<PathBuf>,

    /// Unix socket to serve on [default: /run/convoy/convoy.sock]
    #[arg(
        long,
        short,
        value_name = "PATH",
        env = "CONVOY_SOCKET",
        hide_env_values = true
    )]
    pub socket: Option<PathBuf>,

    /// Append the log to FILE as JSON lines, instead of text on stderr
    #[arg(long, value_name = "FILE", env = "CONVOY_LOG", hide_env_values = true)]
    pub log: Option<PathBuf>,

    /// Log level: error, warn, info, debug, trace, or a filter by module [default: info]
    #[arg(
        long,
        value_name = "LEVEL",
        env = "CONVOY_LOG_LEVEL",
        hide_env_values = true
    )]
    pub log_level: Option<String>,

    /// Driver to enable; may be repeated, the first is the default [default: devicemapper]
    #[arg(
        long,
        value_name = "NAME",
        env = "CONVOY_DRIVERS",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub drivers: Vec<String>,

    /// Driver option such as dm.datadev=/dev/vdb; may be repeated
    #[arg(
        long,
        value_name = "KEY=VALUE",
        env = "CONVOY_DRIVER_OPTS",
        hide_env_values = true
    )]
    pub driver_opts: Vec<String>,

    /// Read settings from a TOML file
    #[arg(
        long,
        value_name = "FILE",
        env = "CONVOY_CONFIG",
        hide_env_values = true
    )]
    pub config: Option<PathBuf>,

    /// Same as --log-level debug
    #[arg(long, short)]
    pub debug: bool,

    /// Accepted, no effect: nothing that works is killed by a clock
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub cmd_timeout: Option<String>,

    /// Accepted, no effect: flags are never overruled by stored settings
    #[arg(long, hide_short_help = true)]
    pub ignore_config_file: bool,

    /// Refused: mount namespaces are not entered
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    pub mnt_ns: Option<PathBuf>,

    /// Unix socket for Docker and Podman, or off [default: /run/docker/plugins/convoy.sock]
    #[arg(
        long,
        value_name = "PATH",
        env = "CONVOY_DOCKER_SOCKET",
        hide_env_values = true
    )]
    pub docker_socket: Option<PathBuf>,

    /// What `docker volume rm` means: trash, delete or keep [default: trash]
    #[arg(long, value_name = "WORD")]
    pub docker_on_remove: Option<String>,

    /// How long the trash keeps a volume, such as 90s, 30m, 24h or 7d [default: 24h]
    #[arg(long, value_name = "DURATION")]
    pub trash_grace: Option<String>,

    /// Let container engines restore backups from destinations this host never used
    #[arg(long)]
    pub docker_restore_from_any: bool,

    /// Same as --docker-on-remove keep
    #[arg(long, hide_short_help = true)]
    pub ignore_docker_delete: bool,

    /// Make a volume that a container engine mounts and that does not exist
    #[arg(long, hide_short_help = true)]
    pub create_on_docker_mount: bool,

    /// Run as the guard of the daemon at the other end of standard input; nobody else starts it so
    #[arg(long, hide = true)]
    pub suspend_guard: bool,
}
