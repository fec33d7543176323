//! The `config` object: what a repository is, decided once (format §4).

use crate::codec::Compression;
use crate::error::Error;
use crate::id::{from_hex, to_hex};
use crate::json;
use crate::keys::Secret;
use convoy_units::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The chunk size unless chosen otherwise: 256 KiB.
pub const DEFAULT_CHUNK_SIZE: Bytes = Bytes::kib(256);
/// The longest config object.
pub(crate) const MAX_CONFIG: usize = 1 << 20;

/// What a repository is.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its identity.
    pub id: Uuid,
    /// When it was created.
    pub created: Timestamp,
    /// The software that created it.
    pub created_by: String,
    /// The host that created it.
    pub host: Uuid,
    /// Bytes of a chunk: a power of two, 4 KiB to 4 MiB.
    pub chunk_size: Bytes,
    /// What new blobs are compressed with.
    pub compression: Compression,
    /// The key material.
    pub secret: Secret,
    /// Least seconds between `warn` and `sweep`.
    pub grace_seconds: u64,
    /// The store failed the probe when the repository was made.
    pub single_writer: bool,
    /// A feature we do not know forbids writing.
    pub read_only_feature: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    format: String,
    version: u64,
    #[serde(deserialize_with = "json::uuid")]
    id: Uuid,
    #[serde(default, deserialize_with = "json::information")]
    created: Timestamp,
    #[serde(default, deserialize_with = "json::information")]
    created_by: String,
    #[serde(default, deserialize_with = "json::information")]
    host: Uuid,
    chunk_size: u64,
    tree_fanout: u64,
    hash: Algorithm,
    compression: Algorithm,
    cipher: Algorithm,
    #[serde(default)]
    id_key: Option<String>,
    grace_seconds: u64,
    single_writer: bool,
    features: Features,
}

#[derive(Debug, Serialize, Deserialize)]
struct Algorithm {
    name: String,
    code: u64,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "json::information"
    )]
    level: Option<i32>,
}

#[derive(Debug, Serialize, Deserialize, Default)]
struct Features {
    compat: Vec<String>,
    read_compat: Vec<String>,
    incompat: Vec<String>,
}

/// What must be readable in every version, so that the refusal can name who wrote it.
#[derive(Deserialize)]
struct Outline {
    format: String,
    version: u64,
    #[serde(default, deserialize_with = "json::information")]
    created_by: String,
}

/// What must be readable with every feature.
#[derive(Deserialize)]
struct Featured {
    features: Features,
}

/// Whether a repository can have chunks of this size.
pub(crate) fn is_chunk_size(size: Bytes) -> bool {
    size.0.is_power_of_two() && (1 << 12..=1 << 22).contains(&size.0)
}

impl Config {
    /// The object's bytes.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let algorithm = |name: &str, code, level| Algorithm {
            name: name.to_owned(),
            code,
            level,
        };
        let compression = match self.compression {
            Compression::None => algorithm("none", 0, None),
            Compression::Zstd(level) => algorithm("zstd", 1, Some(level)),
        };
        let file = File {
            format: "convoy-repository".to_owned(),
            version: 1,
            id: self.id,
            created: self.created,
            created_by: self.created_by.clone(),
            host: self.host,
            chunk_size: self.chunk_size.0,
            tree_fanout: crate::node::FANOUT as u64,
            hash: algorithm("blake3-keyed", 1, None),
            compression,
            cipher: algorithm("none", 0, None),
            id_key: Some(to_hex(&self.secret.0)),
            grace_seconds: self.grace_seconds,
            single_writer: self.single_writer,
            features: Features::default(),
        };
        let mut json =
            serde_json::to_vec_pretty(&file).expect("strings and numbers have a JSON form");
        json.push(b'\n');
        json
    }

    /// From the object's bytes. Newer formats and features are refused by name, anything else that
    /// does not fit is damage.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let damaged = |what: String| Error::damaged("config", what);
        if bytes.len() > MAX_CONFIG {
            return Err(damaged("it is longer than 1 MiB".to_owned()));
        }
        let outline: Outline = json::read(bytes).map_err(damaged)?;
        refuse_newer(&outline)?;
        let Featured { features } = json::read(bytes).map_err(damaged)?;
        refuse_features(&features, &outline)?;
        let file: File = json::read(bytes).map_err(damaged)?;
        known("hash", &file.hash, &[("blake3-keyed", 1)])?;
        known(
            "compression",
            &file.compression,
            &[("none", 0), ("zstd", 1)],
        )?;
        known("cipher", &file.cipher, &[("none", 0)])?;
        let chunk_size = Bytes(file.chunk_size);
        if !is_chunk_size(chunk_size) || file.tree_fanout != crate::node::FANOUT as u64 {
            return Err(damaged(
                "its chunk size or fan-out is out of range".to_owned(),
            ));
        }
        let key = file.id_key.as_deref().and_then(from_hex);
        Ok(Self {
            id: file.id,
            created: file.created,
            created_by: file.created_by,
            host: file.host,
            chunk_size,
            compression: match file.compression.code {
                0 => Compression::None,
                _ => Compression::Zstd(file.compression.level.unwrap_or(1).clamp(1, 19)),
            },
            secret: Secret(
                key.ok_or_else(|| damaged("its id_key is not 64 hex digits".to_owned()))?,
            ),
            grace_seconds: file.grace_seconds,
            single_writer: file.single_writer,
            read_only_feature: features.read_compat.first().cloned(),
        })
    }
}

