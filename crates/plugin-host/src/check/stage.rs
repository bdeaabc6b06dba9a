//! What the engine relies on in a stage.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline_sdk::{
    Action, Inputs, Manifest, Mode, Outputs, Stage, StageError, StagePlan, Value, contains_unknown,
};

use super::probe::{File, Run, contents};
use super::unknown::{shown_as_text, with_each_unknown};
use super::{Check, Outcome, is_defect};
use crate::stage::grace;

/// How soon after an `apply` has begun it is cancelled.
const SOON: Duration = Duration::from_millis(20);

/// Why something is not as it should be.
type Problem = String;

/// One stage that is tried.
pub(super) struct StageProbe<'a> {
    stage: &'a Arc<dyn Stage>,
    manifest: &'a Manifest,
    inputs: Inputs,
    directory: PathBuf,
}

impl<'a> StageProbe<'a> {
    pub(super) fn new(
        stage: &'a Arc<dyn Stage>,
        manifest: &'a Manifest,
        inputs: Inputs,
        directory: PathBuf,
    ) -> Self {
        Self { stage, manifest, inputs, directory }
    }

    /// Tries everything. What builds on something that failed is skipped.
    pub(super) async fn check(&self) -> Vec<Check> {
        let mut checks = vec![
            self.named("plan only reads", self.plan_reads().await),
            self.named("unknown inputs", self.takes_unknowns().await),
            self.named("wrong inputs", self.refuses_nonsense().await),
        ];
        let applied = self.applies().await;
        let works = applied.is_ok();
        checks.push(self.named("apply, again, and rollback", applied));
        for what in ["cancellation", "destroy"] {
            let outcome = match (works, what) {
                (false, _) => {
                    checks.push(Check {
                        kind: self.manifest.kind.clone(),
                        what,
                        outcome: Outcome::Skipped("`apply` does not work".to_owned()),
                    });
                    continue;
                }
                (true, "cancellation") => self.obeys().await,
                (true, _) => self.destroys().await,
            };
            checks.push(self.named(what, outcome));
        }
        checks
    }

    fn named(&self, what: &'static str, outcome: Result<String, Problem>) -> Check {
        let outcome = outcome.map_or_else(Outcome::Failed, Outcome::Passed);
        Check { kind: self.manifest.kind.clone(), what, outcome }
    }

    fn run(&self) -> Run {
        Run::new(&self.directory)
    }

    async fn plan(&self, run: &Run, mode: Mode, prior: Option<&Outputs>) -> Result<StagePlan, Problem> {
        let context = run.context(mode, prior).map_err(said)?;
        self.stage.plan(&context, &self.inputs).await.map_err(|error| format!("plan failed: {}", said(error)))
    }

    async fn apply(&self, run: &Run, mode: Mode, plan: &StagePlan) -> Result<Outputs, Problem> {
        let context = run.context(mode, None).map_err(said)?;
        let applied = self.stage.apply(&context, plan).await;
        applied.map_err(|error| format!("apply failed: {}", said(error.error)))
    }

    async fn roll_back(&self, run: &Run) -> Result<(), Problem> {
        let context = run.context(Mode::Converge, None).map_err(said)?;
        let undone = self.stage.rollback(&context, &run.done()).await;
        undone.map_err(|error| format!("rollback failed: {}", said(error)))
    }

    async fn plan_reads(&self) -> Result<String, Problem> {
        let run = self.run();
        let before = contents(&self.directory);
        let first = self.plan(&run, Mode::Converge, None).await?;
        if contents(&self.directory) != before {
            return Err("`plan` has changed files in the pipeline's folder".to_owned());
        }
        let second = self.plan(&run, Mode::Converge, None).await?;
        if first.changes != second.changes {
            return Err("two plans of the same world differ".to_owned());
        }
        let mut seen = Vec::new();
        for change in &first.changes {
            if seen.contains(&&change.resource) {
                return Err(format!("the plan names {} twice", change.resource));
            }
            seen.push(&change.resource);
        }
        Ok(format!("{} changes", first.changes.len()))
    }

