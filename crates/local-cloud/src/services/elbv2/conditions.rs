//! Conditions of rules.
//!
//! Source: API_RuleCondition of the API reference.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::error::validation;
use crate::wire::ApiError;

/// A condition, in requests, in answers and as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Condition {
    /// `host-header`, `path-pattern`, …
    pub(crate) field: String,
    /// The old form for host names and paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<String>,
    /// Asked for only; see [`check_no_patterns`].
    #[serde(skip_serializing)]
    regex_values: Vec<String>,
    pub(crate) host_header_config: Option<Values>,
    pub(crate) path_pattern_config: Option<Values>,
    pub(crate) http_header_config: Option<HttpHeader>,
    pub(crate) query_string_config: Option<QueryString>,
    pub(crate) http_request_method_config: Option<Values>,
    pub(crate) source_ip_config: Option<Values>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Values {
    pub(crate) values: Vec<String>,
    #[serde(skip_serializing)]
    regex_values: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct HttpHeader {
    pub(crate) http_header_name: String,
    pub(crate) values: Vec<String>,
    #[serde(skip_serializing)]
    regex_values: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct QueryString {
    pub(crate) values: Vec<QueryPair>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct QueryPair {
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
}

/// Values that all conditions of a rule may have together
/// (docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html).
const MOST_VALUES: usize = 5;

/// Checks conditions and puts them into the form that AWS answers with.
pub(super) fn checked(conditions: &[Condition]) -> Result<Vec<Condition>, ApiError> {
    if conditions.is_empty() {
        return Err(validation("A condition must be specified"));
    }
    conditions.iter().try_for_each(check_no_patterns)?;
    check_once(conditions)?;
    let checked: Vec<Condition> = conditions.iter().map(check_one).collect::<Result<_, _>>()?;
    if checked.iter().map(Condition::count).sum::<usize>() > MOST_VALUES {
        let message = "You've reached the limit on the number of condition values per rule";
        return Err(ApiError::sender("TooManyConditionValues", message));
    }
    Ok(checked)
}

/// The load balancer compares with wildcards only.
fn check_no_patterns(condition: &Condition) -> Result<(), ApiError> {
    let configs = [&condition.host_header_config, &condition.path_pattern_config];
    let of_configs = configs.into_iter().flatten().map(|config| &config.regex_values);
    let of_header = condition.http_header_config.iter().map(|config| &config.regex_values);
    if of_configs.chain(of_header).chain([&condition.regex_values]).all(Vec::is_empty) {
        return Ok(());
    }
    let field = &condition.field;
    Err(validation(format!("the embedded cloud does not implement 'RegexValues' of '{field}' conditions")))
}

/// A rule has one of each of these at most
/// (docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-condition-types.html).
fn check_once(conditions: &[Condition]) -> Result<(), ApiError> {
    for field in ["host-header", "http-request-method", "path-pattern", "source-ip"] {
        if conditions.iter().filter(|condition| condition.field == field).count() > 1 {
            return Err(validation(format!("A rule can only have one '{field}' condition")));
        }
    }
    Ok(())
}

impl Condition {
    fn count(&self) -> usize {
        let lists = [
            &self.host_header_config,
            &self.path_pattern_config,
            &self.http_request_method_config,
            &self.source_ip_config,
        ];
        lists.into_iter().flatten().map(|values| values.values.len()).sum::<usize>()
            + self.http_header_config.as_ref().map_or(0, |header| header.values.len())
            + self.query_string_config.as_ref().map_or(0, |query| query.values.len())
    }
}

fn check_one(condition: &Condition) -> Result<Condition, ApiError> {
    let field = condition.field.as_str();
    let mut kept = Condition { field: field.to_owned(), ..Condition::default() };
    match field {
        "host-header" => {
            let values = texts(condition, condition.host_header_config.as_ref())?;
            kept.values.clone_from(&values);
            kept.host_header_config = Some(Values { values, ..Values::default() });
        }
        "path-pattern" => {
            let values = texts(condition, condition.path_pattern_config.as_ref())?;
            kept.values.clone_from(&values);
            kept.path_pattern_config = Some(Values { values, ..Values::default() });
        }
        "http-header" => kept.http_header_config = Some(header(condition)?),
        "query-string" => kept.query_string_config = Some(query(condition)?),
        "http-request-method" => kept.http_request_method_config = Some(methods(condition)?),
        "source-ip" => kept.source_ip_config = Some(sources(condition)?),
        _ => {
            return Err(validation(format!(
                "Condition field '{field}' must be one of '[path-pattern, host-header, http-header, http-request-method, query-string, source-ip]'"
            )));
        }
    }
    Ok(kept)
}

fn too_long(value: &str, name: &str, most: usize) -> Result<(), ApiError> {
    if value.chars().count() > most {
        return Err(validation(format!("The '{name}' value is too long; the limit is '{most}'")));
    }
    Ok(())
}

/// Host names or paths, in the old or in the new form.
fn texts(condition: &Condition, config: Option<&Values>) -> Result<Vec<String>, ApiError> {
    let field = &condition.field;
    let values = match config {
        Some(config) => &config.values,
        None if condition.values.len() > 1 => {
            return Err(validation(format!(
                "The '{field}' field contains too many values; the limit is '1'"
            )));
        }
        None => &condition.values,
    };
    if values.is_empty() || values.iter().any(String::is_empty) {
        return Err(validation("A condition value must be specified"));
    }
    values.iter().try_for_each(|value| too_long(value, field, 128))?;
    Ok(values.clone())
}

fn missing_config(name: &str, field: &str) -> ApiError {
    validation(format!("A '{name}' must be specified with '{field}'"))
}

fn missing_value(field: &str) -> ApiError {
    validation(format!("A '{field}' value must be specified"))
}

fn header(condition: &Condition) -> Result<HttpHeader, ApiError> {
    let config = condition.http_header_config.as_ref();
    let config = config.ok_or_else(|| missing_config("HttpHeaderConfig", "http-header"))?;
    if config.http_header_name.is_empty() {
        return Err(validation("A 'HttpHeaderName' must be specified in 'HttpHeaderConfig'"));
    }
    too_long(&config.http_header_name, "HttpHeaderName", 40)?;
    if config.http_header_name.eq_ignore_ascii_case("host") {
        return Err(validation(
            "The 'HttpHeaderName' value must not be 'Host'; use a 'host-header' condition instead",
        ));
    }
    if config.values.is_empty() {
        return Err(missing_value("http-header"));
    }
    config.values.iter().try_for_each(|value| too_long(value, "http-header", 128))?;
    Ok(config.clone())
}

fn query(condition: &Condition) -> Result<QueryString, ApiError> {
    let config = condition.query_string_config.as_ref();
    let config = config.ok_or_else(|| missing_config("QueryStringConfig", "query-string"))?;
    if config.values.is_empty() {
        return Err(missing_value("query-string"));
    }
    for pair in &config.values {
        let Some(value) = &pair.value else {
            return Err(validation("A 'Value' must be specified in 'QueryStringKeyValuePair'"));
        };
        too_long(pair.key.as_deref().unwrap_or_default(), "Key", 128)?;
        too_long(value, "Value", 128)?;
    }
    Ok(config.clone())
}

fn methods(condition: &Condition) -> Result<Values, ApiError> {
    let config = condition.http_request_method_config.as_ref();
    let config = config.ok_or_else(|| missing_config("HttpRequestMethodConfig", "http-request-method"))?;
    if config.values.is_empty() {
        return Err(missing_value("http-request-method"));
    }
    for method in &config.values {
        too_long(method, "http-request-method", 40)?;
        if !method.chars().all(|letter| letter.is_ascii_uppercase() || matches!(letter, '-' | '_')) {
            return Err(validation(
                "The 'http-request-method' value is invalid; the allowed characters are A-Z, hyphen and underscore",
            ));
        }
    }
    Ok(config.clone())
}

fn sources(condition: &Condition) -> Result<Values, ApiError> {
    let config = condition.source_ip_config.as_ref();
    let config = config.ok_or_else(|| missing_config("SourceIpConfig", "source-ip"))?;
    if config.values.is_empty() {
        return Err(missing_value("source-ip"));
    }
    if let Some(wrong) = config.values.iter().find(|value| value.parse::<IpNet>().is_err()) {
        return Err(validation(format!("The 'source-ip' value '{wrong}' must be in CIDR format")));
    }
    Ok(config.clone())
}
