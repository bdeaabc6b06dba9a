//! Looks at resources: where the state remembers them, or else where the inputs say that they are.
//!
//! What the state remembers can be read before the inputs' own facts are looked up, so that nothing waits
//! for anything when nothing changed.

use std::collections::HashMap;

use futures::future::{join_all, try_join_all};
use pipeline_sdk::{Mode, Recorded, ResourceId, StageError};

use crate::{Attributes, AwsStage, Known, Reading, Resource};

/// What is still there of what the state remembers.
pub(crate) type StillThere = HashMap<ResourceId, Attributes>;

/// Reads everything that the state remembers. What cannot be read is left out: whoever needs it asks
/// again, and reports the error.
pub(crate) async fn still_there<T: AwsStage>(stage: &T, reading: &Reading<'_>) -> StillThere {
    let prior = reading.context().prior();
    let recorded = prior.map(|prior| prior.outputs.resources.as_slice()).unwrap_or_default();
    let found = join_all(recorded.iter().map(|one| as_recorded(stage, reading, one))).await;
    let found = recorded.iter().zip(found);
    found.filter_map(|(one, found)| Some((one.id.clone(), found.ok()??))).collect()
}

/// All of `resources` that exist, read at the same time unless they are among `still_there`.
pub(crate) async fn all<'a>(
    reading: &Reading<'_>,
    resources: impl Iterator<Item = &'a dyn Resource>,
    still_there: StillThere,
) -> Result<Known, StageError> {
    let look = |resource: &'a dyn Resource| {
        let known = still_there.get(resource.id()).filter(|found| !is_to_be_anew(reading, resource, found));
        let known = known.map(|found| with_notes(resource, found.clone()));
        async move {
            let found = match known {
                Some(found) => Some(found),
                None => plainly(reading, resource).await?,
            };
            Ok::<_, StageError>((resource.id(), found))
        }
    };
    let mut known = Known::default();
    for (id, found) in try_join_all(resources.map(look)).await? {
        if let Some(attributes) = found {
            known.exists(id.clone(), attributes);
        }
    }
    Ok(known)
}

/// One resource, in a look of its own.
pub(crate) async fn at<T: AwsStage>(
    stage: &T,
    reading: &Reading<'_>,
    resource: &dyn Resource,
) -> Result<Option<Attributes>, StageError> {
    let recorded = reading.context().prior().and_then(|prior| prior.resource(resource.id()));
    if let Some(recorded) = recorded
        && let Some(found) = as_recorded(stage, reading, recorded).await?
        && !is_to_be_anew(reading, resource, &found)
    {
        return Ok(Some(with_notes(resource, found)));
    }
    plainly(reading, resource).await
}

/// Whether what was `found` does not count: it is on its way out, and will be made anew. For a removal it is there
/// until it is gone.
fn is_to_be_anew(reading: &Reading<'_>, resource: &dyn Resource, found: &Attributes) -> bool {
    reading.context().mode() != Mode::Destroy && resource.is_leaving(found)
}

/// One resource where it says itself that it is.
pub(crate) async fn plainly(
    reading: &Reading<'_>,
    resource: &dyn Resource,
) -> Result<Option<Attributes>, StageError> {
    Ok(resource.read(reading).await?.map(|found| with_notes(resource, found)))
}

async fn as_recorded<T: AwsStage>(
    stage: &T,
    reading: &Reading<'_>,
    recorded: &Recorded,
) -> Result<Option<Attributes>, StageError> {
    stage.recorded(recorded)?.read(reading).await
}

fn with_notes(resource: &dyn Resource, mut found: Attributes) -> Attributes {
    for (key, value) in resource.notes().iter() {
        found.set(key, value.clone());
    }
    found
}
