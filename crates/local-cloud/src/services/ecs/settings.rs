//! Account settings: kept and shown; the cloud always works with the long ARNs.
//!
//! Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PutAccountSetting.html

use serde::Deserialize;
use serde_json::{Value, json};

use super::pages::Page;
use super::{Call, EcsState, errors};
use crate::wire::{ApiError, Input, Output};

/// Names with AWS's defaults.
const SETTINGS: [(&str, &str); 12] = [
    ("awsvpcTrunking", "disabled"),
    ("containerInsights", "disabled"),
    ("containerInstanceLongArnFormat", "enabled"),
    ("defaultLogDriverMode", "non-blocking"),
    ("dualStackIPv6", "enabled"),
    ("fargateEventWindows", "disabled"),
    ("fargateFIPSMode", "disabled"),
    ("fargateTaskRetirementWaitPeriod", "7"),
    ("guardDutyActivate", "off"),
    ("serviceLongArnFormat", "enabled"),
    ("tagResourceAuthorization", "off"),
    ("taskLongArnFormat", "enabled"),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SettingInput {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    principal_arn: Option<String>,
    #[serde(default)]
    effective_settings: bool,
}

/// PutAccountSetting and PutAccountSettingDefault.
pub(super) fn put(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: SettingInput = input.parse()?;
    let name = known(input.name.as_deref())?;
    let value = input.value.clone().ok_or_else(|| errors::invalid_parameter("value is required."))?;
    if !allowed(name).contains(&value.as_str()) {
        return Err(errors::invalid_parameter(format!(
            "The specified value {value} is not valid for the setting {name}. Valid values: {}",
            allowed(name).join(", ")
        )));
    }
    call.region().ecs.settings.insert(name.into(), value.clone());
    Output::of(&json!({ "setting": show(&principal(call, &input), name, &value) }))
}

/// DeleteAccountSetting: back to the default.
pub(super) fn delete(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: SettingInput = input.parse()?;
    let name = known(input.name.as_deref())?;
    let value = call.region().ecs.settings.remove(name).unwrap_or_else(|| default_of(name).into());
    Output::of(&json!({ "setting": show(&principal(call, &input), name, &value) }))
}

/// ListAccountSettings: those that were changed, or all with `effectiveSettings`.
pub(super) fn list(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let page: Page = input.parse()?;
    let input: SettingInput = input.parse()?;
    let wanted = input.name.as_deref().map(|name| known(Some(name))).transpose()?;
    let principal = principal(call, &input);
    let changed = &call.region().ecs.settings;
    let mut shown = Vec::new();
    for (name, default) in SETTINGS {
        let value = match changed.get(name) {
            Some(value) => value.as_str(),
            None if input.effective_settings => default,
            None => continue,
        };
        let matches = wanted.is_none_or(|wanted| wanted == name)
            && input.value.as_deref().is_none_or(|wanted| wanted == value);
        if matches {
            shown.push(show(&principal, name, value));
        }
    }
    let (settings, next) = page.of(shown, 100, 100)?;
    Output::of(&json!({ "settings": settings, "nextToken": next }))
}

fn principal(call: &Call<'_>, input: &SettingInput) -> String {
    input.principal_arn.clone().unwrap_or_else(|| call.global_arn("iam", "root"))
}

fn show(principal: &str, name: &str, value: &str) -> Value {
    let kind = if name == "guardDutyActivate" { "aws_managed" } else { "user" };
    json!({ "name": name, "value": value, "principalArn": principal, "type": kind })
}

fn known(name: Option<&str>) -> Result<&'static str, ApiError> {
    let name = name.unwrap_or_default();
    SETTINGS.iter().map(|(known, _)| *known).find(|known| *known == name).ok_or_else(|| {
        let names: Vec<_> = SETTINGS.iter().map(|(known, _)| *known).collect();
        errors::invalid_parameter(format!("unknown should be one of [{}]", names.join(",")))
    })
}

/// The value of `containerInsights` that new clusters get.
pub(super) fn container_insights(state: &EcsState) -> &str {
    let changed = state.settings.get("containerInsights").map(String::as_str);
    changed.unwrap_or_else(|| default_of("containerInsights"))
}

fn default_of(name: &str) -> &'static str {
    SETTINGS.iter().find(|(known, _)| *known == name).map_or("", |(_, default)| default)
}

pub(super) fn allowed(name: &str) -> &'static [&'static str] {
    match name {
        "containerInsights" => &["enabled", "disabled", "enhanced"],
        "defaultLogDriverMode" => &["blocking", "non-blocking"],
        "fargateTaskRetirementWaitPeriod" => &["0", "7", "14"],
        "guardDutyActivate" | "tagResourceAuthorization" => &["on", "off"],
        _ => &["enabled", "disabled", "on", "off"],
    }
}
