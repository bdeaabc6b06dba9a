//! Names and ARNs: every ECS parameter that names a resource takes either.

use rand::Rng;

use super::errors;
use crate::wire::ApiError;
use crate::world::{Arn, Partition};

/// The cluster of calls that name none.
pub(super) const DEFAULT_CLUSTER: &str = "default";

/// Which service, in which cluster. Short names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServiceName {
    /// Name of the cluster.
    pub(crate) cluster: String,
    /// Name of the service.
    pub(crate) service: String,
}

impl ServiceName {
    /// Of names or ARNs that belong together; no cluster means `default`.
    pub(crate) fn new(cluster: Option<&str>, service: &str) -> Self {
        Self { cluster: cluster_name(cluster), service: resource_name(service).to_owned() }
    }

    /// Reads what a call gives: names or ARNs; no cluster means `default`.
    ///
    /// # Errors
    /// See [`resource_in`].
    pub(super) fn of_call(cluster: Option<&str>, service: &str) -> Result<Self, ApiError> {
        let cluster = cluster_name(cluster);
        let service = resource_in(&cluster, service)?.to_owned();
        Ok(Self { cluster, service })
    }

    /// `service/CLUSTER/SERVICE`
    pub(super) fn resource(&self) -> String {
        format!("service/{}/{}", self.cluster, self.service)
    }
}

/// The short name at the end of a name or an ARN of any form.
pub(crate) fn resource_name(name_or_arn: &str) -> &str {
    match Arn::parse(name_or_arn) {
        Some(arn) => arn.resource.rsplit('/').next().unwrap_or(arn.resource),
        None => name_or_arn,
    }
}

/// The short name of a service or a task, by its name or an ARN, in a call about `cluster`.
///
/// # Errors
/// `InvalidParameterException` if the ARN is of another cluster. ARNs of the old form name none.
pub(super) fn resource_in<'a>(cluster: &str, name_or_arn: &'a str) -> Result<&'a str, ApiError> {
    let arn = Arn::parse(name_or_arn);
    let of_kind = arn.as_ref().and_then(|arn| arn.resource.split_once('/'));
    match of_kind.and_then(|(_, rest)| rest.split_once('/')) {
        // In these words: github.com/docker-archive/compose-cli/issues/2086
        Some((other, _)) if other != cluster => Err(errors::invalid_parameter(format!(
            "Invalid identifier: Identifier is for cluster {other}. Your cluster is {cluster}"
        ))),
        _ => Ok(resource_name(name_or_arn)),
    }
}

/// The short name of the cluster that a call means.
pub(super) fn cluster_name(cluster: Option<&str>) -> String {
    match cluster {
        Some(name) if !name.is_empty() => resource_name(name).to_owned(),
        _ => DEFAULT_CLUSTER.to_owned(),
    }
}

/// An ARN of ECS.
pub(super) fn arn(place: &Partition, resource: &str) -> String {
    Arn { service: "ecs", region: &place.region, account: &place.account, resource }.to_string()
}

/// An id of a task set or a deployment: `ecs-svc/1234567890123456789`.
pub(super) fn deployment_id() -> String {
    // AWS's have nineteen digits, which fit 63 bits.
    let number: u64 = rand::rng().random_range(1_000_000_000_000_000_000..9_223_372_036_854_775_807);
    format!("ecs-svc/{number}")
}

/// Checks a name that a caller chooses: up to 255 letters, digits, hyphens and underscores.
pub(super) fn check(what: &str, name: &str) -> Result<(), ApiError> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if name.is_empty() || name.len() > 255 || !name.chars().all(allowed) {
        return Err(errors::invalid_parameter(format!(
            "The {what} name '{name}' is not valid: up to 255 letters, digits, hyphens and underscores are allowed."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_of_the_cluster_that_the_call_is_about() {
        let arn = |resource: &str| format!("arn:aws:ecs:eu-central-1:123456789012:{resource}");
        assert_eq!(resource_in("main", "web"), Ok("web"));
        assert_eq!(resource_in("main", &arn("service/main/web")), Ok("web"));
        assert_eq!(resource_in("main", &arn("task/0123")), Ok("0123"));
        let error = ServiceName::of_call(None, &arn("service/main/web")).expect_err("refused");
        assert_eq!(error.code, "InvalidParameterException");
        assert_eq!(
            error.message,
            "Invalid identifier: Identifier is for cluster main. Your cluster is default"
        );
    }
}
