//! The tools that these follow, and the version of them that these name.

/// The thin-provisioning-tools of Debian 12. The original's daemon refuses a `thin_delta` that says less than 0.5.1.
pub(crate) const VERSION: &str = "0.9.0";

/// The only two exit statuses there, and so here.
pub(crate) const EXIT: &str = "Exit status: 0 for success, 1 for anything else.";

/// What every tool can be asked besides help.
#[derive(Debug, clap::Args)]
pub(crate) struct Reference {
    /// Print 0.9.0, the version of the thin-provisioning-tools whose options and output these are
    #[arg(long, short = 'V', action = clap::ArgAction::Version)]
    version: Option<bool>,
}
