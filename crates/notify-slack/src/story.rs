//! What a run's events amount to: which of them are worth a message, and what later messages need
//! to know of earlier events.

use jiff::Timestamp;
use pipeline_sdk::{Event, EventRecord, Link, ProgressLevel, RunCommand, RunId, RunOutcome};

use crate::inputs::Moment;

/// What is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tale {
    pub(crate) moment: Moment,
    /// One line.
    pub(crate) headline: String,
    /// More, such as an error; may be empty.
    pub(crate) text: String,
    /// `hello-staging`.
    pub(crate) project: String,
    /// `eu-central-1 (embedded cloud)`.
    pub(crate) target: String,
    pub(crate) run: RunId,
    pub(crate) at: Timestamp,
    pub(crate) link: Option<Link>,
    /// Whether somebody should look.
    pub(crate) is_bad: bool,
}

/// What is known of the run so far.
#[derive(Debug, Default)]
pub(crate) struct Story {
    run: Option<RunId>,
    project: String,
    target: String,
    command: Option<RunCommand>,
    /// The last page that a stage pointed to.
    link: Option<Link>,
}

impl Story {
    /// Takes the next event; returns what is worth telling.
    pub(crate) fn hear(&mut self, record: &EventRecord) -> Option<Tale> {
        if self.run != Some(record.run) {
            *self = Self { run: Some(record.run), ..Self::default() };
        }
        let (moment, headline, text) = match &record.event {
            Event::RunStarted { pipeline, command, target, link, .. } => {
                self.project = pipeline.canonical();
                self.target.clone_from(target);
                self.link.clone_from(link);
                self.command = Some(*command);
                return None;
            }
            // Only now is it known whether there is anything to do.
            Event::Planned { changes } if *changes > 0 && self.command != Some(RunCommand::Plan) => {
                let verb = if self.command == Some(RunCommand::Destroy) { "Removal" } else { "Deployment" };
                (
                    Moment::Start,
                    format!("{verb} started"),
                    format!("{changes} {}", plural(*changes, "change")),
                )
            }
            Event::StageProgress { stage, progress } => {
                if progress.link.is_some() {
                    self.link.clone_from(&progress.link);
                }
                match progress.level {
                    ProgressLevel::Note => return None,
                    ProgressLevel::Milestone => {
                        (Moment::Progress, progress.message.clone(), shares(progress))
                    }
                    ProgressLevel::Warning => {
                        (Moment::Progress, format!("Warning from {stage}"), progress.message.clone())
                    }
                }
            }
            Event::RollbackStarted { cause } => (Moment::Rollback, "Rolling back".to_owned(), cause.clone()),
            Event::CancelRequested { cause } => {
                (Moment::Stop, "Stop requested".to_owned(), format!("by {cause}"))
            }
            Event::RunFinished { outcome, elapsed_ms, error, left_over } => {
                self.ending(*outcome, *elapsed_ms, error.as_deref(), left_over)?
            }
            _ => return None,
        };
        let is_bad = matches!(moment, Moment::Failure | Moment::Rollback);
        Some(Tale {
            moment,
            headline,
            text,
            project: self.project.clone(),
            target: self.target.clone(),
            run: record.run,
            at: record.at,
            link: self.link.clone(),
            is_bad,
        })
    }

    fn ending(
        &self,
        outcome: RunOutcome,
        elapsed_ms: u64,
        error: Option<&str>,
        left_over: &[String],
    ) -> Option<(Moment, String, String)> {
        if self.command == Some(RunCommand::Plan) {
            return None;
        }
        let after = duration(elapsed_ms);
        let verb = if self.command == Some(RunCommand::Destroy) { "Removal" } else { "Deployment" };
        let mut text = error.unwrap_or_default().to_owned();
        let (moment, headline) = match outcome {
            // Nobody was told of a start.
            RunOutcome::Unchanged => return None,
            RunOutcome::Succeeded => (Moment::Success, format!("{verb} succeeded after {after}")),
            RunOutcome::Failed => {
                (Moment::Failure, format!("{verb} failed after {after}; nothing was changed"))
            }
            RunOutcome::RolledBack => {
                (Moment::Rollback, format!("{verb} failed and was rolled back after {after}"))
            }
            RunOutcome::Cancelled => {
                (Moment::Stop, format!("{verb} stopped after {after}; what it did was undone"))
            }
            RunOutcome::Stuck => {
                for line in left_over {
                    text.push_str("\n• ");
                    text.push_str(line);
                }
                (Moment::Failure, format!("{verb} failed after {after}, and not everything could be undone"))
            }
        };
        Some((moment, headline, text))
    }
}

fn shares(progress: &pipeline_sdk::Progress) -> String {
    let shares: Vec<String> =
        progress.traffic.iter().map(|share| format!("{} {:.0} %", share.label, share.percent)).collect();
    shares.join(", ")
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

fn duration(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}
