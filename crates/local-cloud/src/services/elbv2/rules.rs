//! Rules of listeners.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::actions::{self, Action};
use super::conditions::{self, Condition};
use super::error::{configuration, in_range, no_listener, no_load_balancer, no_rule, validation};
use super::page::page;
use super::{Elbv2State, Listener, LoadBalancer, LoadBalancerType, names, tags};
use crate::services::Call;
use crate::services::tag::{Tag, Tags};
use crate::wire::{ApiError, Output};

/// A rule that is not a listener's default.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) arn: String,
    pub(crate) listener_arn: String,
    /// The lowest is tried first.
    pub(crate) priority: u32,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) actions: Vec<Action>,
    pub(super) tags: Tags,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    rule_arn: String,
    priority: String,
    conditions: Vec<Condition>,
    actions: Vec<Action>,
    is_default: bool,
}

fn shown(rule: &Rule) -> Shown {
    Shown {
        rule_arn: rule.arn.clone(),
        priority: rule.priority.to_string(),
        conditions: rule.conditions.clone(),
        actions: rule.actions.clone(),
        is_default: false,
    }
}

fn default_of(listener: &Listener) -> Shown {
    Shown {
        rule_arn: listener.default_rule_arn.clone(),
        priority: "default".to_owned(),
        conditions: vec![],
        actions: listener.default_actions.clone(),
        is_default: true,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput {
    rules: Vec<Shown>,
    next_marker: Option<String>,
}

fn list(rules: Vec<Shown>) -> Result<Output, ApiError> {
    Output::of(&ListOutput { rules, next_marker: None })
}

fn balancer_of<'a>(elbv2: &'a Elbv2State, listener: &str) -> Result<&'a LoadBalancer, ApiError> {
    let arn = &elbv2.listeners.get(listener).ok_or_else(no_listener)?.load_balancer_arn;
    elbv2.load_balancers.get(arn).ok_or_else(|| no_load_balancer(arn))
}

fn check_priority(priority: i64) -> Result<u32, ApiError> {
    in_range(priority, "priority", 1, 50_000)?;
    u32::try_from(priority).map_err(|_| validation("A priority must be specified"))
}

fn in_use(priority: u32) -> ApiError {
    ApiError::sender("PriorityInUse", format!("Priority '{priority}' is currently in use"))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    #[serde(default)]
    listener_arn: String,
    priority: Option<i64>,
    #[serde(default)]
    conditions: Vec<Condition>,
    #[serde(default)]
    actions: Vec<Action>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    transforms: Vec<IgnoredAny>,
}

