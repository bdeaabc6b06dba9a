//! Capacity providers: the two of Fargate, which every account has, and those that customers make of
//! Auto Scaling groups. The latter are records: the cloud has no instances.
//!
//! Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCapacityProvider.html

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::pages::Page;
use super::{Call, EcsState, Tag, errors, names, resource_name, tags};
use crate::wire::{ApiError, Input, Output};

const FARGATE: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

/// A capacity provider that a customer made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CapacityProvider {
    capacity_provider_arn: String,
    name: String,
    status: String,
    update_status: Option<String>,
    auto_scaling_group_provider: Map<String, Value>,
    pub(super) tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProviderInput {
    name: String,
    auto_scaling_group_provider: Option<Map<String, Value>>,
    #[serde(default)]
    tags: Vec<Tag>,
}

/// CreateCapacityProvider.
pub(super) fn create(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: ProviderInput = input.parse()?;
    check_name(&input.name)?;
    tags::check(&input.tags)?;
    let given = input.auto_scaling_group_provider.ok_or_else(|| {
        errors::invalid_parameter("The capacity provider must have an Auto Scaling group provider.")
    })?;
    if !given.contains_key("autoScalingGroupArn") {
        return Err(errors::invalid_parameter("Auto Scaling group ARN must be specified."));
    }
    let mut group = Map::from_iter([("managedTerminationProtection".to_owned(), json!("DISABLED"))]);
    group.insert("managedScaling".to_owned(), json!({ "status": "DISABLED" }));
    merge(&mut group, given);
    let arn = names::arn(&call.place, &format!("capacity-provider/{}", input.name));
    let known = &mut call.region().ecs.capacity_providers;
    if known.contains_key(&input.name) {
        return Err(errors::invalid_parameter(
            "The specified capacity provider already exists. To change its configuration, update the capacity \
             provider.",
        ));
    }
    let provider = CapacityProvider {
        capacity_provider_arn: arn,
        name: input.name.clone(),
        status: "ACTIVE".into(),
        update_status: None,
        auto_scaling_group_provider: group,
        tags: input.tags,
    };
    known.insert(input.name, provider.clone());
    Output::of(&json!({ "capacityProvider": provider }))
}

/// 1 to 255 letters, digits, underscores and hyphens, without the prefixes that are AWS's own.
fn check_name(name: &str) -> Result<(), ApiError> {
    names::check("capacity provider", name)?;
    let lower = name.to_ascii_lowercase();
    if ["aws", "ecs", "fargate"].iter().any(|prefix| lower.starts_with(prefix)) {
        return Err(errors::invalid_parameter(format!(
            "The specified capacity provider name is invalid: {name}. The name cannot be prefixed with aws, ecs, or \
             fargate."
        )));
    }
    Ok(())
}

/// Overlays what was given; managed scaling that is on gets the values that AWS documents as defaults
/// (docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ManagedScaling.html).
fn merge(group: &mut Map<String, Value>, given: Map<String, Value>) {
    for (name, value) in given {
        match (group.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(new)) => known.extend(new),
            (_, value) => {
                group.insert(name, value);
            }
        }
    }
    let Some(Value::Object(scaling)) = group.get_mut("managedScaling") else { return };
    if scaling.get("status").and_then(Value::as_str) != Some("ENABLED") {
        return;
    }
    for (name, value) in [
        ("targetCapacity", 100),
        ("minimumScalingStepSize", 1),
        ("maximumScalingStepSize", 10_000),
        ("instanceWarmupPeriod", 300),
    ] {
        scaling.entry(name).or_insert_with(|| json!(value));
    }
}

fn not_found(name: &str) -> ApiError {
    errors::invalid_parameter(format!(
        "The specified capacity provider '{name}' was not found. Specify a valid name or ARN and try again."
    ))
}

/// UpdateCapacityProvider.
pub(super) fn update(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: ProviderInput = input.parse()?;
    let known = call.region().ecs.capacity_providers.get_mut(resource_name(&input.name));
    let provider = known.ok_or_else(|| not_found(&input.name))?;
    merge(&mut provider.auto_scaling_group_provider, input.auto_scaling_group_provider.unwrap_or_default());
    provider.update_status = Some("UPDATE_COMPLETE".into());
    Output::of(&json!({ "capacityProvider": provider }))
}