    async fn takes_unknowns(&self) -> Result<String, Problem> {
        let run = self.run();
        let context = run.context(Mode::Converge, None).map_err(said)?;
        let mut needed = Vec::new();
        for (field, inputs) in with_each_unknown(&self.inputs) {
            let key = field.split('.').next().unwrap_or(&field);
            match self.stage.plan(&context, &inputs).await {
                Ok(plan) => {
                    if let Some(text) = shown_as_text(&plan) {
                        return Err(format!(
                            "with `{field}` unknown the plan says {text:?}: what follows from an unknown value is \
                             unknown itself"
                        ));
                    }
                }
                // It may need an input to plan at all, and says so.
                Err(StageError::Input { field: named, .. }) if named.starts_with(key) => {
                    needed.push(format!("`{field}`"));
                }
                Err(error) => return Err(format!("plan failed with `{field}` unknown: {}", said(error))),
            }
        }
        match needed.is_empty() {
            true => Ok(String::new()),
            false => Ok(format!("has to know {} to plan", needed.join(", "))),
        }
    }

    async fn refuses_nonsense(&self) -> Result<String, Problem> {
        let run = self.run();
        let context = run.context(Mode::Converge, None).map_err(said)?;
        let required = self.manifest.inputs.get("required").and_then(Value::as_array);
        let Some(field) = required.and_then(|fields| fields.first()).and_then(Value::as_str) else {
            return Ok("no input is required".to_owned());
        };
        let mut inputs = self.inputs.clone();
        inputs.0.shift_remove(field);
        match self.stage.plan(&context, &inputs).await {
            Ok(_) => Err(format!("it plans without `{field}`, which it says is required")),
            Err(error) if error.to_string().trim().is_empty() => Err("its error says nothing".to_owned()),
            Err(error) if is_defect(&error.to_string()) => {
                Err(format!("without `{field}` it should say what is wrong, and says: {}", said(error)))
            }
            Err(_) => {
                // What it refuses must not harm what comes after.
                self.plan(&run, Mode::Converge, None).await.map(|_| String::new())
            }
        }
    }

    async fn applies(&self) -> Result<String, Problem> {
        let run = self.run();
        let first = self.plan(&run, Mode::Converge, None).await?;
        let outputs = self.apply(&run, Mode::Converge, &first).await?;
        self.check_applied(&run, &first, &outputs)?;
        self.applies_again(&run, &first, &outputs).await?;
        let after = self.plan(&run, Mode::Converge, Some(&outputs)).await?;
        if let Some(change) = after.changes.first() {
            return Err(format!("after `apply` a plan still wants to change {}", change.resource));
        }
        self.roll_back(&run).await?;
        let restored = self.plan(&run, Mode::Converge, None).await?;
        if restored.changes != first.changes
            && first.changes.iter().all(|change| change.irreversible.is_none())
        {
            return Err(
                "after `rollback` a plan differs from the one before `apply`, and no change was said to be \
                        irreversible"
                    .to_owned(),
            );
        }
        self.roll_back(&run).await.map_err(|error| format!("called a second time, {error}"))?;
        Ok(String::new())
    }

    /// After a crash an `apply` is called again, with the same plan and the same key.
    async fn applies_again(&self, run: &Run, plan: &StagePlan, outputs: &Outputs) -> Result<(), Problem> {
        let left = contents(&self.directory);
        let again = self.apply(run, Mode::Converge, plan).await?;
        // What is carried out may measure something.
        let runs = plan.changes.iter().any(|change| change.action == Action::Run);
        if !runs && again.values != outputs.values {
            return Err(
                "a second `apply` of the same plan in the same run gives other outputs: after a crash it \
                 is called again"
                    .to_owned(),
            );
        }
        match difference(&left, &contents(&self.directory), runs) {
            Some(path) => {
                let path = path.strip_prefix(&self.directory).unwrap_or(path);
                Err(format!(
                    "a second `apply` of the same plan in the same run changes {} once more: after a crash it is \
                     called again",
                    path.display()
                ))
            }
            None => Ok(()),
        }
    }

