//! The kit against a world in memory that refuses, loses answers and dies.

mod fakes;
mod properties;
mod rules;

use std::sync::Arc;

use pipeline_sdk::{
    CancellationToken, Context, ContextParts, Mode, NullSink, PipelineId, Prior, Recorder, RunId, StageName,
};

/// A context that remembers nothing.
pub(crate) fn context() -> Context {
    context_for(Mode::Converge, None, Arc::new(NullSink))
}

pub(crate) fn context_for(mode: Mode, prior: Option<Prior>, recorder: Arc<dyn Recorder>) -> Context {
    Context::from(ContextParts {
        stage: StageName::new("shop").expect("valid"),
        run: RunId::generate(),
        pipeline: PipelineId { name: "hello".into(), environment: "staging".into() },
        directory: ".".into(),
        mode,
        prior,
        cancel: CancellationToken::new(),
        sink: Arc::new(NullSink),
        recorder,
        services: None,
        inputs: None,
    })
}
