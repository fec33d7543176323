//! From one status to the next: what is worth saying, once.

use convoy_thinpool::{Mode, NoSpace, PoolStatus, Usage};

/// How bad an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should act before it gets worse.
    Warning,
    /// Something does not work.
    Error,
}

impl Severity {
    /// One lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Shares in use, in percent, that are told when they are reached.
const DATA_STEPS: [u64; 3] = [80, 90, 95];
const METADATA_STEPS: [u64; 3] = [75, 85, 95];
/// How many points below a step the share has to fall before the step is told again.
const SLACK: u64 = 2;

/// What is to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) severity: Severity,
    pub(super) what: String,
}

/// Whether the pool does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Condition {
    /// It does.
    #[default]
    Well,
    /// Out of data space: writers wait.
    Waiting,
    /// Out of data space: writes fail.
    Refusing,
    /// Its metadata cannot change.
    ReadOnly,
    /// The same, until it is checked.
    NeedsCheck,
    /// Unusable.
    Failed,
    /// The kernel does not say.
    Unknown,
}

impl Condition {
    pub(crate) fn of(status: &PoolStatus) -> Self {
        let usage = match status {
            PoolStatus::Failed => return Self::Failed,
            PoolStatus::Error => return Self::Unknown,
            PoolStatus::Working(usage) => usage,
        };
        match usage.mode {
            _ if usage.needs_check => Self::NeedsCheck,
            Mode::ReadOnly => Self::ReadOnly,
            Mode::OutOfDataSpace if usage.no_space == NoSpace::Error => Self::Refusing,
            Mode::OutOfDataSpace => Self::Waiting,
            Mode::Writable => Self::Well,
        }
    }

    /// How bad it is and what it means; nothing to say where all is well.
    const fn words(self) -> Option<(Severity, &'static str)> {
        Some(match self {
            Self::Well => return None,
            Self::Waiting => (
                Severity::Warning,
                "it is out of data space, and writers wait; they fail when the kernel's patience (a minute, by default) ends before space is freed or added",
            ),
            Self::Refusing => (
                Severity::Error,
                "it is out of data space, and writes that need a new block fail; delete something or make the pool larger",
            ),
            Self::ReadOnly => (
                Severity::Error,
                "it is read-only: its metadata cannot change, so writes and all changes fail",
            ),
            Self::NeedsCheck => (
                Severity::Error,
                "it is read-only until its metadata is checked: writes and all changes fail",
            ),
            Self::Failed => (Severity::Error, "it has failed: nothing of it works"),
            Self::Unknown => (Severity::Error, "the kernel does not say how it is"),
        })
    }

    /// Whether writes may have been refused or lost, and what a person should be told of it.
    pub(crate) const fn loses_writes(self) -> Option<&'static str> {
        match self {
            Self::Well | Self::Waiting | Self::Unknown => None,
            Self::Refusing => Some("the pool was out of data space and refused writes"),
            Self::ReadOnly => Some("the pool went read-only and refused writes"),
            Self::NeedsCheck => {
                Some("the pool's metadata could not be written, and writes may be lost")
            }
            Self::Failed => Some("the pool failed, and writes may be lost"),
        }
    }
}

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    condition: Condition,
    data: usize,
    metadata: usize,
}

impl Watcher {
    pub(super) fn observe(&mut self, status: &PoolStatus) -> Vec<Notice> {
        let mut notices = Vec::new();
        let condition = Condition::of(status);
        if condition != self.condition {
            let (severity, what) = condition
                .words()
                .unwrap_or((Severity::Info, "it works again"));
            let what = what.to_owned();
            notices.push(Notice { severity, what });
            self.condition = condition;
        }
        if let Some(usage) = status.usage() {
            for (what, reached, usage, steps) in [
                ("data", &mut self.data, usage.data, DATA_STEPS),
                (
                    "metadata",
                    &mut self.metadata,
                    usage.metadata,
                    METADATA_STEPS,
                ),
            ] {
                notices.extend(step(what, reached, usage, steps));
            }
        }
        notices
    }
}

/// Says that another step is reached; forgets those that are left for good.
fn step(what: &str, reached: &mut usize, usage: Usage, steps: [u64; 3]) -> Option<Notice> {
    let percent = percent(usage);
    let count = |percent: u64| steps.iter().filter(|step| percent >= **step).count();
    *reached = (*reached).min(count(percent + SLACK));
    let now = count(percent);
    if now <= *reached {
        return None;
    }
    *reached = now;
    Some(Notice {
        severity: Severity::Warning,
        what: format!(
            "{percent} % of its {what} are in use ({} of {} blocks)",
            usage.used, usage.total
        ),
    })
}

