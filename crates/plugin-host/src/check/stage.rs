//! What the engine relies on in a stage.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline_sdk::{
    Action, Inputs, Manifest, Mode, Outputs, Stage, StageError, StagePlan, Unknown, Value, contains_unknown,
};

use super::probe::{Run, contents};
use super::{Check, Outcome};

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
        for key in self.inputs.0.keys() {
            let mut inputs = self.inputs.clone();
            inputs.0.insert(key.clone(), Unknown::new(format!("stages.other.{key}")).to_value());
            match self.stage.plan(&context, &inputs).await {
                Ok(_) => {}
                // It may need an input to plan at all, and says so.
                Err(StageError::Input { field, .. }) if field.starts_with(key.as_str()) => {
                    needed.push(format!("`{key}`"));
                }
                Err(error) => return Err(format!("plan failed with `{key}` unknown: {}", said(error))),
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
        let again = self.apply(&run, Mode::Converge, &first).await?;
        // What is carried out may measure something.
        let runs = first.changes.iter().any(|change| change.action == Action::Run);
        if !runs && again.values != outputs.values {
            return Err(
                "a second `apply` of the same plan in the same run gives other outputs: after a crash it \
                        is called again"
                    .to_owned(),
            );
        }
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
        tokio::spawn(async move {
            tokio::time::sleep(SOON).await;
            cancel.cancel();
        });
        let begun = Instant::now();
        let outcome = self.stage.apply(&context, &plan).await;
        let took = begun.elapsed();
        let undo = run.uncancelled();
        self.roll_back(&undo).await?;
        match outcome {
            Ok(_) => Ok("it was done before it was cancelled".to_owned()),
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

fn said(error: StageError) -> String {
    match &error {
        StageError::Input { .. } => format!("an input is wrong: {error}"),
        _ => error.to_string(),
    }
}
