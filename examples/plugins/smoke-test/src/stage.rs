//! The stage.

use pipeline_plugin::{
    Action, ApplyError, AttributeChange, Change, Context, Done, Inputs, Map, Maybe, Mode, Outputs,
    ResourceId, Stage, StageError, StagePlan, Unknown, Value, async_trait,
};
use serde::Serialize;

use crate::check::Check;
use crate::inputs::{Checked, SmokeTestInputs, SmokeTestOutputs};

pub(crate) struct SmokeTest;

#[async_trait]
impl Stage for SmokeTest {
    async fn plan(&self, cx: &Context, inputs: &Inputs) -> Result<StagePlan, StageError> {
        let prior = cx.prior().map(|prior| prior.outputs.clone()).unwrap_or_default();
        match cx.mode() {
            Mode::Converge => {}
            // A test leaves nothing that could become another or be removed.
            Mode::Refresh => return Ok(StagePlan { outputs: prior, ..StagePlan::default() }),
            Mode::Destroy => return Ok(StagePlan::default()),
        }
        let wanted: SmokeTestInputs = inputs.parse()?;
        // What is wrong already shows in the plan.
        Check::of(&wanted)?;
        let checked = to_value(&Checked::from(&wanted))?;
        let before = prior.values.get("checked");
        if before == Some(&checked) {
            return Ok(StagePlan { outputs: prior, ..StagePlan::default() });
        }
        let resource = ResourceId::new("http:check", cx.pipeline().canonical());
        let elapsed = Unknown::new(format!("{}.{}.elapsed_ms", resource.kind, resource.name));
        let change = Change {
            attributes: differences(before, &checked),
            reason: before.map(|_| "it is another test than the last one".to_owned()),
            action: Action::Run,
            resource,
            irreversible: None,
        };
        let outputs = outputs(&wanted, wanted.status, Maybe::Unknown(elapsed))?;
        Ok(StagePlan { changes: vec![change], outputs, detail: to_value(&wanted)? })
    }

    async fn apply(&self, cx: &Context, plan: &StagePlan) -> Result<Outputs, ApplyError> {
        let [change] = plan.changes.as_slice() else { return Ok(plan.outputs.clone()) };
        let wanted: SmokeTestInputs = serde_json::from_value(plan.detail.clone())
            .map_err(|error| StageError::failed(format!("the plan cannot be read: {error}")))?;
        let unknown = || StageError::failed("the plan was made before all inputs were known");
        let check = Check::of(&wanted)?.ok_or_else(unknown)?;
        let intent = cx.intent(change.resource.clone(), change.action, None).await?;
        let passed = check.pass(cx).await?;
        cx.done(intent, to_value(&passed)?).await?;
        Ok(outputs(&wanted, passed.status, Maybe::Known(passed.elapsed_ms))?)
    }

    /// A test changes nothing.
    async fn rollback(&self, _: &Context, _: &[Done]) -> Result<(), StageError> {
        Ok(())
    }
}

fn outputs(wanted: &SmokeTestInputs, status: u16, elapsed_ms: Maybe<u64>) -> Result<Outputs, StageError> {
    let values = to_value(&SmokeTestOutputs { checked: Checked::from(wanted), status, elapsed_ms })?;
    let Value::Object(values) = values else { return Ok(Outputs::default()) };
    Ok(Outputs { values: values.into_iter().collect(), resources: Vec::new() })
}

/// What is to be tested and was not so the last time.
fn differences(before: Option<&Value>, after: &Value) -> Vec<AttributeChange> {
    let nothing = Map::new();
    let fields = |value: Option<&Value>| value.and_then(Value::as_object).unwrap_or(&nothing).clone();
    let (before, after) = (fields(before), fields(Some(after)));
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let value = |fields: &Map<String, Value>, key: &str| fields.get(key).cloned().unwrap_or_default();
    let change = |key: &String| AttributeChange {
        path: key.clone(),
        before: value(&before, key),
        after: value(&after, key),
    };
    after.keys().chain(gone).map(change).filter(|change| change.before != change.after).collect()
}

fn to_value(value: &impl Serialize) -> Result<Value, StageError> {
    serde_json::to_value(value).map_err(|error| StageError::failed(format!("this is not JSON: {error}")))
}
