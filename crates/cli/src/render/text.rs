//! Events as lines of text, with a line of what is running below them on a terminal.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use owo_colors::Style as Paint;
use pipeline_sdk::{
    Event, EventRecord, Progress, ProgressLevel, RunCommand, RunOutcome, StageName, StageOutcome,
};

use super::plan::{paint, sign, verb};
use super::{Renderer, Style};

/// Writes events as text.
pub(crate) struct Text<W> {
    out: W,
    style: Style,
    width: usize,
    command: RunCommand,
    /// A rollback began.
    undoes: bool,
    /// A run that was cut off was undone, before the one that was asked for began.
    undone_first: bool,
    running: BTreeSet<StageName>,
    /// There only while something runs: one that stands still would stay on the screen.
    spinner: Option<ProgressBar>,
}

impl<W: Write + Send> Text<W> {
    /// Writes to `out`.
    pub(crate) fn new(out: W, style: Style) -> Self {
        let (running, spinner) = (BTreeSet::new(), None);
        Self {
            out,
            style,
            width: 0,
            command: RunCommand::Run,
            undoes: false,
            undone_first: false,
            running,
            spinner,
        }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| writeln!(self.out, "{line}")),
            None => writeln!(self.out, "{line}"),
        }
    }

    fn stage_line(&mut self, stage: &StageName, text: &str) -> io::Result<()> {
        let width = self.width;
        self.line(&format!("  {stage:width$}  {text}"))
    }

    fn show_running(&mut self) {
        if !self.style.live {
            return;
        }
        if self.running.is_empty() {
            if let Some(spinner) = self.spinner.take() {
                spinner.finish_and_clear();
            }
            return;
        }
        let names: Vec<_> = self.running.iter().map(StageName::as_str).collect();
        let spinner = self.spinner.get_or_insert_with(spinner);
        spinner.set_message(names.join(", "));
        spinner.enable_steady_tick(Duration::from_millis(120));
    }

    fn progress(&mut self, stage: &StageName, progress: &Progress) -> io::Result<()> {
        let color = match progress.level {
            ProgressLevel::Note => Paint::new().dimmed(),
            ProgressLevel::Milestone => Paint::new(),
            ProgressLevel::Warning => Paint::new().yellow(),
        };
        let text = paint(&progress.message, color, self.style);
        self.stage_line(stage, &text)
    }

    fn stage_finished(&mut self, finished: &StageEnd<'_>) -> io::Result<()> {
        self.running.remove(finished.stage);
        let seconds = seconds(finished.elapsed_ms);
        let text = match finished.outcome {
            StageOutcome::Applied => paint(format!("done in {seconds}"), Paint::new().green(), self.style),
            StageOutcome::Unchanged => return Ok(()),
            StageOutcome::Failed => paint("failed", Paint::new().red(), self.style),
            StageOutcome::Skipped => paint("not started", Paint::new().dimmed(), self.style),
            StageOutcome::RolledBack => paint("undone", Paint::new().yellow(), self.style),
            StageOutcome::Stuck => paint("could not be undone", Paint::new().red(), self.style),
        };
        self.stage_line(finished.stage, &text)?;
        for line in finished.error.into_iter().flat_map(str::lines) {
            self.stage_line(finished.stage, &format!("  {line}"))?;
        }
        for line in finished.help.into_iter().flat_map(str::lines) {
            self.stage_line(
                finished.stage,
                &format!("  {} {line}", paint("help:", Paint::new().cyan(), self.style)),
            )?;
        }
        Ok(())
    }

    fn run_finished(&mut self, outcome: RunOutcome, elapsed_ms: u64, error: Option<&str>) -> io::Result<()> {
        let (text, color) = match outcome {
            // The plan itself is the answer: nothing is to be said after it.
            RunOutcome::Succeeded if self.command == RunCommand::Plan => return Ok(()),
            RunOutcome::Succeeded => ("Done", Paint::new().green().bold()),
            RunOutcome::Unchanged => ("Nothing to do", Paint::new().green().bold()),
            RunOutcome::Failed if self.undone_first => {
                ("Failed; nothing was changed after the run before was undone", Paint::new().red().bold())
            }
            RunOutcome::Failed => ("Failed; nothing was changed", Paint::new().red().bold()),
            RunOutcome::RolledBack => ("Failed and rolled back", Paint::new().red().bold()),
            RunOutcome::Cancelled if self.undoes => {
                ("Cancelled and rolled back", Paint::new().yellow().bold())
            }
            RunOutcome::Cancelled => ("Cancelled", Paint::new().yellow().bold()),
            RunOutcome::Stuck if self.command == RunCommand::Destroy => {
                ("Not everything was removed", Paint::new().red().bold())
            }
            RunOutcome::Stuck => ("Failed; not everything was undone", Paint::new().red().bold()),
        };
        let text = format!("{text} ({})", seconds(elapsed_ms));
        self.line(&paint(text, color, self.style))?;
        error.map_or(Ok(()), |error| self.line(&format!("  {error}")))
    }
}

/// How a stage ended.
struct StageEnd<'a> {
    stage: &'a StageName,
    outcome: StageOutcome,
    elapsed_ms: u64,
    error: Option<&'a str>,
    help: Option<&'a str>,
}

