//! The driver options of the original, by their names and rules.

use crate::config::PoolConfig;
use crate::error::Error;
use convoy_fault::Kind;
use convoy_units::{Bytes, DataBlockSize, Sectors};
use std::path::PathBuf;

/// Every driver option: its name, its default, and its rule as a person reads it.
pub const OPTIONS: [(&str, &str, &str); 7] = [
    (
        "dm.datadev",
        "a file under the root",
        "a block device without any signature",
    ),
    (
        "dm.metadatadev",
        "a file under the root",
        "another block device, its first 4096 bytes zero",
    ),
    ("dm.thinpoolname", "convoy-pool", convoy_names::RULE),
    (
        "dm.thinpoolblocksize",
        "4096",
        "512-byte sectors, 128 to 2097152 and a multiple of 128",
    ),
    (
        "dm.defaultvolumesize",
        "100G",
        "a size such as 10G; a volume gets it in whole blocks of the pool",
    ),
    ("dm.fs", "ext4", "ext4 or xfs"),
    (
        "dm.trustdatadev",
        "false",
        "true: take a data device on which no volume is recognised; for one start, by an operator who knows",
    ),
];

/// Reads `dm.*` options as the command line and the configuration file give them.
///
/// # Errors
/// [`Kind::Invalid`] with the rule: an unknown option, one given twice with different values, a value
/// that breaks its rule, or one of the two devices without the other. Nothing is touched.
pub fn pool_options(options: &[(String, String)]) -> Result<PoolConfig, Error> {
    let mut config = PoolConfig::default();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (name, value) in options {
        match seen.iter().find(|(known, _)| known == name) {
            Some((_, same)) if same == value => continue,
            Some((_, other)) => {
                let what =
                    format!("driver option {name} is given twice, as {other:?} and {value:?}");
                return Err(Error::new(Kind::Invalid, what));
            }
            None => seen.push((name, value)),
        }
        set(&mut config, name, value)?;
    }
    match (&config.data, &config.metadata) {
        (Some(data), Some(metadata)) if data == metadata => Err(Error::new(
            Kind::Invalid,
            "data device or metadata device unspecified: dm.datadev and dm.metadatadev are the same device",
        )),
        (Some(_), None) | (None, Some(_)) => Err(Error::new(
            Kind::Invalid,
            "data device or metadata device unspecified: a pool needs both dm.datadev and dm.metadatadev",
        )
        .hinting("give both, or neither for a loop-backed pool under the root (not for production)")),
        _ => Ok(config),
    }
}

fn set(config: &mut PoolConfig, name: &str, value: &str) -> Result<(), Error> {
    match name {
        "dm.datadev" => config.data = Some(device(name, value)?),
        "dm.metadatadev" => config.metadata = Some(device(name, value)?),
        "dm.thinpoolname" => {
            let parsed = value
                .parse()
                .map_err(|error| invalid(name, value, &error))?;
            config.name = Some(parsed);
        }
        "dm.thinpoolblocksize" => config.block_size = Some(block_size(value)?),
        "dm.defaultvolumesize" => {
            let size: Bytes = value.parse().map_err(|error| {
                invalid(
                    name,
                    value,
                    &format_args!("Illegal default volume size specified: {error}"),
                )
            })?;
            if size == Bytes(0) {
                return Err(invalid(
                    name,
                    value,
                    &"Illegal default volume size specified: 0",
                ));
            }
            config.default_volume_size = Some(size);
        }
        "dm.fs" => match value {
            "ext4" | "xfs" => config.filesystem = Some(value.to_owned()),
            _ => {
                return Err(invalid(
                    name,
                    value,
                    &"Unsupported filesystem type specified: it is ext4 or xfs",
                ));
            }
        },
        "dm.trustdatadev" => {
            config.trust_data = value
                .parse()
                .map_err(|_| invalid(name, value, &"it is true or false"))?;
        }
        _ => {
            let known: Vec<&str> = OPTIONS.iter().map(|(name, ..)| *name).collect();
            let what = format!("unknown driver option {name:?}");
            let hint = format!("the driver options are {}", known.join(", "));
            return Err(Error::new(Kind::Invalid, what).hinting(hint));
        }
    }
    Ok(())
}

fn device(name: &str, value: &str) -> Result<PathBuf, Error> {
    let path = PathBuf::from(value);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(invalid(
            name,
            value,
            &"it is an absolute path such as /dev/sdb1",
        ))
    }
}

/// Sectors; as in the original a suffix multiplies the number of *sectors*, so `4k` is the default.
fn block_size(value: &str) -> Result<DataBlockSize, Error> {
    const NAME: &str = "dm.thinpoolblocksize";
    let Bytes(sectors) = value.parse().map_err(|error| {
        invalid(
            NAME,
            value,
            &format_args!("Illegal block size specified: {error}"),
        )
    })?;
    DataBlockSize::new(Sectors(sectors)).map_err(|_| {
        invalid(
            NAME,
            value,
            &"Block size must between 128 and 2097152, and must be a multiple of 128 (sectors of 512 bytes)",
        )
    })
}

fn invalid(name: &str, value: &str, why: &dyn std::fmt::Display) -> Error {
    let value: String = value.chars().take(140).collect();
    Error::new(
        Kind::Invalid,
        format!("driver option {name}={value:?}: {why}"),
    )
}

#[cfg(test)]
mod tests;
