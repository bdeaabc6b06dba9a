//! Plans by reading: what differs from the inputs, what to remove, what drifted.

use pipeline_sdk::{
    Action, AttributeChange, Change, Context, Inputs, Mode, Outputs, Recorded, ResourceId, StageError,
    StagePlan, Value,
};

use crate::diff::creation;
use crate::kit::handle;
use crate::look::StillThere;
use crate::step::{Detail, Step, write};
use crate::tags::{Owner, forget_foreign, owner};
use crate::{Attributes, AwsStage, Known, Ownership, Reading, Resource, diff, look};

pub(crate) async fn plan<T: AwsStage>(
    stage: &T,
    cx: &Context,
    inputs: &Inputs,
) -> Result<StagePlan, StageError> {
    match cx.mode() {
        Mode::Converge => converge(stage, cx, inputs).await,
        Mode::Destroy => destroy(stage, cx, inputs).await,
        Mode::Refresh => refresh(stage, cx, inputs).await,
    }
}

/// A stage's inputs, facts and resources.
pub(crate) struct Listing<T: AwsStage> {
    pub(crate) inputs: T::Inputs,
    pub(crate) facts: T::Facts,
    pub(crate) resources: Vec<Box<dyn Resource>>,
}

async fn list<T: AwsStage>(
    stage: &T,
    reading: &Reading<'_>,
    inputs: &Inputs,
) -> Result<Listing<T>, StageError> {
    let inputs: T::Inputs = inputs.parse()?;
    let facts = stage.look_up(reading, &inputs).await?;
    let resources = stage.resources(reading.context(), &inputs, &facts)?;
    Ok(Listing { inputs, facts, resources })
}

/// The stage's resources, and meanwhile what is still there of those that the state remembers.
async fn list_and_look<T: AwsStage>(
    stage: &T,
    reading: &Reading<'_>,
    inputs: &Inputs,
) -> (Result<Listing<T>, StageError>, StillThere) {
    futures::join!(list(stage, reading, inputs), look::still_there(stage, reading))
}

/// Resources that the state remembers and that are not among `resources`: renamed or no longer wanted.
fn orphans<T: AwsStage>(
    stage: &T,
    cx: &Context,
    resources: &[Box<dyn Resource>],
) -> Result<Vec<Box<dyn Resource>>, StageError> {
    let recorded = cx.prior().map(|prior| prior.outputs.resources.as_slice()).unwrap_or_default();
    let gone = recorded.iter().filter(|one| resources.iter().all(|resource| *resource.id() != one.id));
    gone.map(|one| stage.recorded(one)).collect()
}

async fn converge<T: AwsStage>(stage: &T, cx: &Context, raw: &Inputs) -> Result<StagePlan, StageError> {
    let reading = Reading::new(cx);
    let (listing, still_there) = list_and_look(stage, &reading, raw).await;
    let listing = listing?;
    let orphans = orphans(stage, cx, &listing.resources)?;
    let all = listing.resources.iter().chain(&orphans).map(AsRef::as_ref);
    let world = look::all(&reading, all, still_there).await?;

    let adopt = stage.adopts(&listing.inputs);
    let mut draft = Draft { cx, adopt, takeover: T::TAKEOVER_INPUT, known: world.clone(), made: vec![] };
    for resource in &listing.resources {
        draft.converge(resource.as_ref())?;
    }
    for orphan in &orphans {
        draft.remove(orphan.as_ref(), "it is no longer part of this stage")?;
    }
    let outputs = outputs(stage, cx, &listing, &draft.known)?;
    draft.finish(raw, write(&listing.facts)?, &world, outputs)
}

async fn destroy<T: AwsStage>(stage: &T, cx: &Context, raw: &Inputs) -> Result<StagePlan, StageError> {
    let reading = Reading::new(cx);
    let (listing, still_there) = list_and_look(stage, &reading, raw).await;
    // What the inputs refer to may be gone already: then the state says what there is to remove.
    let resources = match listing {
        Ok(listing) => listing.resources,
        Err(error) if cx.prior().is_none() => return Err(error),
        Err(_) => Vec::new(),
    };
    let orphans = orphans(stage, cx, &resources)?;
    let all = || resources.iter().chain(&orphans).map(AsRef::as_ref);
    let world = look::all(&reading, all(), still_there).await?;
    let mut draft =
        Draft { cx, adopt: false, takeover: T::TAKEOVER_INPUT, known: world.clone(), made: vec![] };
    for resource in all() {
        draft.remove(resource, "")?;
    }
    draft.finish(raw, Value::Null, &world, Outputs::default())
}