impl<W: Write + Send> Renderer for Text<W> {
    fn event(&mut self, record: &EventRecord) -> io::Result<()> {
        match &record.event {
            Event::RunStarted { pipeline, command, target, stages, .. } => {
                self.width = stages.iter().map(|stage| stage.as_str().len()).max().unwrap_or(0);
                self.undone_first |= self.undoes;
                (self.command, self.undoes) = (*command, false);
                let verb = match command {
                    RunCommand::Plan => "Planning",
                    RunCommand::Run => "Running",
                    RunCommand::Destroy => "Destroying",
                    RunCommand::Rollback => "Rolling back",
                };
                let name = paint(pipeline.canonical(), Paint::new().bold(), self.style);
                self.line(&format!("{verb} {name} on {target}"))?;
            }
            Event::StageStarted { stage } => {
                self.running.insert(stage.clone());
            }
            Event::StageProgress { stage, progress } => self.progress(stage, progress)?,
            Event::ResourceChanged { stage, resource, action } => {
                let (sign, color) = sign(*action);
                let sign = paint(sign, color, self.style);
                self.stage_line(stage, &format!("{sign} {} {resource}", verb(*action)))?;
            }
            Event::StageFinished { stage, outcome, elapsed_ms, error, help } => {
                self.stage_finished(&StageEnd {
                    stage,
                    outcome: *outcome,
                    elapsed_ms: *elapsed_ms,
                    error: error.as_deref(),
                    help: help.as_deref(),
                })?;
            }
            Event::RollbackStarted { cause } => {
                self.undoes = true;
                self.line(&paint(
                    format!("Rolling back: {cause}"),
                    Paint::new().yellow().bold(),
                    self.style,
                ))?;
            }
            Event::CancelRequested { cause } => {
                let then = match self.command {
                    RunCommand::Plan => "stopping",
                    RunCommand::Run => "stopping and rolling back",
                    RunCommand::Destroy => "stopping; what is removed stays removed",
                    RunCommand::Rollback => "what was begun is undone",
                };
                self.line(&format!("{cause}: {then}; once more to leave at once"))?;
            }
            Event::Warning { message } => {
                self.line(&format!("{} {message}", paint("warning:", Paint::new().yellow(), self.style)))?;
            }
            Event::RunFinished { outcome, elapsed_ms, error, left_over } => {
                self.running.clear();
                self.show_running();
                self.run_finished(*outcome, *elapsed_ms, error.as_deref())?;
                for line in left_over {
                    self.line(&format!("  left over: {line}"))?;
                }
            }
            Event::StagePlanned { .. } | Event::Planned { .. } => {}
        }
        self.show_running();
        self.out.flush()
    }
}

fn seconds(milliseconds: u64) -> String {
    format!("{:.1} s", Duration::from_millis(milliseconds).as_secs_f64())
}

fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::{Action, PipelineId, ResourceId, RunId};

    use super::*;

    fn stage(name: &str) -> StageName {
        StageName::new(name).expect("name")
    }

    fn shown(events: Vec<Event>) -> String {
        let mut out = Vec::new();
        let mut text = Text::new(&mut out, Style { color: false, live: false });
        let run = RunId::generate();
        for (seq, event) in events.into_iter().enumerate() {
            let record = EventRecord { run, seq: seq as u64, at: Default::default(), event };
            text.event(&record).expect("writes");
        }
        String::from_utf8(out).expect("utf-8")
    }

    #[test]
    fn a_run_that_fails_after_another_was_undone_does_not_say_that_nothing_happened() {
        let pipeline = PipelineId { name: "hello".into(), environment: "local".into() };
        let started = |command| Event::RunStarted {
            pipeline: pipeline.clone(),
            command,
            target: "the embedded cloud".into(),
            link: None,
            stages: vec![stage("service")],
        };
        let ended = |outcome| Event::RunFinished { outcome, elapsed_ms: 100, error: None, left_over: vec![] };
        let undone = [
            started(RunCommand::Rollback),
            Event::RollbackStarted { cause: "it was cut off".into() },
            ended(RunOutcome::Succeeded),
        ];
        let then = |outcome| {
            let events = undone.iter().cloned().chain([started(RunCommand::Run), ended(outcome)]);
            shown(events.collect()).lines().last().unwrap_or_default().to_owned()
        };
        let failed = "Failed; nothing was changed after the run before was undone (0.1 s)";
        assert_eq!(then(RunOutcome::Failed), failed);
        assert_eq!(then(RunOutcome::Cancelled), "Cancelled (0.1 s)");
    }

    #[test]
    fn a_failed_run_reads_well() {
        let pipeline = PipelineId { name: "hello".into(), environment: "local".into() };
        let stages = vec![stage("registry"), stage("deployment")];
        insta::assert_snapshot!(shown(vec![
            Event::RunStarted {
                pipeline,
                command: RunCommand::Run,
                target: "eu-central-1 (embedded cloud)".into(),
                link: None,
                stages
            },
            Event::StageStarted { stage: stage("registry") },
            Event::ResourceChanged {
                stage: stage("registry"),
                resource: ResourceId::new("ecr:repository", "hello-local"),
                action: Action::Create,
            },
            Event::StageFinished {
                stage: stage("registry"),
                outcome: StageOutcome::Applied,
                elapsed_ms: 340,
                error: None,
                help: None
            },
            Event::StageStarted { stage: stage("deployment") },
            Event::StageProgress { stage: stage("deployment"), progress: Progress::note("replacement 10 %") },
            Event::StageFinished {
                stage: stage("deployment"),
                outcome: StageOutcome::Failed,
                elapsed_ms: 5000,
                error: Some("the replacement tasks are unhealthy".into()),
                help: Some("look at the log group /ecs/hello-local".into()),
            },
            Event::RollbackStarted { cause: "deployment failed".into() },
            Event::StageFinished {
                stage: stage("registry"),
                outcome: StageOutcome::RolledBack,
                elapsed_ms: 100,
                error: None,
                help: None
            },
            Event::RunFinished {
                outcome: RunOutcome::RolledBack,
                elapsed_ms: 6100,
                error: None,
                left_over: vec![]
            },
        ]));
    }
}
