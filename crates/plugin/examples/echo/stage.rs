//! A stage that says what it was told, and nothing else.

use pipeline_plugin::{
    Action, ApplyError, Change, Context, Done, Inputs, JsonSchema, Outputs, Plugin, ResourceId, Stage,
    StageError, StagePlan, async_trait, schemars,
};

/// Any text, as long as a message is to be.
#[derive(JsonSchema)]
#[allow(dead_code)]
struct EchoInputs {
    /// What it says.
    text: String,
}

/// The text again.
#[derive(JsonSchema)]
#[allow(dead_code)]
struct EchoOutputs {
    /// What it was told.
    text: String,
}

struct Echo {
    /// It waits before it answers, for nothing.
    waits: bool,
}

impl Echo {
    async fn wait(&self) {
        if self.waits {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl Stage for Echo {
    async fn plan(&self, cx: &Context, inputs: &Inputs) -> Result<StagePlan, StageError> {
        self.wait().await;
        let change = Change {
            resource: ResourceId::new("test:echo", cx.stage().as_str()),
            action: Action::Run,
            attributes: Vec::new(),
            reason: None,
            irreversible: None,
        };
        let outputs = Outputs { values: inputs.0.clone(), resources: Vec::new() };
        Ok(StagePlan { changes: vec![change], outputs, detail: pipeline_plugin::Value::Null })
    }

    async fn apply(&self, _: &Context, plan: &StagePlan) -> Result<Outputs, ApplyError> {
        Ok(plan.outputs.clone())
    }

    async fn rollback(&self, _: &Context, _: &[Done]) -> Result<(), StageError> {
        self.wait().await;
        Ok(())
    }
}

/// The plugin. One that `waits` needs its threads for each call.
pub(crate) fn plugin(waits: bool) -> Plugin {
    let echo = Echo { waits };
    Plugin::new("echo", "1.0.0").stage::<EchoInputs, EchoOutputs>("echo", "Says what it was told", echo)
}
