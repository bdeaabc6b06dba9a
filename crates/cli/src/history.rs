//! `pipeline history` and `pipeline status`: what the journals of the runs tell.

use std::io::{self, Write};

use jiff::{Timestamp, Unit};
use pipeline_core::{
    Entry, JournalError, LockStatus, Newest, Pipeline, Prospect, Record, RecoveredStage, RunJournal,
    RunState, StageState, State, StateStore, Stop,
};
use pipeline_sdk::{Action, Done, RunCommand, RunId, RunOutcome};
use serde_json::{Value, json};

use crate::arguments::{FileOptions, HistoryOptions};
use crate::exit::Exit;
use crate::render;
use crate::run::{self, CommandError, finish, unless_unread};
use crate::state;

/// `pipeline history`
pub(crate) async fn history(options: HistoryOptions) -> Exit {
    finish(try_history(&options).await, options.file.json)
}

/// `pipeline status`
pub(crate) async fn status(options: FileOptions) -> Exit {
    finish(try_status(&options).await, options.json)
}

async fn try_history(options: &HistoryOptions) -> Result<Exit, CommandError> {
    let pipeline = run::load_where(&options.file)?;
    let store = state::open(&pipeline).await?;
    let environment = &pipeline.id().environment;
    // Only for whose it is.
    State::peek(store.as_ref(), pipeline.id()).await?;
    let runs = store.runs(environment).await.map_err(pipeline_core::EngineError::from)?;
    match &options.run {
        Some(wanted) => {
            let id = find(&runs, wanted)?;
            let journal = load(store.as_ref(), environment, id).await?;
            unless_unread(show_timeline(&mut io::stdout().lock(), &journal, options.file.json))?;
        }
        None => {
            let newest = runs.iter().rev().take(options.limit.get());
            let mut told = Vec::new();
            for &id in newest {
                told.push((id, RunJournal::load(store.as_ref(), environment, id).await));
            }
            let shown = show_runs(&mut io::stdout().lock(), &told, environment, options.file.json);
            unless_unread(shown)?;
        }
    }
    Ok(Exit::Succeeded)
}

/// The one run of the pipeline that `wanted` means.
pub(crate) async fn find_in(
    store: &dyn StateStore,
    pipeline: &Pipeline,
    wanted: &str,
) -> Result<RunId, CommandError> {
    let runs = store.runs(&pipeline.id().environment).await.map_err(pipeline_core::EngineError::from)?;
    find(&runs, wanted)
}

/// The one run whose id is, begins or ends as `wanted`.
fn find(runs: &[RunId], wanted: &str) -> Result<RunId, CommandError> {
    let is_meant = |run: &&RunId| {
        let id = run.to_string();
        id.starts_with(wanted) || id.ends_with(wanted)
    };
    let mut meant = runs.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(&run), None) => Ok(run),
        (None, _) => Err(CommandError::NoSuchRun { wanted: wanted.to_owned(), why: "there is no such run" }),
        (Some(_), Some(_)) => {
            Err(CommandError::NoSuchRun { wanted: wanted.to_owned(), why: "several runs are called so" })
        }
    }
}

async fn load(store: &dyn StateStore, environment: &str, run: RunId) -> Result<RunJournal, CommandError> {
    let place = || store.journal(environment, run).place();
    let loaded = RunJournal::load(store, environment, run).await;
    loaded.map_err(|source| pipeline_core::EngineError::Journal { place: place(), source }.into())
}

type Told = (RunId, Result<RunJournal, JournalError>);

fn show_runs(out: &mut dyn Write, told: &[Told], environment: &str, json: bool) -> io::Result<()> {
    if json {
        let one = |(at, (run, loaded)): (usize, &Told)| match loaded {
            Ok(journal) => summary(journal, taken_over_by(told, at)),
            Err(error) => json!({ "run": run, "error": error.to_string() }),
        };
        let all: Vec<_> = told.iter().enumerate().map(one).collect();
        return writeln!(out, "{}", Value::Array(all));
    }
    if told.is_empty() {
        return writeln!(out, "nothing was run in the environment `{environment}` yet");
    }
    for (at, (run, loaded)) in told.iter().enumerate() {
        match loaded {
            Ok(journal) => {
                let command = command(journal);
                let how = how_it_ended(journal, taken_over_by(told, at));
                writeln!(out, "{run}  {}  {command:8}  {:>8}  {how}", began(journal), took(journal))?;
            }
            Err(error) => writeln!(out, "{run}  its journal cannot be read: {error}")?,
        }
    }
    Ok(())
}

