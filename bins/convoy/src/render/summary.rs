//! What a verb took, in a line or two for people.

use crate::safe;
use convoy_api::{Summary, Verification};
use convoy_units::Bytes;

/// After a backup.
pub(crate) fn backup_summary(summary: &Summary) -> String {
    format!(
        "changed {}, read {}, stored {} in {} requests, {}\n",
        Bytes(summary.changed),
        Bytes(summary.read),
        Bytes(summary.stored),
        summary.requests,
        seconds(summary.duration_milliseconds),
    )
}

/// After a verification: the answer itself.
pub(crate) fn verified(verification: &Verification) -> String {
    let Verification {
        backup,
        chunks,
        bytes,
        problems,
        more_problems,
    } = verification;
    let read = format!("{chunks} chunks, {} of the volume", Bytes(*bytes));
    let name = safe::line(&backup.name);
    if problems.is_empty() {
        return format!("{name} is good: {read}\n");
    }
    let found = u64::try_from(problems.len())
        .unwrap_or(u64::MAX)
        .saturating_add(*more_problems);
    let noun = if found == 1 { "problem" } else { "problems" };
    let mut text = format!("{name} is damaged: {found} {noun} in {read}\n");
    for problem in problems {
        let range = match (problem.begin, problem.end) {
            (Some(begin), Some(end)) => format!(" (volume bytes {begin}..{end})"),
            _ => String::new(),
        };
        text.extend([
            "  ",
            &safe::line(&problem.object),
            &range,
            ": ",
            &safe::line(&problem.what),
            "\n",
        ]);
    }
    if *more_problems > 0 {
        text.push_str("  and more\n");
    }
    text
}

fn seconds(milliseconds: u64) -> String {
    let (whole, tenths) = (milliseconds / 1000, milliseconds % 1000 / 100);
    if whole < 60 {
        format!("{whole}.{tenths} s")
    } else {
        format!("{} min {} s", whole / 60, whole % 60)
    }
}