    fn check_applied(&self, run: &Run, plan: &StagePlan, outputs: &Outputs) -> Result<(), Problem> {
        if let Some((name, _)) = outputs.values.iter().find(|(_, value)| contains_unknown(value)) {
            return Err(format!("its output `{name}` is unknown after `apply`"));
        }
        let promised = self.manifest.outputs.get("required").and_then(Value::as_array);
        let mut promised = promised.into_iter().flatten().filter_map(Value::as_str);
        if let Some(name) = promised.find(|name| !outputs.values.contains_key(*name)) {
            return Err(format!("it promises the output `{name}` and does not give it"));
        }
        let done = run.done();
        for change in &plan.changes {
            let Some(entry) = done.iter().find(|entry| entry.resource == change.resource) else {
                return Err(format!("it changed {} without recording an intent", change.resource));
            };
            if entry.after.is_none() {
                return Err(format!("it recorded no result for {}", change.resource));
            }
            let needs_before = matches!(change.action, Action::Update | Action::Replace | Action::Delete);
            if needs_before && entry.before.is_none() && change.irreversible.is_none() {
                return Err(format!("the intent for {} does not say what was there before", change.resource));
            }
        }
        Ok(())
    }

    async fn obeys(&self) -> Result<String, Problem> {
        let run = self.run();
        let plan = self.plan(&run, Mode::Converge, None).await?;
        let context = run.context(Mode::Converge, None).map_err(said)?;
        let cancel = run.cancel.clone();
        let cancelled = tokio::spawn(async move {
            tokio::time::sleep(SOON).await;
            let asked = Instant::now();
            cancel.cancel();
            asked
        });
        let outcome = self.stage.apply(&context, &plan).await;
        let ended = Instant::now();
        let asked = cancelled.await.map_err(|error| error.to_string())?;
        self.roll_back(&run.uncancelled()).await?;
        let Some(took) = ended.checked_duration_since(asked) else {
            let done = outcome.map(|_| "it was done before it was cancelled".to_owned());
            return done.map_err(|error| format!("apply failed: {}", said(error.error)));
        };
        let grace = grace(self.manifest);
        match outcome {
            _ if took > grace => Err(format!(
                "it did not end within its grace of {grace:?} after it was cancelled: look at the cancellation more \
                 often, or say `grace_seconds`"
            )),
            Ok(_) => Ok(format!("it went on to its end, {took:.0?} after it was cancelled")),
            Err(error) if matches!(error.error, StageError::Cancelled) => {
                Ok(format!("ended after {took:.0?}"))
            }
            Err(error) => {
                Err(format!("it should end with `cancelled`, and ended with: {}", said(error.error)))
            }
        }
    }

    async fn destroys(&self) -> Result<String, Problem> {
        let run = self.run();
        let plan = self.plan(&run, Mode::Converge, None).await?;
        let outputs = self.apply(&run, Mode::Converge, &plan).await?;
        let run = self.run();
        let removal = self.plan(&run, Mode::Destroy, Some(&outputs)).await?;
        if !removal.changes.is_empty() {
            self.apply(&run, Mode::Destroy, &removal).await?;
        }
        let rest = self.plan(&run, Mode::Destroy, None).await?;
        match rest.changes.first() {
            Some(change) => {
                Err(format!("after everything was removed a plan still wants to remove {}", change.resource))
            }
            None => Ok(String::new()),
        }
    }
}

/// The first file that is not the same in both; with `runs` only those that are not in both.
fn difference<'a>(one: &'a [File], other: &'a [File], runs: bool) -> Option<&'a Path> {
    let is_in =
        |file: &File, all: &[File]| all.iter().any(|known| known.0 == file.0 && (runs || known.1 == file.1));
    let changed = other.iter().find(|file| !is_in(file, one));
    changed.or_else(|| one.iter().find(|file| !is_in(file, other))).map(|(path, _)| path.as_path())
}

fn said(error: StageError) -> String {
    match &error {
        StageError::Input { .. } => format!("an input is wrong: {error}"),
        _ => error.to_string(),
    }
}
