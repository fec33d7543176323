//! What the doctor says.

use convoy_units::TransactionId;
use std::path::PathBuf;
use uuid::Uuid;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gravity {
    /// To be known; an engine works all the same.
    Note,
    /// No engine works with it.
    Fatal,
}

impl Gravity {
    /// As people and scripts read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Fatal => "fatal",
        }
    }
}

macro_rules! codes {
    ($( $(#[doc = $doc:literal])* $code:ident = $text:literal, )*) => {
        /// What disagrees: a word that scripts may rely on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code { $( $(#[doc = $doc])* $code, )* }

        impl Code {
            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$code => $text, )* }
            }
        }
    };
}

codes! {
    /// There was a catalog, and its file is gone.
    CatalogLost = "catalog-lost",
    /// The catalog does not verify.
    CatalogDamaged = "catalog-damaged",
    /// A newer version wrote the catalog.
    CatalogNewer = "catalog-newer",
    /// The catalog's file cannot be read.
    CatalogUnreadable = "catalog-unreadable",
    /// There never was a catalog here.
    CatalogMissing = "catalog-missing",
    /// The pool's metadata device cannot be read.
    MetadataUnreadable = "metadata-unreadable",
    /// The metadata device is blank.
    MetadataBlank = "metadata-blank",
    /// The metadata device carries something else.
    MetadataForeign = "metadata-foreign",
    /// The metadata does not verify.
    MetadataDamaged = "metadata-damaged",
    /// The metadata counts space as used that nobody uses.
    MetadataLeaks = "metadata-leaks",
    /// The kernel wants the metadata checked before it writes again.
    NeedsCheck = "needs-check",
    /// The kernel does not take changes to the pool.
    PoolNotWritable = "pool-not-writable",
    /// It is another pool's metadata.
    AnotherPool = "another-pool",
    /// The pool is older than the catalog.
    PoolBehind = "pool-behind",
    /// The pool is newer than the catalog.
    PoolAhead = "pool-ahead",
    /// The pool lacks thin devices that the catalog has.
    DevicesMissing = "thin-devices-missing",
    /// The pool has thin devices that the catalog has not.
    DevicesUnknown = "thin-devices-unknown",
    /// The data device is not this pool's.
    DataForeign = "data-foreign",
    /// The data device is smaller than the pool.
    DataSmaller = "data-smaller",
    /// The data device cannot be read.
    DataUnreadable = "data-unreadable",
    /// An operation was cut short; the next start settles it.
    Interrupted = "interrupted",
    /// Not everything could be compared.
    NotCompared = "not-compared",
}

/// One thing that is wrong or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub code: Code,
    /// How much it matters.
    pub gravity: Gravity,
    /// One sentence.
    pub what: String,
    /// What was seen.
    pub evidence: Vec<String>,
    /// What to do.
    pub cure: String,
    /// Whether [`super::fix`] does it.
    pub fixable: bool,
}

/// A copy of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySeen {
    /// The file.
    pub path: PathBuf,
    /// Its transaction id and how many volumes and snapshots it has; else why it cannot be read.
    pub holds: Result<(TransactionId, usize, usize), String>,
}

/// The pool as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSeen {
    /// Its device-mapper name.
    pub name: String,
    /// Its identity, as the catalog has it.
    pub uuid: Uuid,
    /// Its metadata device or file.
    pub metadata: PathBuf,
    /// Its data device or file.
    pub data: PathBuf,
    /// Whether the kernel has it up.
    pub up: bool,
    /// The transaction id in its metadata.
    pub transaction: Option<TransactionId>,
    /// How many thin devices its metadata has.
    pub thin_devices: Option<usize>,
}

/// Everything the doctor has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The root directory.
    pub root: PathBuf,
    /// The catalog's transaction id, volumes and snapshots, where it can be read.
    pub catalog: Option<(TransactionId, usize, usize)>,
    /// Its copies, the likeliest to be true first.
    pub copies: Vec<CopySeen>,
    /// The pool, where anything tells of it.
    pub pool: Option<PoolSeen>,
    /// What is wrong, the gravest first.
    pub findings: Vec<Finding>,
    /// What was done about it, one sentence each.
    pub fixed: Vec<String>,
    /// Why the engine that was asked only looks, if it does.
    pub read_only: Option<String>,
}

impl Diagnosis {
    /// Whether an engine can work with it.
    pub fn is_well(&self) -> bool {
        self.read_only.is_none()
            && self
                .findings
                .iter()
                .all(|finding| finding.gravity == Gravity::Note)
    }
}