/// DeleteCapacityProvider: only one that no cluster uses.
pub(super) fn delete(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Which {
        capacity_provider: String,
    }
    let which = input.parse::<Which>()?.capacity_provider;
    let name = resource_name(&which);
    let ecs = &mut call.region().ecs;
    let uses = |provider: &String| resource_name(provider) == name;
    if ecs.clusters.values().any(|entry| entry.cluster.capacity_providers.iter().any(uses)) {
        return Err(errors::invalid_parameter(
            "The capacity provider cannot be deleted because it is associated with a cluster. Remove the capacity \
             provider from the cluster and try again.",
        ));
    }
    let mut provider = ecs.capacity_providers.remove(name).ok_or_else(|| not_found(&which))?;
    provider.status = "INACTIVE".into();
    provider.update_status = Some("DELETE_COMPLETE".into());
    Output::of(&json!({ "capacityProvider": provider }))
}

/// DescribeCapacityProviders: all of them without names.
pub(super) fn describe(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Which {
        capacity_providers: Option<Vec<String>>,
        #[serde(default)]
        include: Vec<String>,
    }
    let page: Page = input.parse()?;
    let input: Which = input.parse()?;
    let shows_tags = tags::included(&input.include)?;
    let place = call.place.clone();
    let known = &call.region().ecs.capacity_providers;
    let show = |name: &str| match known.get(name) {
        Some(provider) => {
            let mut provider = provider.clone();
            if !shows_tags {
                provider.tags.clear();
            }
            serde_json::to_value(provider).ok()
        }
        None => FARGATE.contains(&name).then(|| {
            json!({
                "capacityProviderArn": names::arn(&place, &format!("capacity-provider/{name}")),
                "name": name, "status": "ACTIVE", "tags": []
            })
        }),
    };
    let all = || known.keys().map(String::as_str).chain(FARGATE).map(str::to_owned).collect();
    let wanted: Vec<String> =
        input.capacity_providers.clone().filter(|names| !names.is_empty()).unwrap_or_else(all);
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in &wanted {
        match show(resource_name(name)) {
            Some(provider) => found.push(provider),
            None => failures.push(super::failure(&place, name, "capacity-provider")),
        }
    }
    let (found, next) = page.of(found, 10, 10)?;
    Output::of(&json!({ "capacityProviders": found, "failures": failures, "nextToken": next }))
}

/// Refuses names of capacity providers that do not exist.
pub(super) fn check_known(ecs: &EcsState, providers: &[String]) -> Result<(), ApiError> {
    let is_known = |name: &str| FARGATE.contains(&name) || ecs.capacity_providers.contains_key(name);
    match providers.iter().find(|name| !is_known(resource_name(name))) {
        None => Ok(()),
        Some(unknown) => Err(not_found(unknown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::ecs::testing::Caller;

    #[test]
    fn a_provider_of_a_group_gets_defaults_and_serves_clusters() {
        let caller = Caller::new(true, 1.0);
        let group = json!({ "autoScalingGroupArn": "arn:aws:autoscaling:eu-central-1:123456789012:g" });
        let made =
            caller.ok("CreateCapacityProvider", json!({ "name": "mine", "autoScalingGroupProvider": group }));
        let arn = made["capacityProvider"]["capacityProviderArn"].clone();
        let scaling = json!({ "managedScaling": { "status": "ENABLED", "targetCapacity": 50 } });
        let updated = caller
            .ok("UpdateCapacityProvider", json!({ "name": "mine", "autoScalingGroupProvider": scaling }));
        let shown = &updated["capacityProvider"]["autoScalingGroupProvider"];
        assert_eq!(shown["managedScaling"]["targetCapacity"], 50);
        assert_eq!(shown["managedScaling"]["maximumScalingStepSize"], 10_000);
        assert_eq!(shown["managedTerminationProtection"], "DISABLED");

        caller
            .ok("CreateCluster", json!({ "clusterName": "main", "capacityProviders": ["mine", "FARGATE"] }));
        let used = caller.err("DeleteCapacityProvider", json!({ "capacityProvider": arn }));
        assert!(used.1.contains("associated with a cluster"), "{}", used.1);
        let unknown =
            caller.err("CreateCluster", json!({ "clusterName": "other", "capacityProviders": ["none"] }));
        assert_eq!(unknown.0, "InvalidParameterException");
        caller.ok(
            "PutClusterCapacityProviders",
            json!({ "cluster": "main", "capacityProviders": [], "defaultCapacityProviderStrategy": [] }),
        );
        caller.ok("DeleteCapacityProvider", json!({ "capacityProvider": arn }));
        let shown =
            caller.ok("DescribeCapacityProviders", json!({ "capacityProviders": ["mine", "FARGATE"] }));
        assert_eq!(shown["capacityProviders"][0]["name"], "FARGATE");
        assert_eq!(shown["failures"][0]["reason"], "MISSING");
    }
}
