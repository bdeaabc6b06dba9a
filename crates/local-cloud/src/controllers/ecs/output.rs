//! Where the output of containers goes: with the `awslogs` driver to CloudWatch Logs.
//!
//! Source: docs.aws.amazon.com/AmazonECS/latest/developerguide/specify-log-config.html

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::services::logs::LogsState;
use crate::world::{Partition, World};
use pipeline_data_plane::runtime::LogSink;

/// Makes the sinks of containers.
pub(super) struct Outputs {
    world: World,
}

impl Outputs {
    pub(super) fn new(world: &World) -> Self {
        Self { world: world.clone() }
    }

    /// The sink of a container, if its log driver is `awslogs`. Fails with the task's stopped reason.
    pub(super) fn sink(
        &self,
        logs: &LogsState,
        place: &Partition,
        task: &str,
        container: &Map<String, Value>,
    ) -> Result<Option<Arc<dyn LogSink>>, String> {
        let Some(configuration) = container.get("logConfiguration") else { return Ok(None) };
        if configuration.get("logDriver").and_then(Value::as_str) != Some("awslogs") {
            return Ok(None);
        }
        let option = |name: &str| configuration.get("options")?.get(name)?.as_str();
        let Some(group) = option("awslogs-group") else { return Ok(None) };
        let region = option("awslogs-region").unwrap_or(&place.region);
        let create = option("awslogs-create-group") == Some("true");
        // A group of another region is not looked for from here.
        if !create && region == place.region && !logs.has_group(group) {
            return Err(format!(
                "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 \
                 times: failed to create CloudWatch log stream: ResourceNotFoundException: The specified log \
                 group does not exist: {group}. : exit status 1"
            ));
        }
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        let stream = match option("awslogs-stream-prefix") {
            Some(prefix) => format!("{prefix}/{name}/{task}"),
            None => task.to_owned(),
        };
        Ok(Some(Arc::new(Stream {
            world: self.world.clone(),
            place: Partition { account: place.account.clone(), region: region.to_owned() },
            group: group.to_owned(),
            stream,
            create,
        })))
    }
}

/// A log stream. Lines are not saved with the world, so nobody is told of them.
struct Stream {
    world: World,
    place: Partition,
    group: String,
    stream: String,
    /// Whether the group is made if it is not there.
    create: bool,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.group, self.stream)
    }
}

impl LogSink for Stream {
    fn line(&self, at: Timestamp, line: &str) {
        self.world.write_if(|state| {
            let region = state.region_mut(&self.place.account, &self.place.region);
            if self.create {
                region.logs.ensure_group(&self.group);
            }
            region.logs.append(&self.group, &self.stream, at, line);
            ((), false)
        });
    }
}