fn percent(usage: Usage) -> u64 {
    (usage.used * 100).checked_div(usage.total).unwrap_or(0)
}

/// What wants attention in this status.
pub(super) fn alerts(status: &PoolStatus) -> Vec<String> {
    let mut alerts = Vec::new();
    if let Some((_, what)) = Condition::of(status).words() {
        alerts.push(what.to_owned());
    }
    if let Some(usage) = status.usage() {
        for (what, usage, [least, ..]) in [
            ("data", usage.data, DATA_STEPS),
            ("metadata", usage.metadata, METADATA_STEPS),
        ] {
            let percent = percent(usage);
            if percent >= least {
                alerts.push(format!("{percent} % of the {what} are in use"));
            }
        }
    }
    alerts
}

#[cfg(test)]
mod tests {
    //! Each thing is said once, and again when it happens again.

    use super::*;

    fn status(line: &str) -> PoolStatus {
        PoolStatus::parse(line).unwrap()
    }

    fn fill(data: u64, metadata: u64) -> PoolStatus {
        status(&format!(
            "1 {metadata}/1000 {data}/1000 - rw discard_passdown queue_if_no_space - 256 "
        ))
    }

    fn said(watcher: &mut Watcher, status: &PoolStatus) -> Vec<String> {
        let notices = watcher.observe(status);
        notices.into_iter().map(|notice| notice.what).collect()
    }

    #[track_caller]
    fn check(watcher: &mut Watcher, status: &PoolStatus, words: &[&str]) {
        let said = said(watcher, status);
        assert_eq!(said.len(), words.len(), "{said:?}");
        for (said, words) in said.iter().zip(words) {
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn a_step_is_told_once_until_it_is_left_for_good() {
        let mut watcher = Watcher::default();
        check(&mut watcher, &fill(799, 749), &[]);
        check(&mut watcher, &fill(800, 749), &["80 % of its data"]);
        check(&mut watcher, &fill(850, 749), &[]);
        // A little below and back is the same story.
        check(&mut watcher, &fill(790, 749), &[]);
        check(&mut watcher, &fill(800, 749), &[]);
        check(&mut watcher, &fill(779, 749), &[]);
        check(&mut watcher, &fill(800, 749), &["80 % of its data"]);
        // Several at once are one sentence.
        check(
            &mut watcher,
            &fill(960, 750),
            &["96 % of its data", "75 % of its metadata"],
        );
        check(&mut watcher, &fill(960, 850), &["85 % of its metadata"]);
    }

    #[test]
    fn a_condition_is_told_when_it_begins_and_when_it_ends() {
        let mut watcher = Watcher::default();
        let waiting =
            "1 1/1000 1/1000 - out_of_data_space discard_passdown queue_if_no_space - 256";
        let refusing =
            "1 1/1000 1/1000 - out_of_data_space discard_passdown error_if_no_space - 256";
        check(&mut watcher, &fill(0, 0), &[]);
        check(&mut watcher, &status(waiting), &["writers wait"]);
        check(&mut watcher, &status(waiting), &[]);
        check(&mut watcher, &status(refusing), &["fail; delete something"]);
        check(&mut watcher, &fill(0, 0), &["works again"]);
        check(&mut watcher, &PoolStatus::Failed, &["it has failed"]);
        check(&mut watcher, &PoolStatus::Failed, &[]);
    }

    #[test]
    fn what_may_have_lost_writes_is_suspicious() {
        let suspicious = |line: &str| Condition::of(&status(line)).loses_writes().is_some();
        let rest = "discard_passdown queue_if_no_space - 256";
        assert!(!suspicious(&format!("1 1/9 1/9 - rw {rest}")));
        assert!(!suspicious(&format!(
            "1 1/9 1/9 - out_of_data_space {rest}"
        )));
        assert!(suspicious(
            "1 1/9 1/9 - out_of_data_space discard_passdown error_if_no_space - 9"
        ));
        assert!(suspicious(&format!("1 1/9 1/9 - ro {rest}")));
        assert!(suspicious(
            "1 1/9 1/9 - rw discard_passdown queue_if_no_space needs_check 9"
        ));
        assert!(suspicious("Fail"));
        assert!(
            !suspicious("Error"),
            "not to be asked is no proof of anything"
        );
    }

    #[test]
    fn an_alert_lasts_as_long_as_its_cause() {
        assert!(alerts(&fill(500, 500)).is_empty());
        assert_eq!(alerts(&fill(800, 900)).len(), 2);
        assert_eq!(alerts(&PoolStatus::Failed).len(), 1);
    }
}
