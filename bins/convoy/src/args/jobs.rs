//! `job …` and `pool …`.

use super::Layout;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Long operations: those that run or wait, and those that ended lately
    List {
        #[command(flatten)]
        layout: Layout,
    },
    /// One of them
    Inspect {
        /// The job: its id, or the beginning of it
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Wait until it is over, and end as it did
    Wait {
        /// The job: its id, or the beginning of it
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Ask it to stop; it leaves nothing behind that can be seen
    Cancel {
        /// The job: its id, or the beginning of it
        #[arg(value_name = "JOB")]
        job: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PoolCommand {
    /// How full the pool is, and what wants attention
    Status,
    /// Read all of the pool's metadata and check it, while it is used
    Check,
    /// Make the pool larger while it is used
    ///
    /// A loop-backed pool grows to the sizes given; one over devices takes over what they have grown by.
    Grow {
        /// The size of a loop-backed pool's data, such as 200G
        #[arg(long, value_name = "SIZE")]
        data: Option<String>,
        /// The size of a loop-backed pool's metadata
        #[arg(long, value_name = "SIZE")]
        metadata: Option<String>,
    },
}
