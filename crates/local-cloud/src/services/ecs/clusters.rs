//! Clusters.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::pages::Page;
use super::{
    Call, Cluster, ClusterEntry, EcsState, StrategyItem, Tag, capacity_providers, errors, names, settings,
    tags,
};
use crate::wire::{ApiError, Input, Output};

const ACTIVE: &str = "ACTIVE";
const INACTIVE: &str = "INACTIVE";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ClusterInput {
    cluster_name: Option<String>,
    cluster: Option<String>,
    tags: Vec<Tag>,
    settings: Option<Vec<Value>>,
    configuration: Option<Value>,
    capacity_providers: Option<Vec<String>>,
    default_capacity_provider_strategy: Option<Vec<StrategyItem>>,
    service_connect_defaults: Option<Value>,
}

/// What can be asked for beside the record.
///
/// Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeClusters.html
const FIELDS: [&str; 5] = ["ATTACHMENTS", "CONFIGURATIONS", "SETTINGS", "STATISTICS", "TAGS"];

/// What is asked for beside the record.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Included {
    include: Vec<String>,
}

impl Included {
    fn has(&self, what: &str) -> bool {
        self.include.iter().any(|item| item == what)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterView {
    #[serde(flatten)]
    cluster: Cluster,
    settings: Vec<Value>,
    statistics: Vec<Value>,
    tags: Vec<Tag>,
    configuration: Option<Value>,
}

/// The cluster that a call means, if it is there and ACTIVE.
pub(super) fn active<'a>(
    clusters: &'a std::collections::BTreeMap<String, ClusterEntry>,
    name: Option<&str>,
) -> Result<&'a ClusterEntry, ApiError> {
    let entry = clusters.get(&names::cluster_name(name)).ok_or_else(errors::cluster_not_found)?;
    if entry.cluster.status == ACTIVE { Ok(entry) } else { Err(errors::cluster_not_found()) }
}

/// CreateCluster: with the name of an ACTIVE cluster it answers with that cluster.
pub(super) fn create(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: ClusterInput = input.parse()?;
    let name = input.cluster_name.clone().unwrap_or_else(|| names::DEFAULT_CLUSTER.into());
    names::check("cluster", &name)?;
    tags::check(&input.tags)?;
    let providers = input.capacity_providers.clone().unwrap_or_default();
    capacity_providers::check_known(&call.region().ecs, &providers)?;
    let strategy = input.default_capacity_provider_strategy.clone().unwrap_or_default();
    check_strategy(&strategy, &providers)?;
    check_settings(input.settings.as_deref())?;
    let settings = input.settings.filter(|settings| !settings.is_empty());
    let settings = settings.unwrap_or_else(|| default_settings(&call.region().ecs));
    let arn = names::arn(&call.place, &format!("cluster/{name}"));
    let clusters = &mut call.region().ecs.clusters;
    if clusters.get(&name).is_none_or(|entry| entry.cluster.status != ACTIVE) {
        let cluster = Cluster {
            cluster_arn: arn,
            cluster_name: name.clone(),
            status: ACTIVE.into(),
            capacity_providers: providers,
            default_capacity_provider_strategy: strategy,
            service_connect_defaults: input.service_connect_defaults,
            ..Cluster::default()
        };
        let entry = ClusterEntry {
            cluster,
            tags: input.tags,
            settings,
            configuration: input.configuration,
            ..ClusterEntry::default()
        };
        clusters.insert(name.clone(), entry);
    }
    let entry = clusters.get(&name).ok_or_else(errors::cluster_not_found)?;
    answer(entry)
}

/// DescribeClusters.
pub(super) fn describe(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    struct Which {
        #[serde(default)]
        clusters: Vec<String>,
    }
    let included: Included = input.parse()?;
    errors::one_of("include", included.include.iter().map(String::as_str), &FIELDS)?;
    let mut which = input.parse::<Which>()?.clusters;
    if which.len() > 100 {
        return Err(errors::invalid_parameter("Clusters cannot have more than 100 elements"));
    }
    if which.is_empty() {
        which.push(names::DEFAULT_CLUSTER.into());
    }
    let place = call.place.clone();
    let clusters = &call.region().ecs.clusters;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in which {
        match clusters.get(super::resource_name(&name)) {
            Some(entry) => found.push(view(entry, &included)),
            None => failures.push(super::failure(&place, &name, "cluster")),
        }
    }
    Output::of(&json!({ "clusters": found, "failures": failures }))
}

