//! What the runtime is asked to do, outside of the world's lock.

use std::sync::Arc;
use std::time::Duration;

use super::TaskName;
use pipeline_data_plane::runtime::{RuntimeError, Started, TaskRuntime, TaskSpec};

/// What came of it.
pub(super) enum Done {
    Started { name: TaskName, result: Result<Started, RuntimeError> },
    Stopped { id: String, result: Result<(), RuntimeError> },
}

pub(super) async fn start(runtime: Arc<dyn TaskRuntime>, name: TaskName, spec: TaskSpec) -> Done {
    let result = runtime.start(&spec).await;
    Done::Started { name, result }
}

pub(super) async fn stop(runtime: Arc<dyn TaskRuntime>, id: String, grace: Duration) -> Done {
    let result = runtime.stop(&id, grace).await;
    Done::Stopped { id, result }
}
