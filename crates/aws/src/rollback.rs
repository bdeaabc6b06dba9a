//! Undoes side effects, last first, from what their intents recorded.

use std::collections::{BTreeMap, HashMap};

use pipeline_sdk::{Action, Context, Done, StageError, Value};

use crate::kit::handle;
use crate::plan::is_ours;
use crate::step::{Before, read};
use crate::tags::forget_foreign;
use crate::{Attributes, AwsStage, Ownership, Reading, Resource, diff, look};

pub(crate) async fn rollback<T: AwsStage>(stage: &T, cx: &Context, all: &[Done]) -> Result<(), StageError> {
    let mut undo = Undo { stage, cx, replaced: HashMap::new() };
    let mut failures = BTreeMap::new();
    // One that cannot be undone does not keep the others from being undone.
    for index in (0..all.len()).rev() {
        undo.attempt(index, all, &mut failures).await;
    }
    // What was made again has a new ARN: whatever was restored with the old one is pointed to it.
    for (index, done) in all.iter().enumerate() {
        if undo.mentions_replaced(done) {
            undo.attempt(index, all, &mut failures).await;
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    let failures: Vec<_> = failures.into_values().collect();
    Err(StageError::failed(format!("could not be undone: {}", failures.join("; ")))
        .with_help("put it right by hand, or run again: what is already undone is left alone"))
}

struct Undo<'a, T> {
    stage: &'a T,
    cx: &'a Context,
    /// ARNs and ids of what was made again, by the ones they had before.
    replaced: HashMap<String, String>,
}

impl<T: AwsStage> Undo<'_, T> {
    async fn attempt(&mut self, index: usize, all: &[Done], failures: &mut BTreeMap<usize, String>) {
        let (earlier, done) = (&all[..index], &all[index]);
        let was_there =
            earlier.iter().any(|one| one.action == Action::Delete && one.resource == done.resource);
        match self.one(done, was_there).await {
            Ok(()) => failures.remove(&index),
            Err(error) => {
                let help = error.help().map(|help| format!(" ({help})")).unwrap_or_default();
                failures.insert(index, format!("{}: {error}{help}", done.resource))
            }
        };
    }

    fn mentions_replaced(&self, done: &Done) -> bool {
        let undone_by_restoring = matches!(done.action, Action::Update | Action::Delete);
        undone_by_restoring
            && done.before.as_ref().is_some_and(|before| self.renamed(before.clone()) != *before)
    }

    async fn one(&mut self, done: &Done, was_there: bool) -> Result<(), StageError> {
        let recorded = done.before.clone().unwrap_or_default();
        let before: Before = read(&self.renamed(recorded), "what was recorded to undo it")?;
        let after = self.renamed(done.after.clone().unwrap_or_default());
        let hints = merged([before.desired.as_ref(), before.observed.as_ref()], after);
        let resource = handle(self.stage, &done.resource, &hints)?;
        match done.action {
            Action::Create => {
                let made = done.after.clone().map(Attributes::of);
                self.creation(resource.as_ref(), &before, made, was_there).await
            }
            Action::Update => self.change(resource.as_ref(), before).await,
            Action::Delete => self.deletion(resource.as_ref(), before).await,
            Action::Replace | Action::Run => {
                Err(StageError::failed("this kind of change records its parts, not itself"))
            }
        }
    }

    async fn creation(
        &self,
        resource: &dyn Resource,
        before: &Before,
        made: Option<Attributes>,
        was_there: bool,
    ) -> Result<(), StageError> {
        let Some(now) = self.look(resource).await? else { return Ok(()) };
        if is_restored(resource, &now, before, made.as_ref(), was_there) {
            return Ok(());
        }
        // Without an answer, something else may have made it in the meantime.
        let ours = is_ours(self.cx, resource, &now, before.desired.as_ref());
        if ours || (made.is_some() && resource.ownership() == Ownership::State) {
            resource.undo_create(self.cx, &now).await?;
        }
        Ok(())
    }

    async fn change(&self, resource: &dyn Resource, before: Before) -> Result<(), StageError> {
        let (observed, desired) = (before.observed.unwrap_or_default(), before.desired.unwrap_or_default());
        let target = restored(&observed, &desired);
        resource.before_undo(self.cx).await?;
        match self.look(resource).await? {
            None => resource.create(self.cx, &target).await,
            Some(mut now) => {
                forget_foreign(&mut now, &desired, &observed);
                if diff(&now, &target).is_empty() {
                    return Ok(());
                }
                resource.update(self.cx, &now, &target).await
            }
        }
    }

    async fn deletion(&mut self, resource: &dyn Resource, before: Before) -> Result<(), StageError> {
        let observed = before.observed.unwrap_or_default();
        if let Some(now) = self.look(resource).await? {
            // It was never removed, or is made again already and points to something old.
            self.remember_new_names(&observed, &now);
            let target = Attributes::of(self.renamed(observed.to_value()));
            let differs = !diff(&now, &target).is_empty();
            return if differs { resource.update(self.cx, &now, &target).await } else { Ok(()) };
        }
        resource.create(self.cx, &observed).await?;
        if let Some(now) = self.look(resource).await? {
            self.remember_new_names(&observed, &now);
        }
        match resource.irreversible(Action::Delete, &observed) {
            Some(lost) => Err(StageError::failed(format!("it was made again, but {lost}"))),
            None => Ok(()),
        }
    }

    fn remember_new_names(&mut self, old: &Attributes, new: &Attributes) {
        for key in ["arn", "id"] {
            if let (Some(old), Some(new)) = (old.text(key), new.text(key))
                && old != new
            {
                self.replaced.insert(old.to_owned(), new.to_owned());
            }
        }
    }

    /// The value with the new ARNs and ids of what was made again.
    fn renamed(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.replaced.get(&text).cloned().unwrap_or(text)),
            Value::Array(items) => items.into_iter().map(|item| self.renamed(item)).collect(),
            Value::Object(fields) => {
                Value::Object(fields.into_iter().map(|(key, field)| (key, self.renamed(field))).collect())
            }
            other => other,
        }
    }

    async fn look(&self, resource: &dyn Resource) -> Result<Option<Attributes>, StageError> {
        look::plainly(&Reading::new(self.cx), resource).await
    }
}

/// Whether what is there is not what was made but what an earlier, interrupted rollback put back in
/// its place.
fn is_restored(
    resource: &dyn Resource,
    now: &Attributes,
    before: &Before,
    made: Option<&Attributes>,
    was_there: bool,
) -> bool {
    let named_otherwise = |made: &Attributes| {
        ["arn", "id"].iter().any(|key| made.text(key).is_some_and(|name| now.text(key) != Some(name)))
    };
    let wanted_otherwise =
        |desired: &Attributes| resource.replaced_by().iter().any(|key| now.value(key) != desired.value(key));
    was_there && (made.is_some_and(named_otherwise) || before.desired.as_ref().is_some_and(wanted_otherwise))
}

/// All that is known of a resource, the latest last.
fn merged(parts: [Option<&Attributes>; 2], after: Value) -> Attributes {
    let mut all = Attributes::default();
    for part in parts.into_iter().flatten() {
        all.extend(part.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    all.extend(Attributes::of(after).iter().map(|(key, value)| (key.clone(), value.clone())));
    all
}

/// The managed attributes as they were: `null` for what was not set.
fn restored(observed: &Attributes, desired: &Attributes) -> Attributes {
    let mut target = Attributes::default();
    for key in desired.keys() {
        target.set(key, observed.value(key).clone());
    }
    target
}