/// ListClusters.
pub(super) fn list(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let active = call.region().ecs.clusters.values().filter(|entry| entry.cluster.status == ACTIVE);
    let arns: Vec<_> = active.map(|entry| entry.cluster.cluster_arn.clone()).collect();
    let (arns, next) = input.parse::<Page>()?.of(arns, 100, 100)?;
    Output::of(&json!({ "clusterArns": arns, "nextToken": next }))
}

/// UpdateCluster and UpdateClusterSettings.
pub(super) fn update(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: ClusterInput = input.parse()?;
    check_settings(input.settings.as_deref())?;
    let entry = active_mut(call, input.cluster.as_deref())?;
    if let Some(settings) = input.settings {
        entry.settings = settings;
    }
    if input.configuration.is_some() {
        entry.configuration = input.configuration;
    }
    if input.service_connect_defaults.is_some() {
        entry.cluster.service_connect_defaults = input.service_connect_defaults;
    }
    Output::of(&json!({ "cluster": view_all(entry) }))
}

/// DeleteCluster: only without services and tasks. The record stays, INACTIVE.
pub(super) fn delete(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: ClusterInput = input.parse()?;
    let entry = active_mut(call, input.cluster.as_deref())?;
    if entry.services.values().any(|service| service.service.status.is_active()) {
        return Err(ApiError::sender(
            "ClusterContainsServicesException",
            "The Cluster cannot be deleted while Services are active.",
        ));
    }
    if entry.tasks.values().any(|task| !task.is_stopped()) {
        return Err(ApiError::sender(
            "ClusterContainsTasksException",
            "The Cluster cannot be deleted while Tasks are active.",
        ));
    }
    entry.cluster.status = INACTIVE.into();
    entry.services.clear();
    entry.tasks.clear();
    answer(entry)
}

/// PutClusterCapacityProviders.
pub(super) fn put_capacity_providers(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: ClusterInput = input.parse()?;
    let providers = input
        .capacity_providers
        .ok_or_else(|| errors::invalid_parameter("Capacity providers cannot be null."))?;
    let strategy = input
        .default_capacity_provider_strategy
        .ok_or_else(|| errors::invalid_parameter("Default capacity provider strategy cannot be null."))?;
    capacity_providers::check_known(&call.region().ecs, &providers)?;
    check_strategy(&strategy, &providers)?;
    let entry = active_mut(call, input.cluster.as_deref())?;
    entry.cluster.capacity_providers = providers;
    entry.cluster.default_capacity_provider_strategy = strategy;
    Output::of(&json!({ "cluster": view_all(entry) }))
}

/// What the account says: a cluster that is given a value overrides it
/// (docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ClusterSetting.html).
fn default_settings(state: &EcsState) -> Vec<Value> {
    vec![json!({ "name": "containerInsights", "value": settings::container_insights(state) })]
}

fn check_settings(given: Option<&[Value]>) -> Result<(), ApiError> {
    let field = |name: &'static str| {
        let settings = given.unwrap_or_default().iter();
        settings.filter_map(move |setting| setting.get(name)?.as_str())
    };
    errors::one_of("name", field("name"), &["containerInsights"])?;
    errors::one_of("value", field("value"), settings::allowed("containerInsights"))
}

/// Limits of an item of a strategy.
///
/// Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProviderStrategyItem.html
const MOST_WEIGHT: u32 = 1_000;
const MOST_BASE: u32 = 100_000;

/// Checks a strategy against the providers of its cluster.
pub(super) fn check_strategy(strategy: &[StrategyItem], providers: &[String]) -> Result<(), ApiError> {
    // Either may be named by its ARN.
    let short = super::resource_name;
    let associated = |wanted: &str| providers.iter().any(|known| short(known) == short(wanted));
    if let Some(item) = strategy.iter().find(|item| !associated(&item.capacity_provider)) {
        return Err(errors::invalid_parameter(format!(
            "The specified capacity provider strategy contains a capacity provider that is not associated with \
             the cluster: {}. Associate the capacity provider with the cluster and try again.",
            item.capacity_provider
        )));
    }
    if strategy.iter().any(|item| item.weight > MOST_WEIGHT || item.base > MOST_BASE) {
        return Err(errors::invalid_parameter(format!(
            "The weight of a capacity provider must be between 0 and {MOST_WEIGHT}, its base between 0 and \
             {MOST_BASE}."
        )));
    }
    if strategy.iter().filter(|item| item.base > 0).count() > 1 {
        return Err(errors::invalid_parameter(
            "The specified capacity provider strategy cannot contain more than one capacity provider with a \
             base value defined.",
        ));
    }
    Ok(())
}