async fn refresh<T: AwsStage>(stage: &T, cx: &Context, raw: &Inputs) -> Result<StagePlan, StageError> {
    let Some(prior) = cx.prior() else { return Ok(StagePlan::default()) };
    let reading = Reading::new(cx);
    let (listing, still_there) = list_and_look(stage, &reading, raw).await;
    let resources = listing.map(|listing| listing.resources).unwrap_or_default();
    let orphans = orphans(stage, cx, &resources)?;
    let all = resources.iter().chain(&orphans).map(AsRef::as_ref);
    let world = look::all(&reading, all, still_there).await?;
    let mut changes = Vec::new();
    for recorded in &prior.outputs.resources {
        let resource = resources.iter().find(|resource| *resource.id() == recorded.id);
        let desired = resource.and_then(|resource| resource.desired(&world).ok().flatten());
        changes.extend(drift(recorded, desired, world.existing(&recorded.id)));
    }
    Ok(StagePlan { changes, outputs: prior.outputs.clone(), detail: Value::Null })
}

/// How the world differs from what was last made: `before` is what was made, `after` what is there.
fn drift(recorded: &Recorded, desired: Option<Attributes>, now: Option<&Attributes>) -> Option<Change> {
    let mut made = Attributes::of(recorded.attributes.clone());
    let change = |action, attributes, reason: &str| Change {
        resource: recorded.id.clone(),
        action,
        attributes,
        reason: Some(reason.to_owned()),
        irreversible: None,
    };
    let Some(now) = now else {
        return Some(change(Action::Delete, vec![], "it was removed outside of the pipeline"));
    };
    // Only what the stage owns can drift; the rest is AWS's.
    if let Some(desired) = desired {
        made.retain(|key, _| desired.contains_key(key));
    }
    let mut now = now.clone();
    forget_foreign(&mut now, &made, &made);
    let attributes: Vec<_> = diff(&now, &made)
        .into_iter()
        .map(|c| AttributeChange { path: c.path, before: c.after, after: c.before })
        .collect();
    (!attributes.is_empty())
        .then(|| change(Action::Update, attributes, "it was changed outside of the pipeline"))
}

/// A plan in the making.
struct Draft<'a> {
    cx: &'a Context,
    adopt: bool,
    takeover: &'static str,
    known: Known,
    made: Vec<(Step, Change)>,
}

impl Draft<'_> {
    fn converge(&mut self, resource: &dyn Resource) -> Result<(), StageError> {
        let Some(desired) = resource.desired(&self.known)? else {
            return self.remove(resource, "the inputs no longer ask for it");
        };
        let id = resource.id();
        let Some(mut observed) = self.known.existing(id).cloned() else {
            self.known.will_exist(id.clone(), desired.clone());
            self.add(resource, Action::Create, None, creation(&desired), None);
            return Ok(());
        };
        let ours = is_ours(self.cx, resource, &observed, Some(&desired));
        if !ours && !self.adopt {
            return Err(not_ours(self.cx, resource, &observed, self.takeover));
        }
        forget_foreign(&mut observed, &desired, &remembered(self.cx, id));
        let changes = diff(&observed, &desired);
        if changes.is_empty() {
            return Ok(());
        }
        let reason = (!ours).then_some("it exists already and is taken over");
        if changes.iter().any(|change| touches(&change.path, resource.replaced_by())) {
            self.known.will_exist(id.clone(), desired);
            self.add(resource, Action::Replace, Some(observed), changes, reason);
        } else {
            self.known.will_change(id, &desired, resource.assigned_anew());
            self.add(resource, Action::Update, Some(observed), changes, reason);
        }
        Ok(())
    }

    fn remove(&mut self, resource: &dyn Resource, reason: &str) -> Result<(), StageError> {
        let Some(observed) = self.known.existing(resource.id()).cloned() else { return Ok(()) };
        if is_ours(self.cx, resource, &observed, None) {
            if let Some(why) = resource.protected(&observed) {
                return Err(StageError::failed(format!("{} cannot be removed: {why}", resource.id())));
            }
            self.known.is_gone(resource.id());
            let reason = (!reason.is_empty()).then_some(reason);
            self.add(resource, Action::Delete, Some(observed), vec![], reason);
        }
        Ok(())
    }

    fn add(
        &mut self,
        resource: &dyn Resource,
        action: Action,
        observed: Option<Attributes>,
        attributes: Vec<AttributeChange>,
        reason: Option<&str>,
    ) {
        let id = resource.id().clone();
        let irreversible = observed.as_ref().and_then(|observed| resource.irreversible(action, observed));
        let paths = attributes.iter().map(|change| change.path.clone()).collect();
        let step = Step { id: id.clone(), action, observed, paths };
        let reason = reason.map(str::to_owned);
        self.made.push((step, Change { resource: id, action, attributes, reason, irreversible }));
    }

    fn finish(
        self,
        inputs: &Inputs,
        facts: Value,
        world: &Known,
        outputs: Outputs,
    ) -> Result<StagePlan, StageError> {
        let (steps, changes) = self.made.into_iter().unzip();
        let existing =
            world.all_existing().map(|(id, attributes)| (id.clone(), attributes.clone())).collect();
        let detail = write(&Detail { inputs: inputs.clone(), facts, steps, existing })?;
        Ok(StagePlan { changes, outputs, detail })
    }
}

