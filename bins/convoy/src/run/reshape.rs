//! Reshaping volumes: what is asked of the daemon, and what is printed.

use super::{Outcome, Session, View, object, printed};
use crate::failure::Failure;
use crate::options::Reshape;
use crate::{render, safe};
use convoy_api::{Answer, CreatedSnapshots};

impl Session {
    pub(super) fn reshape(&self, reshape: Reshape) -> Result<Outcome, Failure> {
        let client = &self.client;
        Ok(match reshape {
            Reshape::Resize(name, request) => {
                let answer = client.resize_volume(&name, &request)?;
                let resized = &answer.result;
                let outcome = self.line(&resized.volume.name, || render::resized(&answer));
                self.remark(outcome, || render::resized_remark(resized))
            }
            Reshape::Rename(name, request) => {
                let answer = client.rename_volume(&name, &request)?;
                self.line(&answer.result.name, || render::mounted(&answer))
            }
            Reshape::Label(name, request) => {
                let answer = client.label_volume(&name, &request)?;
                self.line(&answer.result.name, || render::mounted(&answer))
            }
            Reshape::RollBack(snapshot) => {
                let answer = client.roll_back(&snapshot)?;
                let done = &answer.result;
                let outcome = self.line(&done.safety.name, || render::rolled_back(&answer));
                self.remark(outcome, || render::rolled_back_remark(done))
            }
            Reshape::Together(request) => self.together(&client.create_snapshots(&request)?),
        })
    }

    /// A name on a line each, as `snapshot create` has one.
    fn together(&self, answer: &Answer<CreatedSnapshots>) -> Outcome {
        let taken = &answer.result;
        let names = taken
            .snapshots
            .iter()
            .map(|taken| safe::line(&taken.name) + "\n");
        let outcome = match self.view {
            View::Json => object(&render::taken_together(answer)),
            _ => printed(names.collect()),
        };
        let held = taken
            .snapshots
            .iter()
            .find_map(|taken| taken.hold_microseconds);
        match held {
            Some(held) if !taken.unchanged => self.remark(outcome, || {
                format!("writes waited {}\n", render::held(held))
            }),
            _ => outcome,
        }
    }
}