fn active_mut<'a>(call: &'a mut Call<'_>, name: Option<&str>) -> Result<&'a mut ClusterEntry, ApiError> {
    let clusters = &mut call.region().ecs.clusters;
    active(clusters, name)?;
    clusters.get_mut(&names::cluster_name(name)).ok_or_else(errors::cluster_not_found)
}

fn answer(entry: &ClusterEntry) -> Result<Output, ApiError> {
    Output::of(&json!({ "cluster": view_all(entry) }))
}

fn view_all(entry: &ClusterEntry) -> ClusterView {
    let include = ["SETTINGS", "TAGS", "CONFIGURATIONS"].map(str::to_owned).to_vec();
    view(entry, &Included { include })
}

fn view(entry: &ClusterEntry, included: &Included) -> ClusterView {
    let mut cluster = entry.cluster.clone();
    let count = |wanted: fn(&super::TaskEntry) -> bool| {
        u32::try_from(entry.tasks.values().filter(|task| wanted(task)).count()).unwrap_or(u32::MAX)
    };
    cluster.running_tasks_count = count(|task| task.task.last_status == super::TaskStatus::Running);
    cluster.pending_tasks_count = count(|task| task.task.last_status < super::TaskStatus::Running);
    let services = entry.services.values().filter(|service| service.service.status.is_active());
    cluster.active_services_count = u32::try_from(services.count()).unwrap_or(u32::MAX);
    ClusterView {
        settings: if included.has("SETTINGS") { entry.settings.clone() } else { Vec::new() },
        statistics: if included.has("STATISTICS") { statistics(entry, &cluster) } else { Vec::new() },
        tags: if included.has("TAGS") { entry.tags.clone() } else { Vec::new() },
        configuration: if included.has("CONFIGURATIONS") { entry.configuration.clone() } else { None },
        cluster,
    }
}

/// Everything runs on Fargate: the cloud has no container instances.
fn statistics(entry: &ClusterEntry, cluster: &Cluster) -> Vec<Value> {
    let draining = entry.services.values().filter(|service| service.service.status.is_draining()).count();
    let numbers = [
        ("runningEC2TasksCount", 0),
        ("runningFargateTasksCount", u64::from(cluster.running_tasks_count)),
        ("pendingEC2TasksCount", 0),
        ("pendingFargateTasksCount", u64::from(cluster.pending_tasks_count)),
        ("activeEC2ServiceCount", 0),
        ("activeFargateServiceCount", u64::from(cluster.active_services_count)),
        ("drainingEC2ServiceCount", 0),
        ("drainingFargateServiceCount", draining as u64),
    ];
    numbers.iter().map(|(name, value)| json!({ "name": name, "value": value.to_string() })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::ecs::testing::Caller;

    #[test]
    fn values_that_aws_does_not_have_are_refused() {
        let caller = Caller::new(true, 1.0);
        let with = |field: &str, value: Value| {
            let mut wish = json!({ "clusterName": "main", "capacityProviders": ["FARGATE"] });
            wish[field] = value;
            caller.err("CreateCluster", wish).1
        };
        assert_eq!(
            with("settings", json!([{ "name": "containerInsights", "value": "much" }])),
            "value should be one of [enabled,disabled,enhanced]"
        );
        let heavy = json!([{ "capacityProvider": "FARGATE", "weight": 1001 }]);
        assert!(with("defaultCapacityProviderStrategy", heavy).contains("between 0 and 1000"));
        assert_eq!(
            caller.err("DescribeClusters", json!({ "include": ["MUCH"] })).1,
            "include should be one of [ATTACHMENTS,CONFIGURATIONS,SETTINGS,STATISTICS,TAGS]"
        );
    }

    #[test]
    fn the_account_says_what_new_clusters_observe() {
        let caller = Caller::new(true, 1.0);
        let create =
            |wish: Value| caller.ok("CreateCluster", wish)["cluster"]["settings"][0]["value"].clone();
        assert_eq!(create(json!({ "clusterName": "early" })), "disabled");
        caller.ok("PutAccountSettingDefault", json!({ "name": "containerInsights", "value": "enhanced" }));
        assert_eq!(create(json!({ "clusterName": "late" })), "enhanced");
        let own = json!([{ "name": "containerInsights", "value": "enabled" }]);
        assert_eq!(create(json!({ "clusterName": "own", "settings": own })), "enabled");
    }
}
