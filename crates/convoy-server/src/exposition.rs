//! The text that Prometheus reads: version 0.0.4 of its exposition format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::{Display, Write};
use std::time::Duration;

/// The media type of the text.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page in the making.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

/// One family of a page: its samples follow each other.
#[derive(Debug)]
pub(crate) struct Family<'a> {
    page: &'a mut Page,
    name: &'static str,
}

type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// Begins a family. `kind` is the format's word; `help` is one line of plain ASCII.
    pub(crate) fn family(
        &mut self,
        name: &'static str,
        kind: &'static str,
        help: &'static str,
    ) -> Family<'_> {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        Family { page: self, name }
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.0, "{line}").expect("text takes text");
    }
}

impl Family<'_> {
    /// One sample under the family's own name.
    pub(crate) fn sample(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.part("", labels, value)
    }

    /// One sample of a histogram or summary: `_bucket`, `_sum` or `_count` behind the family's name.
    pub(crate) fn part(
        &mut self,
        ending: &str,
        labels: Labels<'_>,
        value: impl Display,
    ) -> &mut Self {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let name = self.name;
        self.page
            .line(format_args!("{name}{ending}{labels} {value}"));
        self
    }
}

fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

/// Seconds, to the microsecond, exactly.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{}.{:06}", duration.as_secs(), duration.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_the_format_says() {
        let mut page = Page::default();
        page.family("a_total", "counter", "Things.")
            .sample(&[], 3)
            .sample(
                &[("of", "a \"b\" \\ c\nd"), ("and", "x")],
                18_446_744_073_709_551_615_u64,
            );
        page.family("b_seconds", "histogram", "Long.").part(
            "_sum",
            &[],
            seconds(Duration::from_micros(1_000_002)),
        );
        assert_eq!(
            page.into_text(),
            "# HELP a_total Things.\n\
             # TYPE a_total counter\n\
             a_total 3\n\
             a_total{of=\"a \\\"b\\\" \\\\ c\\nd\",and=\"x\"} 18446744073709551615\n\
             # HELP b_seconds Long.\n\
             # TYPE b_seconds histogram\n\
             b_seconds_sum 1.000002\n"
        );
    }
}
