//! Counting: what libtest prints, and what a step of ours amounts to.

/// How many tests passed and failed, and the failed ones by name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) failures: Vec<String>,
    /// What could not be run here, and why: neither passed nor failed.
    pub(crate) skipped: Vec<String>,
}

impl Tally {
    /// One check, and it passed.
    pub(crate) fn one_passed() -> Self {
        Self {
            passed: 1,
            ..Self::default()
        }
    }

    /// One failure.
    pub(crate) fn one_failed(what: String) -> Self {
        Self {
            failed: 1,
            failures: vec![what],
            ..Self::default()
        }
    }

    /// Adds another's counts.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.skipped.extend(other.skipped);
    }

    /// Notes what cannot be run here.
    pub(crate) fn skip(&mut self, what: String) {
        self.skipped.push(what);
    }

    /// Counts one failure more.
    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        self.failed += 1;
        self.failures.push(what.into());
    }
}

/// Reads libtest's output line by line.
#[derive(Debug, Default)]
pub(crate) struct Libtest {
    tally: Tally,
    summaries: u64,
    reported: Vec<(String, bool)>,
    running: Option<String>,
}

impl Libtest {
    /// Takes one line.
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim_end_matches(['\r', '\n']);
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.summaries += 1;
            self.running = None;
            self.tally.passed += count(counts, "passed");
            self.tally.failed += count(counts, "failed");
            return;
        }
        // What a test's own children print may come between the name and the verdict.
        if let Some((name, rest)) = line
            .strip_prefix("test ")
            .and_then(|l| l.split_once(" ... "))
        {
            self.running = Some(name.to_owned());
            self.verdict(rest);
        } else {
            self.verdict(line);
        }
    }

    fn verdict(&mut self, text: &str) {
        let text = text.trim_end();
        let passed = text.ends_with("ok");
        if !passed && !text.ends_with("FAILED") {
            return;
        }
        let Some(name) = self.running.take() else {
            return;
        };
        if !passed {
            self.tally.failures.push(name.clone());
        }
        self.reported.push((name, passed));
    }

    /// The counts of a program, or several, that ended with success or not: an end without success
    /// and without a failed test is a failure too.
    pub(crate) fn finish(self, name: &str, success: bool) -> Tally {
        let mut tally = self.tally;
        if !success && tally.failed == 0 {
            tally.fail(format!("{name}: it failed with no failed test (see above)"));
        }
        tally
    }

    /// The counts of one program that was to run `tests`; those it never reported have failed.
    pub(crate) fn finish_expecting(self, tests: &[String], end: &str) -> Tally {
        if self.summaries > 0 {
            return self.tally;
        }
        let passed = |test: &&String| self.reported.iter().any(|(name, ok)| *ok && name == *test);
        let mut tally = Tally::default();
        for test in tests {
            if passed(&test) {
                tally.passed += 1;
            } else if self.running.as_ref() == Some(test) {
                tally.fail(format!("{test}: it was running when {end}"));
            } else if self.reported.iter().any(|(name, _)| name == test) {
                tally.fail(test.clone());
            } else {
                tally.fail(format!("{test}: not reached, since {end}"));
            }
        }
        if tally.failed == 0 {
            tally.fail(format!("{end}, with no summary of its tests"));
        }
        tally
    }
}

/// The number before a word: `3 passed; 1 failed`.
fn count(text: &str, word: &str) -> u64 {
    let words: Vec<&str> = text
        .split([' ', ';'])
        .filter(|part| !part.is_empty())
        .collect();
    let pair = words.windows(2).find(|pair| pair.last() == Some(&word));
    pair.and_then(|pair| pair.first()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Libtest {
        let mut libtest = Libtest::default();
        text.lines().for_each(|line| libtest.line(line));
        libtest
    }

    const TWO: &str = "running 2 tests\n\
        test a::one ... ok\n\
        test a::two ... FAILED\n\n\
        failures:\n    a::two\n\n\
        test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";

    #[test]
    fn summaries_are_added_up() {
        let twice = format!("{TWO}{TWO}");
        let tally = read(&twice).finish("tests", false);
        assert_eq!((tally.passed, tally.failed), (2, 2));
        assert_eq!(tally.failures, ["a::two", "a::two"]);
    }

    #[test]
    fn a_failure_without_a_failed_test_counts() {
        let tally = read("error: could not compile").finish("tests", false);
        assert_eq!((tally.passed, tally.failed), (0, 1));
        assert_eq!(read("").finish("tests", true), Tally::default());
    }

    #[test]
    fn output_between_name_and_verdict_does_not_confuse() {
        let text = "test a::one ... mke2fs 1.47\nok\ntest a::two ... ";
        let names = ["a::one", "a::two", "a::three"].map(str::to_owned);
        let tally = read(text).finish_expecting(&names, "the guest died");
        assert_eq!((tally.passed, tally.failed), (1, 2));
        assert_eq!(
            tally.failures[0],
            "a::two: it was running when the guest died"
        );
        assert_eq!(
            tally.failures[1],
            "a::three: not reached, since the guest died"
        );
    }

    #[test]
    fn a_summary_is_trusted() {
        let names = ["a::one", "a::two"].map(str::to_owned);
        let tally = read(TWO).finish_expecting(&names, "it ended");
        assert_eq!((tally.passed, tally.failed), (1, 1));
    }
}
