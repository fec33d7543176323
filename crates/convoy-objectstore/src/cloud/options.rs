//! How to reach a bucket, and who we are there.

use std::fmt;
use std::time::Duration;

/// How to reach a bucket and who we are there. The default is Amazon's S3, and what its own tools would use.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct S3Options {
    /// Another server than Amazon's: `https://host[:port]`. `http://` is taken as asked for: nothing is secret
    /// on the way then, though keys are not sent.
    pub endpoint: Option<String>,
    /// How the bucket is named to the server.
    pub addressing: Addressing,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_bundle: Option<Vec<u8>>,
    /// A proxy: `http://host:port`. It is not asked for credentials of this machine, which are near.
    pub proxy: Option<String>,
    /// Hosts that are reached without the proxy, as `NO_PROXY` has them: `10.0.0.0/8,store.lan`.
    pub no_proxy: Option<String>,
    /// Such as `STANDARD_IA`, for what is stored.
    pub storage_class: Option<String>,
    /// What the server is to do with what is stored.
    pub encryption: Option<Encryption>,
    /// Keys. Without them Amazon's own library looks at the first request where its tools look: in this
    /// process's environment, in `~/.aws`, in the container, at the instance's metadata service.
    pub keys: Option<Keys>,
    /// The profile of `~/.aws` to use, where no keys are given.
    pub profile: Option<String>,
    /// How long a request may take.
    pub limits: Limits,
}

/// How long a request may take; whatever the other side does, it ends. Who calls repeats what is worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Making a connection. By default 10 s.
    pub connect: Duration,
    /// Neither a byte sent nor one received. By default 30 s.
    pub silence: Duration,
    /// Bytes a second: an object that comes or goes more slowly is given up, `silence` allowed besides. By default
    /// 32 KiB.
    pub slowest: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            slowest: 32 << 10,
        }
    }
}

impl Limits {
    /// How long a request may take that carries so many bytes.
    pub(super) fn patience(&self, size: u64) -> Duration {
        self.silence + Duration::from_secs(size / self.slowest.max(1))
    }
}

/// How a bucket is named to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Addressing {
    /// In the path at other servers than Amazon's, in the host's name there.
    #[default]
    Auto,
    /// `https://host/bucket/key`.
    Path,
    /// `https://bucket.host/key`.
    VirtualHost,
}

/// Encryption by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// With the service's own keys (SSE-S3).
    Service,
    /// With a key of the key management service (SSE-KMS), by its id.
    Kms(String),
}

/// An access key. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// The token of a session.
    pub token: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl fmt::Debug for S3Options {
    /// A proxy's address may have a password, so it is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Options")
            .field("endpoint", &self.endpoint)
            .field("addressing", &self.addressing)
            .field("proxy", &self.proxy.is_some())
            .field("storage_class", &self.storage_class)
            .field("encryption", &self.encryption)
            .field("keys", &self.keys)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}
