//! The stage `route53`: the name under which users reach the app.
//!
//! An alias record to the load balancer. The hosted zone is looked up, never made: it belongs to whoever
//! owns the domain.

#![warn(missing_docs)]

mod record;
mod zone;

use std::sync::Arc;

use pipeline_aws::{Aws, AwsStage, Kit, Known, Reading, Resource};
use pipeline_sdk::{Context, JsonSchema, Maybe, Recorded, StageError, StageKind, async_trait, schemars};
use serde::{Deserialize, Serialize};

use crate::record::AliasRecord;
use crate::zone::Zone;

/// The stage kind `route53`.
pub fn kind(aws: Arc<Aws>) -> StageKind {
    Kit::kind(Route53 { aws })
}

/// The inputs of the stage `route53`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route53Inputs {
    /// The hosted zone's domain, such as `example.com`.
    #[serde(default)]
    pub domain: Option<String>,
    /// The hosted zone's id, where the domain does not tell: there may be a public and a private zone.
    #[serde(default)]
    pub zone_id: Option<String>,
    /// The name below the domain. Default: `{name}-{environment}`. An empty name is the domain itself.
    #[serde(default)]
    pub record_name: Option<String>,
    /// DNS name of the load balancer: `${{ stages.balancer.dns_name }}`.
    pub target_dns_name: Maybe<String>,
    /// Hosted zone id of the load balancer: `${{ stages.balancer.zone_id }}`.
    pub target_zone_id: Maybe<String>,
    /// Whether Route 53 answers with the record only while the load balancer has healthy targets.
    #[serde(default = "yes")]
    pub evaluate_target_health: bool,
    /// Whether the app is reached by HTTPS: the scheme of `url`.
    #[serde(default = "yes")]
    pub https: bool,
    /// Take over a record of this name that was not made by this pipeline.
    #[serde(default)]
    pub overwrite: bool,
}

fn yes() -> bool {
    true
}

/// The outputs of the stage `route53`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Route53Outputs {
    /// The full name, without a dot at its end.
    pub fqdn: String,
    /// Where users reach the app.
    pub url: String,
    /// Id of the hosted zone.
    pub zone_id: String,
}

struct Route53 {
    aws: Arc<Aws>,
}

/// The full name of the record.
fn fqdn(cx: &Context, inputs: &Route53Inputs, zone: &Zone) -> Result<String, StageError> {
    let canonical = cx.pipeline().canonical();
    let record = inputs.record_name.as_deref().unwrap_or(&canonical).trim_end_matches('.');
    let domain = zone.domain();
    let name = match record {
        "" => domain.to_owned(),
        full if full == domain || full.ends_with(&format!(".{domain}")) => full.to_owned(),
        label => format!("{label}.{domain}"),
    };
    check(&name)?;
    Ok(name.to_ascii_lowercase())
}

/// The limits of DNS itself: RFC 1035, section 2.3.4.
fn check(name: &str) -> Result<(), StageError> {
    let wrong = |what: String| Err(StageError::input("record_name", what));
    if name.len() > 253 {
        return wrong(format!("`{name}` has {} characters; a DNS name has at most 253", name.len()));
    }
    if let Some(label) = name.split('.').find(|label| label.is_empty() || label.len() > 63) {
        return wrong(format!("`{label}` in `{name}` has {} characters; a label has 1 to 63", label.len()));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
    match name.chars().find(|c| !legal(*c)) {
        Some(bad) => {
            wrong(format!("`{bad}` is not allowed in a DNS name; write international names in punycode"))
        }
        None => Ok(()),
    }
}

#[async_trait]
impl AwsStage for Route53 {
    const KIND: &'static str = "route53";
    const SUMMARY: &'static str = "The app's name, an alias of the load balancer (Amazon Route 53)";
    const TAKEOVER_INPUT: &'static str = "overwrite";
    type Inputs = Route53Inputs;
    type Facts = Zone;
    type Outputs = Route53Outputs;

    fn adopts(&self, inputs: &Route53Inputs) -> bool {
        inputs.overwrite
    }

    async fn look_up(&self, _reading: &Reading<'_>, inputs: &Route53Inputs) -> Result<Zone, StageError> {
        zone::look_up(&self.aws, inputs.zone_id.as_deref(), inputs.domain.as_deref()).await
    }

    fn resources(
        &self,
        cx: &Context,
        inputs: &Route53Inputs,
        zone: &Zone,
    ) -> Result<Vec<Box<dyn Resource>>, StageError> {
        let name = fqdn(cx, inputs, zone)?;
        Ok(vec![Box::new(AliasRecord::wanted(Arc::clone(&self.aws), &zone.id, name, inputs))])
    }

    fn recorded(&self, recorded: &Recorded) -> Result<Box<dyn Resource>, StageError> {
        Ok(Box::new(AliasRecord::recorded(Arc::clone(&self.aws), recorded)))
    }

    fn outputs(
        &self,
        cx: &Context,
        inputs: &Route53Inputs,
        zone: &Zone,
        _known: &Known,
    ) -> Result<Route53Outputs, StageError> {
        let fqdn = fqdn(cx, inputs, zone)?;
        let scheme = if inputs.https { "https" } else { "http" };
        Ok(Route53Outputs { url: format!("{scheme}://{fqdn}"), fqdn, zone_id: zone.id.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_the_limits_of_dns() {
        assert!(check("hello-staging.example.com").is_ok());
        assert!(check("*.example.com").is_ok());
        for bad in ["a..b", "hällo.example.com", &format!("{}.com", "a".repeat(64)), &"a.".repeat(130)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
