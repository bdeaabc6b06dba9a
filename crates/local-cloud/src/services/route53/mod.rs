//! Amazon Route 53: hosted zones and their records, which the cloud's DNS server answers from.
//!
//! Changes take effect at once, so GetChange says INSYNC from the start. Health checks are kept as
//! data and pass.
//!
//! Source: docs.aws.amazon.com/Route53/latest/APIReference

mod batch;
mod delegation_sets;
mod domain;
mod health_checks;
mod ids;
mod listing;
mod query_logging;
mod record_set;
mod request;
mod routing;
mod tags;
mod values;
mod vpcs;
mod zones;

use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Call, missing};
use crate::wire::{ApiError, Input, Output, Service};
use crate::world::Account;

pub(crate) use record_set::RecordSet;
pub(crate) use request::route;
pub(crate) use zones::Zone;

/// What the service holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Route53State {
    /// By id, without `/hostedzone/`.
    pub(crate) zones: BTreeMap<String, Zone>,
    /// By id, oldest first; only the latest are kept.
    changes: IndexMap<String, Change>,
    /// Reusable ones, by id without `/delegationset/`.
    delegation_sets: BTreeMap<String, delegation_sets::DelegationSet>,
    /// By id.
    query_logging: BTreeMap<String, query_logging::QueryLogging>,
    /// By id.
    health_checks: BTreeMap<String, health_checks::HealthCheck>,
}

impl Route53State {
    /// How many record sets were made, beside the two that each zone has from the start.
    pub(crate) fn records_made(&self) -> usize {
        self.zones.values().map(|zone| zone.records.len().saturating_sub(2)).sum()
    }
}

/// A change that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Change {
    submitted: Timestamp,
    comment: Option<String>,
}

/// How many changes can be asked for.
const CHANGES_KEPT: usize = 1000;

/// The zone that every account has from the start.
pub(crate) const SEEDED_ZONE: &str = "pipeline.test.";

/// Carries out `operation`.
pub(super) fn call(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    match operation {
        "CreateHostedZone" => zones::create(call, input.parse()?),
        "GetHostedZone" => zones::get(call, &input.parse()?),
        "ListHostedZones" => zones::list(call, &input.parse()?),
        "ListHostedZonesByName" => zones::list_by_name(call, &input.parse()?),
        "GetHostedZoneCount" => zones::count(call),
        "UpdateHostedZoneComment" => zones::update_comment(call, input.parse()?),
        "DeleteHostedZone" => zones::delete(call, &input.parse()?),
        "ChangeResourceRecordSets" => batch::change(call, input.parse()?),
        "ListResourceRecordSets" => listing::list(call, &input.parse()?),
        "GetChange" => batch::get_change(call, &input.parse()?),
        "ChangeTagsForResource" => tags::change(call, input.parse()?),
        "ListTagsForResource" => tags::list(call, &input.parse()?),
        "ListTagsForResources" => tags::list_many(call, &input.parse()?),
        "AssociateVPCWithHostedZone" => vpcs::associate(call, input.parse()?),
        "DisassociateVPCFromHostedZone" => vpcs::disassociate(call, &input.parse()?),
        "ListHostedZonesByVPC" => vpcs::list_zones(call, &input.parse()?),
        "CreateReusableDelegationSet" => delegation_sets::create(call, &input.parse()?),
        "GetReusableDelegationSet" => delegation_sets::get(call, &input.parse()?),
        "ListReusableDelegationSets" => delegation_sets::list(call, &input.parse()?),
        "DeleteReusableDelegationSet" => delegation_sets::delete(call, &input.parse()?),
        "CreateQueryLoggingConfig" => query_logging::create(call, &input.parse()?),
        "GetQueryLoggingConfig" => query_logging::get(call, &input.parse()?),
        "ListQueryLoggingConfigs" => query_logging::list(call, &input.parse()?),
        "DeleteQueryLoggingConfig" => query_logging::delete(call, &input.parse()?),
        "GetDNSSEC" => zones::dnssec(call, &input.parse()?),
        "CreateHealthCheck" => health_checks::create(call, input.parse()?),
        "GetHealthCheck" => health_checks::get(call, &input.parse()?),
        "GetHealthCheckCount" => health_checks::count(call),
        "GetHealthCheckStatus" => health_checks::status(call, &input.parse()?),
        "ListHealthChecks" => health_checks::list(call, &input.parse()?),
        "UpdateHealthCheck" => health_checks::update(call, input.parse()?),
        "DeleteHealthCheck" => health_checks::delete(call, &input.parse()?),
        _ => Err(missing(Service::Route53, operation)),
    }
}

/// Adds the zone that every account has from the start.
pub(super) fn seed(account: &mut Account) {
    // The same id everywhere, so that an example's configuration may name it.
    let id = "Z00000000PIPELINETEST".to_owned();
    let zone = Zone::new(SEEDED_ZONE, "pipeline".into(), Some("Made by the embedded cloud".into()), None);
    account.route53.zones.insert(id, zone);
}

#[cfg(test)]
mod tests;
