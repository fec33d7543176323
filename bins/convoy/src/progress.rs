//! A long verb's progress on stderr: a bar on a terminal, event lines in JSON mode, else nothing.

use convoy_api::Frame;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Write;
use std::time::Duration;

const SPINNER: &str = "{spinner} {prefix} {elapsed}";
const BAR: &str = "{spinner} {prefix} {wide_bar} {binary_bytes}/{binary_total_bytes} \
                   {binary_bytes_per_sec} ETA {eta}";

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// For a person at a terminal.
    Bar,
    /// For a program: each event as it comes, one JSON object a line.
    Events,
    /// Not at all.
    Nothing,
}

/// Hears a verb's frames.
#[derive(Debug)]
pub(crate) struct Progress {
    show: Show,
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn new(show: Show) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(style(SPINNER));
        Self { show, bar }
    }

    pub(crate) fn hear(&mut self, frame: &Frame<()>) {
        match (self.show, frame) {
            (Show::Events, frame) => event(frame),
            (Show::Bar, Frame::Phase { phase }) => {
                self.bar.set_style(style(SPINNER));
                self.bar.set_prefix(crate::safe::line(phase));
                self.appear();
            }
            (Show::Bar, Frame::Progress { done, total }) => {
                if self.bar.length() != Some(*total) {
                    self.bar.reset();
                    self.bar.set_length(*total);
                }
                self.bar.set_style(style(BAR));
                self.bar.set_position(*done);
                self.appear();
            }
            (Show::Bar, Frame::Waiting { operation }) => {
                self.bar.set_style(style(SPINNER));
                self.bar.set_prefix(format!("waiting for job {operation}"));
                self.appear();
            }
            _ => {}
        }
    }

    /// Only with the first event: a verb that is done or refused at once shows nothing.
    fn appear(&self) {
        if self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(Duration::from_millis(120));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let style =
        ProgressStyle::with_template(template).expect("the templates are constants of ours");
    style.progress_chars("=> ")
}

fn event(frame: &Frame<()>) {
    let line = serde_json::to_string(frame).expect("frames are structs of text and numbers");
    // Nobody there to read events is no reason to fail.
    drop(writeln!(std::io::stderr(), "{}", crate::safe::json(&line)));
}