/// The later run that looked after the one at `at`; the list has the newest first. It inherits what that one did, or only
/// fences it, as a second destruction that goes on with what is left. One that did not come to a plan looked after
/// nothing.
fn taken_over_by(told: &[Told], at: usize) -> Option<RunId> {
    let (run, journal) = &told[at];
    let records = journal.as_ref().map(|journal| journal.records.as_slice()).unwrap_or_default();
    let is_fenced = |by: RunId| {
        records.iter().any(|record| matches!(&record.entry, Entry::Fence { holder, .. } if holder.run == by))
    };
    let later = told[..at].iter().rev().filter_map(|(_, loaded)| loaded.as_ref().ok());
    let mut planned = later.filter(|later| later.recovered.plan.is_some());
    let heir = planned.find(|later| inherited(later) == Some(*run) || is_fenced(later.run));
    heir.map(|heir| heir.run)
}

fn summary(journal: &RunJournal, taken_over_by: Option<RunId>) -> Value {
    let ended = journal.recovered.ended.as_ref();
    let began = journal.recovered.began.as_ref();
    let changes = changes(journal).map(|(stage, done)| {
        json!({ "stage": stage, "resource": done.resource, "action": done.action, "certain": done.after.is_some() })
    });
    json!({
        "run": journal.run,
        "command": command(journal),
        "began": journal.records.first().map(|record| record.at),
        "last": journal.records.last().map(|record| record.at),
        "outcome": ended.map(|ending| ending.outcome),
        "holder": began.map(|began| &began.holder),
        "target": began.map(|began| &began.target),
        "inherits": began.and_then(|began| began.inherits.as_ref()).map(|inherits| inherits.run),
        "redeploys": began.and_then(|began| began.redeploys),
        "taken_over_by": taken_over_by,
        "changes": changes.collect::<Vec<_>>(),
        "error": ended.and_then(|ending| ending.error.as_deref()),
        "left_over": ended.map(|ending| ending.left_over.as_slice()).unwrap_or_default(),
    })
}

fn command(journal: &RunJournal) -> &'static str {
    match journal.recovered.began.as_ref().map(|began| began.command) {
        Some(RunCommand::Plan) => "plan",
        Some(RunCommand::Run) => "run",
        Some(RunCommand::Destroy) => "destroy",
        Some(RunCommand::Rollback) => "rollback",
        None => "?",
    }
}

fn began(journal: &RunJournal) -> String {
    journal.records.first().map_or_else(|| "?".to_owned(), |record| to_second(record.at))
}

fn to_second(at: Timestamp) -> String {
    // A time of this program's own making is never at the end of what can be represented.
    at.round(Unit::Second).unwrap_or(at).to_string()
}

