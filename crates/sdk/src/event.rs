//! What happens in a run, told once and shown in many ways.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Action, Change, PipelineId, ResourceId, RunId, StageName};

/// An event with its place in the run. The terminal, JSON lines, reports and notifiers all read
/// this one type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventRecord {
    /// The run.
    pub run: RunId,
    /// Gapless within the run, from 0.
    pub seq: u64,
    /// When it happened.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What was asked of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunCommand {
    /// Only plan.
    Plan,
    /// Plan and apply.
    Run,
    /// Remove everything.
    Destroy,
    /// Undo what an earlier run did, or bring back what it had deployed.
    Rollback,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Everything planned was done.
    Succeeded,
    /// Nothing had to be done.
    Unchanged,
    /// It failed, and nothing was changed.
    Failed,
    /// It failed, and what it had changed was undone.
    RolledBack,
    /// It was cancelled, and what it had changed was undone.
    Cancelled,
    /// It failed, and something could not be undone or is kept: by `on_failure = "keep"`, or because it was a
    /// destruction.
    Stuck,
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageOutcome {
    /// Its changes were made.
    Applied,
    /// It had nothing to change.
    Unchanged,
    /// It failed.
    Failed,
    /// It was never started, because another stage failed or the run was cancelled.
    Skipped,
    /// What it had done was undone.
    RolledBack,
    /// What it had done could not be undone.
    Stuck,
}

/// How loudly progress speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgressLevel {
    /// For people who watch.
    #[default]
    Note,
    /// Worth telling people who do not watch.
    Milestone,
    /// Something is wrong and the stage goes on.
    Warning,
}

/// A page where more can be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// What the button says.
    pub label: String,
    /// Where it leads.
    pub url: String,
}

/// How much of the traffic one version gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrafficShare {
    /// What gets it: `original` or `replacement`.
    pub label: String,
    /// Its share in percent, 0 to 100.
    pub percent: f64,
}

/// What a running stage has to say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// How loudly.
    #[serde(default)]
    pub level: ProgressLevel,
    /// One line.
    pub message: String,
    /// Where more can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
    /// How traffic is shared right now, if it is being shifted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<TrafficShare>,
}

impl Progress {
    /// A note.
    pub fn note(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }
}

impl Event {
    /// Its name, as it is written in JSON: `run_started`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run_started",
            Self::StagePlanned { .. } => "stage_planned",
            Self::Planned { .. } => "planned",
            Self::StageStarted { .. } => "stage_started",
            Self::StageProgress { .. } => "stage_progress",
            Self::ResourceChanged { .. } => "resource_changed",
            Self::StageFinished { .. } => "stage_finished",
            Self::RollbackStarted { .. } => "rollback_started",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::Warning { .. } => "warning",
            Self::RunFinished { .. } => "run_finished",
        }
    }
}

/// What happens in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run began.
    RunStarted {
        /// Which app and environment.
        pipeline: PipelineId,
        /// What was asked.
        command: RunCommand,
        /// Where it works, such as `eu-central-1 (embedded cloud)`.
        target: String,
        /// Where people can look at that, if there is a page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<Link>,
        /// The stages in the order of the graph.
        stages: Vec<StageName>,
    },
    /// A stage was planned.
    StagePlanned {
        /// The stage.
        stage: StageName,
        /// What it will change.
        changes: Vec<Change>,
    },
    /// The whole plan is known.
    Planned {
        /// How many changes there are in all.
        changes: usize,
    },
    /// A stage began to apply its plan.
    StageStarted {
        /// The stage.
        stage: StageName,
    },
    /// A stage has something to say.
    StageProgress {
        /// The stage.
        stage: StageName,
        /// What it says.
        progress: Progress,
    },
    /// A side effect is done.
    ResourceChanged {
        /// The stage that did it.
        stage: StageName,
        /// What was changed.
        resource: ResourceId,
        /// How.
        action: Action,
    },
    /// A stage ended.
    StageFinished {
        /// The stage.
        stage: StageName,
        /// How.
        outcome: StageOutcome,
        /// How long it took, in milliseconds.
        elapsed_ms: u64,
        /// Why, if it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// What to do, if it failed and that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
    /// The run is being undone.
    RollbackStarted {
        /// Why.
        cause: String,
    },
    /// The run was asked to stop.
    CancelRequested {
        /// By what, such as `SIGINT`.
        cause: String,
    },
    /// Something is wrong beside the run itself, such as a notifier that does not answer.
    Warning {
        /// What.
        message: String,
    },
    /// The run ended.
    RunFinished {
        /// How.
        outcome: RunOutcome,
        /// How long it took, in milliseconds.
        elapsed_ms: u64,
        /// Why, if it did not succeed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// What could not be undone, and how to do it by hand.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_over: Vec<String>,
    },
}
