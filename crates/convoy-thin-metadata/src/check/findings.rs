//! What is wrong, kept in bounded number.

use super::{CheckOptions, CheckReport, Damage};
use std::fmt;

/// Findings kept in full unless the caller says otherwise.
const DEFAULT_MAX: usize = 1000;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Space is lost at most: blocks counted as used that nobody uses, or a number that is off and that nothing rests on.
    NonFatal,
    /// Data is lost or in danger: something cannot be read or trusted, or a block in use may be given away.
    Fatal,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NonFatal => "non-fatal",
            Self::Fatal => "fatal",
        })
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How grave.
    pub severity: Severity,
    /// Whether only the metadata snapshot has it.
    pub held: bool,
    /// Where, and which rule.
    pub damage: Damage,
}

/// One line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.damage)?;
        if self.held {
            f.write_str(" (in the metadata snapshot)")?;
        }
        Ok(())
    }
}

/// Collects findings: the first so many, a count of the others, and the gravest severity of all.
#[derive(Debug)]
pub(super) struct Findings {
    kept: Vec<Finding>,
    max: usize,
    ignore_non_fatal: bool,
    uncounted: u64,
    worst: Option<Severity>,
    held: bool,
}

impl Findings {
    pub(super) fn new(options: &CheckOptions) -> Self {
        Self {
            kept: Vec::new(),
            max: options.max_findings.unwrap_or(DEFAULT_MAX),
            ignore_non_fatal: options.ignore_non_fatal,
            uncounted: 0,
            worst: None,
            held: false,
        }
    }

    /// Whether what is added from now on is of the metadata snapshot.
    pub(super) fn held(&mut self, held: bool) {
        self.held = held;
    }

    pub(super) fn add(&mut self, severity: Severity, damage: Damage) {
        if severity == Severity::NonFatal && self.ignore_non_fatal {
            return;
        }
        self.worst = self.worst.max(Some(severity));
        if self.kept.len() < self.max {
            self.kept.push(Finding {
                severity,
                held: self.held,
                damage,
            });
        } else {
            self.uncounted += 1;
        }
    }

    pub(super) fn into_report(self, report: &mut CheckReport) {
        report.findings = self.kept;
        report.uncounted = self.uncounted;
        report.worst = self.worst;
    }
}