fn took(journal: &RunJournal) -> String {
    // Whoever looks after a run that was cut off writes a fence, which is no part of it.
    let last = journal.records.iter().rfind(|record| !matches!(record.entry, Entry::Fence { .. }));
    match (journal.records.first(), last) {
        (Some(first), Some(last)) => seconds(first.at, last.at),
        _ => String::new(),
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> String {
    format!("{:.1} s", to.duration_since(from).as_secs_f64())
}

/// What the run did by itself, apart from what it took over.
fn changes(journal: &RunJournal) -> impl Iterator<Item = (&pipeline_sdk::StageName, &Done)> {
    journal.records.iter().filter_map(|record| match &record.entry {
        Entry::Intent { stage, id, .. } => Some((stage, journal.recovered.stages.get(stage)?.intended(*id)?)),
        _ => None,
    })
}

fn how_it_ended(journal: &RunJournal, taken_over_by: Option<RunId>) -> String {
    let what = counts(journal);
    let with = |how: &str| if what.is_empty() { how.to_owned() } else { format!("{how}: {what}") };
    let Some(ending) = &journal.recovered.ended else {
        return match taken_over_by {
            Some(by) => format!("{}; run {by} looked after it", with("cut off")),
            None => with("not ended"),
        };
    };
    match ending.outcome {
        RunOutcome::Succeeded if what.is_empty() => match inherited(journal) {
            Some(run) if is_rollback(journal) => format!("succeeded: undid run {run}"),
            Some(run) => format!("succeeded: found all of run {run} done"),
            None => "succeeded".to_owned(),
        },
        RunOutcome::Succeeded => match redeployed(journal) {
            Some(run) => with(&format!("brought back what run {run} had deployed")),
            None => with("succeeded"),
        },
        RunOutcome::Unchanged => "nothing to do".to_owned(),
        RunOutcome::Failed if what.is_empty() => "failed; nothing was changed".to_owned(),
        RunOutcome::Failed => with("failed"),
        RunOutcome::RolledBack => with("failed and rolled back"),
        RunOutcome::Cancelled if what.is_empty() => "cancelled; nothing was changed".to_owned(),
        RunOutcome::Cancelled => with("cancelled and rolled back"),
        RunOutcome::Stuck => format!("{}; {} left over", with("stuck"), ending.left_over.len()),
    }
}

fn is_rollback(journal: &RunJournal) -> bool {
    journal.recovered.began.as_ref().is_some_and(|began| began.command == RunCommand::Rollback)
}

fn redeployed(journal: &RunJournal) -> Option<RunId> {
    journal.recovered.began.as_ref()?.redeploys
}

fn inherited(journal: &RunJournal) -> Option<RunId> {
    Some(journal.recovered.began.as_ref()?.inherits.as_ref()?.run)
}

/// Such as `3 created, 1 updated`.
fn counts(journal: &RunJournal) -> String {
    let actions = [Action::Create, Action::Update, Action::Replace, Action::Delete, Action::Run];
    let count = |action| changes(journal).filter(|(_, done)| done.action == action).count();
    let parts = actions.map(|action| (count(action), past(action)));
    let parts: Vec<_> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, verb)| format!("{number} {verb}"))
        .collect();
    parts.join(", ")
}

fn past(action: Action) -> &'static str {
    match action {
        Action::Create => "created",
        Action::Update => "updated",
        Action::Replace => "replaced",
        Action::Delete => "deleted",
        Action::Run => "carried out",
    }
}

fn show_timeline(out: &mut dyn Write, journal: &RunJournal, json: bool) -> io::Result<()> {
    if json {
        for record in &journal.records {
            writeln!(out, "{}", record.to_json().map_err(io::Error::other)?)?;
        }
        return Ok(());
    }
    let began = journal.records.first().map(|record| record.at);
    for Record { at, entry, .. } in &journal.records {
        let since = began.map(|began| seconds(began, *at)).unwrap_or_default();
        writeln!(out, "{}  {since:>9}  {}", to_second(*at), in_words(entry, journal))?;
    }
    if journal.recovered.ended.is_none() {
        writeln!(out, "the journal ends here: `pipeline status` says what this means")?;
    }
    Ok(())
}

