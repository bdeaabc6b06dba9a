//! Container instances: the cloud has none, so lists are empty and none is found.
//!
//! Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeContainerInstances.html

use serde::Deserialize;
use serde_json::json;

use super::{Call, clusters, errors};
use crate::wire::{ApiError, Input, Output};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Which {
    cluster: Option<String>,
    #[serde(default)]
    container_instances: Vec<String>,
}

/// ListContainerInstances.
pub(super) fn list(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: Which = input.parse()?;
    clusters::active(&call.region().ecs.clusters, input.cluster.as_deref())?;
    Output::of(&json!({ "containerInstanceArns": [] }))
}

/// DescribeContainerInstances and UpdateContainerInstancesState: each is missing.
pub(super) fn describe(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: Which = input.parse()?;
    let place = call.place.clone();
    let clusters = &call.region().ecs.clusters;
    let cluster = clusters::active(clusters, input.cluster.as_deref())?.cluster.cluster_name.clone();
    if input.container_instances.is_empty() {
        return Err(errors::client("Container Instances cannot be empty."));
    }
    let kind = format!("container-instance/{cluster}");
    let failures: Vec<_> =
        input.container_instances.iter().map(|name| super::failure(&place, name, &kind)).collect();
    Output::of(&json!({ "containerInstances": [], "failures": failures }))
}

/// ListAttributes: attributes are of container instances.
pub(super) fn list_attributes(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: Which = input.parse()?;
    clusters::active(&call.region().ecs.clusters, input.cluster.as_deref())?;
    Output::of(&json!({ "attributes": [] }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::ecs::testing::Caller;

    #[test]
    fn there_are_none_in_any_cluster() {
        let caller = Caller::new(true, 1.0);
        assert_eq!(caller.err("ListContainerInstances", json!({})).0, "ClusterNotFoundException");
        caller.ok("CreateCluster", json!({}));
        assert_eq!(caller.ok("ListContainerInstances", json!({}))["containerInstanceArns"], json!([]));
        let empty = caller.err("DescribeContainerInstances", json!({ "containerInstances": [] }));
        assert_eq!(empty.0, "ClientException");
        let shown = caller.ok("DescribeContainerInstances", json!({ "containerInstances": ["0123"] }));
        assert_eq!(shown["failures"][0]["reason"], "MISSING");
    }
}
