//! Settings: who wins, and what is refused.

use super::*;
use crate::file::File;
use crate::settings::over;
use convoy_fault::{Fault, Kind};
use std::path::{Path, PathBuf};

fn args() -> Args {
    Args::default()
}

#[track_caller]
fn refused(args: Args, file: &str, because: &str) {
    let error = over(args, &File::parse(file).unwrap()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains(because), "{error}");
    assert!(error.hint().is_some());
}

#[track_caller]
fn bad_file(text: &str, because: &str) {
    let error = File::parse(text).unwrap_err().to_string();
    assert!(error.contains(because), "{error}");
}

#[test]
fn nothing_given_means_the_defaults() {
    let settings = over(args(), &File::default()).unwrap();
    assert_eq!(settings.root, Path::new("/var/lib/convoy"));
    assert_eq!(settings.socket, Path::new("/run/convoy/convoy.sock"));
    assert_eq!((settings.log, settings.log_level.as_str()), (None, "info"));
    assert_eq!(settings.pool, convoy_engine::PoolConfig::default());
    assert!(settings.warnings.is_empty());
}

const FILE: &str = r#"
root = "/srv/convoy"
socket = "/srv/convoy.sock"
log = "/var/log/convoy.log"
log_level = "warn"
drivers = ["devicemapper"]
[driver_opts]
dm.fs = "xfs"
"dm.datadev" = "/dev/a"
"dm.metadatadev" = "/dev/b"
"#;

#[test]
fn the_file_beats_the_defaults_and_flags_beat_the_file() {
    let file = File::parse(FILE).unwrap();
    let settings = over(args(), &file).unwrap();
    assert_eq!(settings.root, Path::new("/srv/convoy"));
    assert_eq!(settings.log_level, "warn");
    assert_eq!(settings.pool.filesystem.as_deref(), Some("xfs"));
    assert_eq!(settings.pool.data, Some(PathBuf::from("/dev/a")));
    let flags = Args {
        root: Some("/flag".into()),
        debug: true,
        driver_opts: vec!["dm.fs=ext4".into(), "dm.datadev=/dev/x=y".into()],
        ..args()
    };
    let settings = over(flags, &file).unwrap();
    assert_eq!(settings.root, Path::new("/flag"));
    assert_eq!(settings.log_level, "debug");
    assert_eq!(settings.pool.filesystem.as_deref(), Some("ext4"));
    assert_eq!(settings.pool.data, Some(PathBuf::from("/dev/x=y")));
    assert_eq!(settings.pool.metadata, Some(PathBuf::from("/dev/b")));
}

#[test]
fn an_environment_variable_holds_several_options() {
    let flags = Args {
        driver_opts: vec!["dm.datadev=/dev/a dm.metadatadev=/dev/b".into()],
        ..args()
    };
    let settings = over(flags, &File::default()).unwrap();
    assert_eq!(settings.pool.metadata, Some(PathBuf::from("/dev/b")));
}

#[test]
fn what_breaks_a_rule_is_refused_with_the_rule() {
    refused(
        Args {
            mnt_ns: Some("/proc/1/ns/mnt".into()),
            ..args()
        },
        "",
        "--mnt-ns is not supported",
    );
    refused(
        Args {
            drivers: vec!["foo".into()],
            ..args()
        },
        "",
        "driver \"foo\" is not supported",
    );
    refused(
        args(),
        "drivers = [\"ebs\"]",
        "driver \"ebs\" is not supported",
    );
    refused(
        Args {
            driver_opts: vec!["dm.fs".into()],
            ..args()
        },
        "",
        "\"dm.fs\" is not KEY=VALUE",
    );
    refused(
        Args {
            driver_opts: vec!["=x".into()],
            ..args()
        },
        "",
        "is not KEY=VALUE",
    );
    refused(
        Args {
            log_level: Some("loud=shouting".into()),
            ..args()
        },
        "",
        "log level",
    );
    let unknown = Args {
        driver_opts: vec!["dm.colour=red".into()],
        ..args()
    };
    let error = over(unknown, &File::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("dm.colour"), "{error}");
}

#[test]
fn a_file_with_anything_unknown_is_refused() {
    bad_file("colour = 1", "unknown field `colour`");
    bad_file("root = 1", "invalid type");
    bad_file("root = ", "TOML parse error");
    bad_file("[driver_opts]\n\"dm.fs\" = [1]", "dm.fs is a array");
    let error = resolve(Args {
        config: Some("/nonexistent/convoy.toml".into()),
        ..args()
    })
    .unwrap_err();
    let text = convoy_fault::chain(&error);
    assert!(
        text.contains("/nonexistent/convoy.toml") && text.contains("No such file"),
        "{text}"
    );
}

#[test]
fn what_has_no_effect_is_said() {
    let flags = Args {
        cmd_timeout: Some("5m".into()),
        ignore_config_file: true,
        ..args()
    };
    let settings = over(flags, &File::default()).unwrap();
    assert_eq!(settings.warnings.len(), 2);
    assert!(settings.warnings[0].contains("--cmd-timeout"));
}