fn refuse_newer(outline: &Outline) -> Result<(), Error> {
    if outline.format != "convoy-repository" {
        return Err(Error::damaged(
            "config",
            "it is not that of a backup repository",
        ));
    }
    match outline.version {
        0 => Err(Error::damaged("config", "there is no format 0")),
        1 => Ok(()),
        version => Err(Error::Newer {
            what: format!("format {version}, written by {}", outline.by()),
        }),
    }
}

fn refuse_features(features: &Features, outline: &Outline) -> Result<(), Error> {
    match features.incompat.first() {
        Some(name) => Err(Error::Newer {
            what: format!("feature {name:?}, written by {}", outline.by()),
        }),
        None => Ok(()),
    }
}

/// Name and code agree, and are ours: what is new here comes with a feature, so this is a second look.
fn known(what: &str, algorithm: &Algorithm, ours: &[(&str, u64)]) -> Result<(), Error> {
    let named = (algorithm.name.as_str(), algorithm.code);
    if ours.contains(&named) {
        return Ok(());
    }
    Err(Error::Newer {
        what: format!("{what} {:?}, code {}", algorithm.name, algorithm.code),
    })
}

impl Outline {
    fn by(&self) -> &str {
        if self.created_by.is_empty() {
            "a newer version"
        } else {
            &self.created_by
        }
    }
}

#[cfg(test)]
mod tests {
    //! Newer configs are refused by name, damaged ones as damage.

    use super::*;

    pub(crate) fn sample() -> Config {
        Config {
            id: Uuid::from_bytes([1; 16]),
            created: "2026-11-22T12:00:00Z".parse().unwrap(),
            created_by: "convoy 0.1.0".to_owned(),
            host: Uuid::from_bytes([2; 16]),
            chunk_size: DEFAULT_CHUNK_SIZE,
            compression: Compression::default(),
            secret: Secret([3; 32]),
            grace_seconds: 86400,
            single_writer: false,
            read_only_feature: None,
        }
    }

    fn altered(from: &str, to: &str) -> Result<Config, Error> {
        let text = String::from_utf8(sample().to_json()).unwrap();
        assert!(text.contains(from), "{text}");
        Config::parse(text.replace(from, to).as_bytes())
    }

    #[test]
    fn there_and_back() {
        let read = Config::parse(&sample().to_json()).unwrap();
        assert_eq!(read.to_json(), sample().to_json());
        assert!(altered("\"format\"", "\"new_field\": 7, \"format\"").is_ok());
    }

    #[test]
    fn newer_is_refused_by_name() {
        let newer = altered("\"version\": 1", "\"version\": 2").unwrap_err();
        assert!(
            matches!(&newer, Error::Newer { what } if what.contains("convoy 0.1.0")),
            "{newer}"
        );
        let feature = altered("\"incompat\": []", "\"incompat\": [\"encryption\"]").unwrap_err();
        assert!(
            matches!(&feature, Error::Newer { what } if what.contains("encryption")),
            "{feature}"
        );
        let config = altered("\"read_compat\": []", "\"read_compat\": [\"colour\"]").unwrap();
        assert_eq!(config.read_only_feature.as_deref(), Some("colour"));
        for (from, to) in [("\"zstd\"", "\"lz4\""), ("\"code\": 0", "\"code\": 2")] {
            assert!(
                matches!(altered(from, to), Err(Error::Newer { .. })),
                "{to}"
            );
        }
        for information in ["created", "created_by", "host"] {
            let renamed = format!("\"x_{information}\":");
            assert!(altered(&format!("\"{information}\":"), &renamed).is_ok());
        }
        assert!(altered("\"compat\": []", "\"compat\": [\"smell\"]").is_ok());
    }

    #[test]
    fn nonsense_is_damage() {
        for (from, to) in [
            ("262144", "262145"),
            ("0303", "xx03"),
            ("convoy-repository", "tar"),
            ("{", "["),
            ("\"version\": 1", "\"version\": 0"),
            ("\"version\": 1", "\"version\": 1, \"version\": 2"),
            ("\"incompat\": []", "\"x\": []"),
            ("01010101-", "ABABABAB-"),
        ] {
            assert!(
                matches!(altered(from, to), Err(Error::Damaged { .. })),
                "{to}"
            );
        }
    }
}