/// Requests reach their targets as they came.
fn check_transforms(transforms: &[IgnoredAny]) -> Result<(), ApiError> {
    if transforms.is_empty() {
        return Ok(());
    }
    Err(validation("the embedded cloud does not implement the 'Transforms' of rules"))
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    names::check_arn(&input.listener_arn, names::Kind::Listener)?;
    actions::check_arns(&input.actions)?;
    check_transforms(&input.transforms)?;
    tags::check(&input.tags)?;
    let place = call.place.clone();
    let elbv2 = &mut call.region().elbv2;
    let balancer = balancer_of(elbv2, &input.listener_arn)?;
    if balancer.kind != LoadBalancerType::Application {
        return Err(configuration("Rules are only supported by listeners of application load balancers"));
    }
    let priority = input.priority.ok_or_else(|| validation("A priority must be specified"))?;
    let priority = check_priority(priority)?;
    let taken = |rule: &Rule| rule.listener_arn == input.listener_arn && rule.priority == priority;
    if elbv2.rules.values().any(taken) {
        return Err(in_use(priority));
    }
    let resource =
        format!("listener-rule/{}/{}", names::tail(&input.listener_arn, "listener/"), names::fresh_id());
    let rule = Rule {
        arn: names::arn(&place, &resource),
        listener_arn: input.listener_arn.clone(),
        priority,
        conditions: conditions::checked(&input.conditions)?,
        actions: actions::checked(elbv2, balancer, &input.actions, "actions")?,
        tags: input.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect(),
    };
    let answer = list(vec![shown(&rule)])?;
    elbv2.rules.insert(rule.arn.clone(), rule);
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyInput {
    #[serde(default)]
    rule_arn: String,
    conditions: Option<Vec<Condition>>,
    actions: Option<Vec<Action>>,
    #[serde(default)]
    transforms: Vec<IgnoredAny>,
    /// There are none that could be taken away.
    #[serde(default)]
    reset_transforms: bool,
}

/// Conditions and actions are replaced as whole lists; what is not given stays.
pub(super) fn modify(call: &mut Call<'_>, input: &ModifyInput) -> Result<Output, ApiError> {
    names::check_arn(&input.rule_arn, names::Kind::Rule)?;
    actions::check_arns(input.actions.as_deref().unwrap_or_default())?;
    check_transforms(&input.transforms)?;
    let elbv2 = &mut call.region().elbv2;
    if is_default(elbv2, &input.rule_arn) {
        let message = format!("Default rule '{}' cannot be modified", input.rule_arn);
        return Err(ApiError::sender("OperationNotPermitted", message));
    }
    let mut rule = elbv2.rules.get(&input.rule_arn).ok_or_else(no_rule)?.clone();
    if input.conditions.is_none() && input.actions.is_none() && !input.reset_transforms {
        return Err(validation("Either conditions or actions must be specified"));
    }
    if let Some(conditions) = &input.conditions {
        rule.conditions = conditions::checked(conditions)?;
    }
    if let Some(actions) = &input.actions {
        rule.actions = actions::checked(elbv2, balancer_of(elbv2, &rule.listener_arn)?, actions, "actions")?;
    }
    let answer = list(vec![shown(&rule)])?;
    elbv2.rules.insert(rule.arn.clone(), rule);
    Ok(answer)
}

fn is_default(elbv2: &Elbv2State, arn: &str) -> bool {
    elbv2.listeners.values().any(|listener| listener.default_rule_arn == arn)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ArnInput {
    #[serde(default)]
    rule_arn: String,
}

pub(super) fn delete(call: &mut Call<'_>, input: &ArnInput) -> Result<Output, ApiError> {
    names::check_arn(&input.rule_arn, names::Kind::Rule)?;
    let elbv2 = &mut call.region().elbv2;
    if is_default(elbv2, &input.rule_arn) {
        let message = format!("Default rule '{}' cannot be deleted", input.rule_arn);
        return Err(ApiError::sender("OperationNotPermitted", message));
    }
    elbv2.rules.shift_remove(&input.rule_arn).ok_or_else(no_rule)?;
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    listener_arn: Option<String>,
    #[serde(default)]
    rule_arns: Vec<String>,
    marker: Option<String>,
    page_size: Option<i64>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    names::check_arns(&input.listener_arn, names::Kind::Listener)?;
    names::check_arns(&input.rule_arns, names::Kind::Rule)?;
    let elbv2 = &call.region().elbv2;
    let found = match (&input.listener_arn, input.rule_arns.is_empty()) {
        (Some(arn), true) => {
            let listener = elbv2.listeners.get(arn).ok_or_else(no_listener)?;
            let mut rules: Vec<&Rule> =
                elbv2.rules.values().filter(|rule| rule.listener_arn == *arn).collect();
            rules.sort_by_key(|rule| rule.priority);
            rules.into_iter().map(shown).chain([default_of(listener)]).collect()
        }
        (None, false) => input.rule_arns.iter().map(|arn| find(elbv2, arn)).collect::<Result<_, _>>()?,
        (None, true) => {
            return Err(validation("You must specify either listener rule ARNs or a listener ARN"));
        }
        (Some(_), false) => {
            return Err(validation(
                "Listener rule ARNs and a listener ARN cannot be specified at the same time",
            ));
        }
    };
    let (rules, next_marker) = page(found, input.page_size, input.marker.as_deref())?;
    Output::of(&ListOutput { rules, next_marker })
}

fn find(elbv2: &Elbv2State, arn: &str) -> Result<Shown, ApiError> {
    if let Some(rule) = elbv2.rules.get(arn) {
        return Ok(shown(rule));
    }
    let listener = elbv2.listeners.values().find(|listener| listener.default_rule_arn == arn);
    listener.map(default_of).ok_or_else(no_rule)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PrioritiesInput {
    #[serde(default)]
    rule_priorities: Vec<PriorityInput>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PriorityInput {
    #[serde(default)]
    rule_arn: String,
    priority: Option<i64>,
}

/// All priorities change at once, or none.
pub(super) fn set_priorities(call: &mut Call<'_>, input: &PrioritiesInput) -> Result<Output, ApiError> {
    names::check_arns(input.rule_priorities.iter().map(|pair| &pair.rule_arn), names::Kind::Rule)?;
    let elbv2 = &mut call.region().elbv2;
    let mut new: Vec<(String, u32)> = Vec::new();
    for pair in &input.rule_priorities {
        if is_default(elbv2, &pair.rule_arn) {
            let message = "The priority of a default rule cannot be set";
            return Err(ApiError::sender("OperationNotPermitted", message));
        }
        let rule = elbv2.rules.get(&pair.rule_arn).ok_or_else(no_rule)?;
        let priority = pair.priority.ok_or_else(|| validation("A priority must be specified"))?;
        let priority = check_priority(priority)?;
        if new.iter().any(|(arn, other)| *other == priority || *arn == rule.arn) {
            return Err(validation(format!("Priority '{priority}' was provided multiple times")));
        }
        new.push((rule.arn.clone(), priority));
    }
    for (arn, priority) in &new {
        let listener = elbv2.rules.get(arn).map(|rule| rule.listener_arn.as_str());
        let taken = |rule: &Rule| {
            Some(rule.listener_arn.as_str()) == listener
                && rule.priority == *priority
                && !new.iter().any(|(moved, _)| *moved == rule.arn)
        };
        if elbv2.rules.values().any(taken) {
            return Err(in_use(*priority));
        }
    }
    let mut rules = Vec::new();
    for (arn, priority) in new {
        if let Some(rule) = elbv2.rules.get_mut(&arn) {
            rule.priority = priority;
            rules.push(shown(rule));
        }
    }
    list(rules)
}
