//! `thin_check`: is a pool's metadata sound. Read only.

use crate::failure::Failure;
use crate::input;
use crate::reference::{self, Reference};
use clap::Parser;
use convoy_thin_metadata::{CheckOptions, CheckReport, FileSource, Severity, check};
use std::io::Write;
use std::path::PathBuf;

/// How many findings are told one by one; the rest as a number.
const MAX_FINDINGS: usize = 1000;

/// Check that a pool's metadata is sound.
///
/// Every tree is read, references are counted and compared with both space maps, and everything wrong is told on stderr, a line
/// each. Nothing is ever written to the metadata. Exit status 0 means that nothing is wrong.
#[derive(Debug, Parser)]
#[command(
    name = "thin_check",
    after_help = reference::EXIT,
    version = reference::VERSION, disable_version_flag = true,
    term_width = 100,
    infer_long_args = true,
    args_override_self = true
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the reference tool, on or off"
)]
pub(crate) struct Arguments {
    /// Print nothing: the exit status is the answer
    #[arg(long, short)]
    quiet: bool,

    /// Check the superblock only
    #[arg(long)]
    super_block_only: bool,

    /// Leave out the mappings, which are most of the metadata
    #[arg(long)]
    skip_mappings: bool,

    /// Take no notice of what endangers no data, such as blocks that count as used and are not
    #[arg(long)]
    ignore_non_fatal_errors: bool,

    /// Check the metadata snapshot that the pool holds: its trees, since it has no space maps. The pool may be in use
    #[arg(long, short, alias = "metadata-snapshot")]
    metadata_snap: bool,

    /// Refused: nothing is written here
    #[arg(long, hide_short_help = true)]
    clear_needs_check_flag: bool,

    /// Refused: nothing is written here
    #[arg(long, hide_short_help = true)]
    auto_repair: bool,

    /// Refused: the superblock names the root
    #[arg(long, value_name = "BLOCK", hide_short_help = true)]
    override_mapping_root: Option<u64>,

    /// The metadata device, or a file with a copy of one
    #[arg(value_name = "METADATA")]
    metadata: PathBuf,

    #[command(flatten)]
    _reference: Reference,
}

pub(crate) fn run(
    arguments: &Arguments,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), Failure> {
    let result = examine(arguments, out, err);
    match result {
        // Whoever asks for silence gets it for every answer but a wrong command line.
        Err(Failure::Told { .. }) if arguments.quiet && refused(arguments).is_none() => {
            Err(Failure::Silent)
        }
        other => other,
    }
}

fn examine(arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> Result<(), Failure> {
    if let Some(refusal) = refused(arguments) {
        return Err(refusal);
    }
    let path = &arguments.metadata;
    let claim = if arguments.metadata_snap {
        None
    } else {
        input::claim(path)?
    };
    let source = FileSource::open(path)?;
    let held = arguments.metadata_snap.then(|| input::held_root(&source));
    let options = CheckOptions {
        skip_mappings: arguments.skip_mappings,
        super_block_only: arguments.super_block_only,
        ignore_non_fatal: arguments.ignore_non_fatal_errors,
        max_findings: Some(MAX_FINDINGS),
        metadata_snapshot: held.transpose()?,
    };
    let report = check(&source, &options)?;
    // Until here nobody could have taken the device into use.
    drop(claim);
    if !arguments.quiet {
        tell(&report, &source, out, err)?;
    }
    match report.worst() {
        None => Ok(()),
        Some(Severity::NonFatal) if arguments.ignore_non_fatal_errors => Ok(()),
        Some(_) => Err(Failure::Silent),
    }
}

/// Options of the reference tool that would write, or check what nobody will use.
fn refused(arguments: &Arguments) -> Option<Failure> {
    let because = |option: &str, hint| {
        let message = format!("{option} is refused: this program never writes to metadata");
        Some(Failure::told(message, Some(hint)))
    };
    let other_tool = "thin_check of the thin-provisioning-tools does it, once this check passes";
    if arguments.clear_needs_check_flag {
        return because("--clear-needs-check-flag", other_tool);
    }
    if arguments.auto_repair {
        return because("--auto-repair", other_tool);
    }
    arguments.override_mapping_root.map(|_| {
        let hint = "leave it out: the superblock names the root";
        Failure::told("--override-mapping-root is not offered", Some(hint))
    })
}

/// The reference tool's two lines on stdout, unless block 0 cannot be trusted; and what is wrong on stderr.
fn tell(
    report: &CheckReport,
    source: &FileSource,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), Failure> {
    if let Ok(superblock) = input::live_superblock(source) {
        let all = superblock.nr_metadata_blocks.unwrap_or(0);
        let used = superblock.allocated_metadata_blocks.unwrap_or(0);
        writeln!(out, "TRANSACTION_ID={}", report.transaction_id)?;
        writeln!(out, "METADATA_FREE_BLOCKS={}", all.saturating_sub(used))?;
        // The answer is due whatever the exit status.
        out.flush()?;
    }
    // Nobody at stderr changes nothing of the exit status.
    drop(complain(report, err));
    Ok(())
}

fn complain(report: &CheckReport, err: &mut dyn Write) -> std::io::Result<()> {
    for finding in &report.findings {
        writeln!(err, "thin_check: {finding}")?;
    }
    if report.uncounted > 0 {
        writeln!(err, "thin_check: and {} more", report.uncounted)?;
    }
    if report.needs_check {
        writeln!(
            err,
            "thin_check: note: the kernel wants this metadata checked before it writes to it (needs_check is set)"
        )?;
    }
    Ok(())
}
