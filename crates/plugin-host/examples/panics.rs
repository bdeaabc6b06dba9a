//! A plugin in Rust that panics in the function that it is told to; for the tests of this crate.

use std::sync::Arc;

use pipeline_plugin::{
    ApplyError, Context, Done, EventRecord, Inputs, JsonSchema, Notifier, NotifyError, Outputs, Plugin,
    Stage, StageError, StagePlan, Value, async_trait, schemars,
};
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct PanicsInputs {
    /// The function that panics.
    function: String,
}

#[derive(JsonSchema)]
struct PanicsOutputs {}

struct Panics;

/// Panics if `function` is the one that the word names.
fn here(function: &str, named: Option<&Value>) {
    assert!(named.and_then(Value::as_str) != Some(function), "in {function}");
}

#[async_trait]
impl Stage for Panics {
    async fn plan(&self, _: &Context, inputs: &Inputs) -> Result<StagePlan, StageError> {
        here("plan", inputs.0.get("function"));
        Ok(StagePlan::default())
    }

    async fn apply(&self, _: &Context, plan: &StagePlan) -> Result<Outputs, ApplyError> {
        here("apply", Some(&plan.detail));
        Ok(Outputs::default())
    }

    async fn rollback(&self, _: &Context, done: &[Done]) -> Result<(), StageError> {
        here("rollback", done.first().and_then(|done| done.before.as_ref()));
        Ok(())
    }
}

struct Listens(Value);

#[async_trait]
impl Notifier for Listens {
    async fn notify(&self, _: &EventRecord) -> Result<(), NotifyError> {
        here("notify", Some(&self.0));
        Ok(())
    }
}

fn plugin() -> Plugin {
    // The tests read the errors; what a panic prints would only stand in their way.
    std::panic::set_hook(Box::new(|_| {}));
    let create = |inputs: PanicsInputs| {
        let function = Value::String(inputs.function);
        here("create", Some(&function));
        Ok(Arc::new(Listens(function)) as Arc<dyn Notifier>)
    };
    Plugin::new("panics", "1")
        .stage::<PanicsInputs, PanicsOutputs>("stage", "Panics", Panics)
        .notifier("notifier", "Panics", create)
}

pipeline_plugin::export!(plugin);