fn in_words(entry: &Entry, journal: &RunJournal) -> String {
    match entry {
        Entry::Fence { holder, epoch } => {
            format!("process {} on {} looks after it (lock number {epoch})", holder.pid, holder.host)
        }
        Entry::Began(began) => match &began.inherits {
            Some(inherits) => {
                format!("`pipeline {}` began, and takes over run {}", command(journal), inherits.run)
            }
            None => {
                let what = began.redeploys.map(|run| format!(", to deploy what run {run} had deployed"));
                let (command, target) = (command(journal), &began.target);
                format!("`pipeline {command}` began on {target}{}", what.unwrap_or_default())
            }
        },
        Entry::Planned(plan) => format!("planned: {} changes", plan.changes().count()),
        Entry::StageStarted { stage } => format!("{stage}: started"),
        Entry::Intent { stage, done, .. } => {
            format!("{stage}: about to {} {}", render::verb(done.action), done.resource)
        }
        Entry::Result { stage, id, .. } => {
            let done = journal.recovered.stages.get(stage).and_then(|stage| stage.intended(*id));
            let what = done.map(|done| done.resource.to_string()).unwrap_or_default();
            format!("{stage}: {what} is done")
        }
        Entry::StageFinished { stage, outcome, .. } => {
            format!("{stage}: {}", json!(outcome).as_str().unwrap_or_default().replace('_', " "))
        }
        Entry::CancelRequested { cause } => format!("asked to stop: {cause}"),
        Entry::RollbackStarted { cause } => format!("rolling back: {cause}"),
        Entry::UndoStarted { stage } => format!("{stage}: undoing"),
        Entry::Undone { stage } => format!("{stage}: undone"),
        Entry::UndoFailed { stage, error } => format!("{stage}: could not be undone: {error}"),
        Entry::Ended { outcome, error, .. } => {
            let why = error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            format!("ended: {}{why}", json!(outcome).as_str().unwrap_or_default().replace('_', " "))
        }
    }
}

async fn try_status(options: &FileOptions) -> Result<Exit, CommandError> {
    let pipeline = run::load_where(options)?;
    let store = state::open(&pipeline).await?;
    let environment = &pipeline.id().environment;
    let lock = store.lock_status(environment).await.map_err(pipeline_core::EngineError::from)?;
    let newest = Newest::of(store.as_ref(), pipeline.id()).await?;
    let mut out = io::stdout().lock();
    unless_unread(if options.json {
        writeln!(out, "{}", status_json(&pipeline, &lock, &newest))
    } else {
        write_status(&mut out, &pipeline, &lock, &newest)
    })?;
    Ok(Exit::Succeeded)
}

/// What the last run is doing, or what is to become of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    Running,
    Left(Prospect),
}

impl Now {
    fn of(pipeline: &Pipeline, lock: &LockStatus, last: &RunJournal) -> Self {
        match lock {
            LockStatus::Held { holder: Some(holder), .. }
                if last.recovered.ended.is_none()
                    && began_by(last, holder)
                    && !crate::lock::is_silent(lock, Timestamp::now()) =>
            {
                Self::Running
            }
            _ => Self::Left(last.recovered.prospect(pipeline.on_failure())),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Left(Prospect::Over) => "ended",
            Self::Left(Prospect::GoesOn) => "goes on",
            Self::Left(Prospect::IsUndone) => "is undone",
        }
    }

    fn advice(self, last: &RunJournal) -> &'static str {
        match self {
            Self::Left(Prospect::Over | Prospect::GoesOn) if last.recovered.is_destruction() => {
                "`pipeline destroy` goes on with it; `pipeline run` makes everything again"
            }
            Self::Left(Prospect::GoesOn) if redeployed(last).is_some() => {
                "`pipeline rollback` undoes it, and with `--to` begins it again; `pipeline run` deploys what the file says"
            }
            Self::Left(Prospect::GoesOn) => "`pipeline run` goes on with it; `pipeline rollback` undoes it",
            Self::Left(Prospect::IsUndone) => {
                "`pipeline rollback` finishes undoing it; `pipeline run` does that first as well"
            }
            Self::Left(Prospect::Over) => {
                "`pipeline run` goes on from what is there; `pipeline rollback` undoes what it left"
            }
            Self::Running => "`pipeline history` lists all runs",
        }
    }
}

fn began_by(journal: &RunJournal, holder: &pipeline_core::Holder) -> bool {
    let began = journal.recovered.began.as_ref();
    // Since when it holds the lock may differ, where it waited for it.
    began.is_some_and(|began| {
        let own = &began.holder;
        (own.run, own.pid, &own.host) == (holder.run, holder.pid, &holder.host)
    })
}