/// Whether a dotted path is one of `attributes` or lies below one.
pub(crate) fn touches(path: &str, attributes: &[&str]) -> bool {
    attributes.iter().any(|attribute| {
        path.strip_prefix(attribute).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// The stage's outputs and the resources that exist, in the order of the list.
pub(crate) fn outputs<T: AwsStage>(
    stage: &T,
    cx: &Context,
    listing: &Listing<T>,
    known: &Known,
) -> Result<Outputs, StageError> {
    let values = write(&stage.outputs(cx, &listing.inputs, &listing.facts, known)?)?;
    let values = Attributes::of(values).iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut resources = Vec::new();
    for resource in &listing.resources {
        resources.extend(to_remember(cx, resource.as_ref(), known)?);
    }
    Ok(Outputs { values, resources })
}

/// What the state is to remember of a resource that exists. What it remembers is ours: nothing where the inputs ask for
/// none and it was not ours before, and no tag that somebody else has put there.
fn to_remember(cx: &Context, resource: &dyn Resource, known: &Known) -> Result<Option<Recorded>, StageError> {
    let id = resource.id();
    let Some(mut attributes) = known.existing(id).cloned() else { return Ok(None) };
    let desired = resource.desired(known)?;
    if desired.is_none() && cx.prior().is_none_or(|prior| prior.resource(id).is_none()) {
        return Ok(None);
    }
    forget_foreign(&mut attributes, &desired.unwrap_or_default(), &remembered(cx, id));
    Ok(Some(Recorded { id: id.clone(), attributes: attributes.to_value() }))
}

/// What the state remembers of a resource.
pub(crate) fn remembered(cx: &Context, id: &ResourceId) -> Attributes {
    let recorded = cx.prior().and_then(|prior| prior.resource(id));
    Attributes::of(recorded.map(|recorded| recorded.attributes.clone()).unwrap_or_default())
}

/// Whether a resource that exists is this stage's.
pub(crate) fn is_ours(
    cx: &Context,
    resource: &dyn Resource,
    observed: &Attributes,
    desired: Option<&Attributes>,
) -> bool {
    let known = cx.prior().is_some_and(|prior| prior.resource(resource.id()).is_some());
    match resource.ownership() {
        Ownership::Parent => true,
        Ownership::Tags => matches!(owner(cx, observed), Owner::Us),
        Ownership::TagsOrState => match owner(cx, observed) {
            Owner::Us => true,
            Owner::Nobody => known,
            Owner::Stage(_) | Owner::Pipeline(_) => false,
        },
        Ownership::State => {
            // Exactly what we want: nothing is lost by calling it ours.
            known || desired.is_some_and(|desired| diff(observed, desired).is_empty())
        }
    }
}

pub(crate) fn not_ours(
    cx: &Context,
    resource: &dyn Resource,
    observed: &Attributes,
    takeover: &str,
) -> StageError {
    let id = resource.id();
    let refuse = |whose: &str, help: String| {
        StageError::failed(format!("{id} exists already and {whose}")).with_help(help)
    };
    let take_over = || {
        format!("choose another name, or set `{takeover} = true` on stage `{}` to take it over", cx.stage())
    };
    match (resource.ownership(), owner(cx, observed)) {
        // Taking it from a stage of the same file only makes both fight for it.
        (Ownership::Tags | Ownership::TagsOrState, Owner::Stage(stage)) => refuse(
            &format!("belongs to stage `{stage}` of this pipeline"),
            format!(
                "choose another name for one of them; if `{}` was called `{stage}` before, call it so again: a \
                     stage cannot be renamed in place",
                cx.stage()
            ),
        ),
        (Ownership::Tags | Ownership::TagsOrState, Owner::Pipeline(other)) => {
            refuse(&format!("belongs to the pipeline `{other}`"), take_over())
        }
        _ => refuse("was not made by this pipeline", take_over()),
    }
}

/// Handlers of the resources that a plan touches, whether they are listed or only recorded.
pub(crate) fn handler_of_step<T: AwsStage>(stage: &T, step: &Step) -> Result<Box<dyn Resource>, StageError> {
    handle(stage, &step.id, step.observed.as_ref().unwrap_or(&Attributes::default()))
}
