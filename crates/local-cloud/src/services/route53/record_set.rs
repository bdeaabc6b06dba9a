//! A resource record set.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::domain;

/// Records of one name and type, and how they are chosen.
///
/// Source: docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct RecordSet {
    /// Normalized.
    pub(crate) name: String,
    /// `A`, `CNAME`, …
    #[serde(rename = "Type")]
    pub(crate) kind: String,
    /// Tells sets of one name and type apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) set_identifier: Option<String>,
    /// Share among the sets of the name: 0 to 255.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weight: Option<i64>,
    /// For latency routing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) geo_location: Option<Value>,
    /// `PRIMARY` or `SECONDARY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failover: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) multi_value_answer: Option<bool>,
    /// Seconds; not on aliases.
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<i64>,
    /// Not on aliases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) resource_records: Vec<ResourceRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alias_target: Option<AliasTarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health_check_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cidr_routing_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) geo_proximity_location: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traffic_policy_instance_id: Option<String>,
}

/// One value.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ResourceRecord {
    /// As in a zone file.
    pub(crate) value: String,
}

/// Another name whose addresses are answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct AliasTarget {
    /// Zone of the target: this zone, or that of AWS's service.
    pub(crate) hosted_zone_id: String,
    /// Name of the target.
    #[serde(rename = "DNSName")]
    pub(crate) dns_name: String,
    /// Whether the target's health counts.
    pub(crate) evaluate_target_health: bool,
}

/// What a record set is found and ordered by.
pub(super) type Key<'a> = (Vec<&'a str>, &'a str, &'a str);

impl RecordSet {
    /// A set of plain records.
    pub(super) fn of(name: &str, kind: &str, ttl: i64, values: impl IntoIterator<Item = String>) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            ttl: Some(ttl),
            resource_records: values.into_iter().map(|value| ResourceRecord { value }).collect(),
            ..Self::default()
        }
    }

    /// Its name as DNS asks for it: `*.example.com`.
    pub(crate) fn plain_name(&self) -> String {
        domain::plain(&self.name)
    }

    /// What it is found and ordered by: labels reversed, type, identifier.
    pub(super) fn key(&self) -> Key<'_> {
        (domain::order(&self.name), &self.kind, self.set_identifier.as_deref().unwrap_or(""))
    }

    /// Whether it needs a set identifier.
    pub(super) fn is_routed(&self) -> bool {
        self.weight.is_some()
            || self.region.is_some()
            || self.failover.is_some()
            || self.geo_location.is_some()
            || self.multi_value_answer.is_some()
            || self.cidr_routing_config.is_some()
            || self.geo_proximity_location.is_some()
    }

    /// Whether both say the same; values in any order.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let sorted = |set: &Self| {
            let mut set = set.clone();
            set.resource_records.sort();
            if let Some(alias) = &mut set.alias_target {
                alias.dns_name = alias.dns_name.trim_end_matches('.').to_ascii_lowercase();
            }
            set
        };
        sorted(self) == sorted(other)
    }

    /// `[name='a.', type='A']`, as errors call it.
    pub(super) fn described(&self) -> String {
        match &self.set_identifier {
            Some(id) => format!("[name='{}', type='{}', set-identifier='{id}']", self.name, self.kind),
            None => format!("[name='{}', type='{}']", self.name, self.kind),
        }
    }
}