fn status_json(pipeline: &Pipeline, lock: &LockStatus, newest: &Newest) -> Value {
    let last = newest.journal.as_ref();
    let stages = last.map(|last| {
        let stages = last.recovered.stages.iter();
        stages
            .map(|(name, stage)| (name.to_string(), json!(state_in_words(stage))))
            .collect::<serde_json::Map<_, _>>()
    });
    json!({
        "pipeline": pipeline.id().name,
        "environment": pipeline.id().environment,
        "lock": crate::lock::as_json(lock),
        "last": last.map(|last| summary(last, None)),
        "prospect": last.map(|last| Now::of(pipeline, lock, last).name()),
        "stages": stages,
        "missing": newest.missing,
    })
}

fn write_status(
    out: &mut dyn Write,
    pipeline: &Pipeline,
    lock: &LockStatus,
    newest: &Newest,
) -> io::Result<()> {
    let id = pipeline.id();
    writeln!(out, "{}: {}", id.canonical(), crate::lock::in_words(&id.environment, lock))?;
    if let Some(missing) = newest.missing {
        writeln!(out, "the journal of run {missing} is missing, and what is older is not undone without it")?;
    }
    let Some(last) = &newest.journal else {
        if newest.missing.is_some() {
            return writeln!(out, "`pipeline plan` shows how what is there differs from the file");
        }
        return writeln!(out, "nothing was run in the environment `{}` yet", id.environment);
    };
    let now = Now::of(pipeline, lock, last);
    let how = match now {
        Now::Running => "is running now".to_owned(),
        Now::Left(Prospect::Over) => how_it_ended(last, None),
        _ => format!("cut off after {}{}", took(last), undone_by(last)),
    };
    writeln!(out, "last run: {}, `pipeline {}` of {}: {how}", last.run, command(last), began(last))?;
    let ending = last.recovered.ended.as_ref();
    if let Some(error) = ending.and_then(|ending| ending.error.as_ref()) {
        writeln!(out, "  {error}")?;
    }
    for line in ending.iter().flat_map(|ending| &ending.left_over) {
        writeln!(out, "  left over: {line}")?;
    }
    if now == Now::Left(Prospect::Over) {
        let stuck = ending.is_some_and(|ending| ending.outcome == RunOutcome::Stuck);
        return if stuck { writeln!(out, "{}", now.advice(last)) } else { Ok(()) };
    }
    let width = last.recovered.stages.keys().map(|name| name.as_str().len()).max().unwrap_or(0);
    for (name, stage) in &last.recovered.stages {
        writeln!(out, "  {name:width$}  {}", state_in_words(stage))?;
        if stage.state == StageState::RolledBack {
            continue;
        }
        for Done { resource, action, after, .. } in &stage.done {
            let what = match after {
                Some(_) => format!("{} {resource}", past(*action)),
                None if now == Now::Running => format!("{} {resource}: under way", render::verb(*action)),
                None => format!("{} {resource}: whether it was done is not known", render::verb(*action)),
            };
            writeln!(out, "  {:width$}    {what}", "")?;
        }
    }
    if let RunState::Stopping(Stop::Cancelled) | RunState::RollingBack(Stop::Cancelled) = last.recovered.life
    {
        writeln!(out, "it was asked to stop")?;
    }
    writeln!(out, "{}", now.advice(last))
}

/// What a run was undoing when it was cut off.
fn undone_by(last: &RunJournal) -> String {
    let began = last.recovered.began.as_ref().filter(|began| began.command == RunCommand::Rollback);
    let undone = began.and_then(|began| began.inherits.as_ref());
    undone.map(|undone| format!(", undoing run {}", undone.run)).unwrap_or_default()
}

fn state_in_words(stage: &RecoveredStage) -> &'static str {
    match stage.state {
        StageState::Waiting if stage.done.is_empty() => "not begun",
        StageState::Waiting => "begun by an earlier run",
        StageState::Applying => "begun",
        StageState::Applied => "done",
        StageState::Unchanged => "nothing to do",
        StageState::Failed => "failed or cut off",
        StageState::Skipped => "not begun",
        StageState::RollingBack => "being undone",
        StageState::RolledBack => "undone",
        StageState::Stuck => "could not be undone",
    }
}
