//! The hosted zone that the record lies in.

use aws_sdk_route53::types::HostedZone;
use pipeline_aws::{Aws, AwsResult};
use pipeline_sdk::StageError;
use serde::{Deserialize, Serialize};

/// A hosted zone that exists.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Zone {
    /// Its id, without `/hostedzone/`.
    pub(crate) id: String,
    /// Its domain, with a dot at the end as Route 53 writes it.
    pub(crate) name: String,
}

impl Zone {
    /// The domain without the dot at its end.
    pub(crate) fn domain(&self) -> &str {
        self.name.trim_end_matches('.')
    }
}

impl From<&HostedZone> for Zone {
    fn from(zone: &HostedZone) -> Self {
        Self { id: zone.id().trim_start_matches("/hostedzone/").to_owned(), name: zone.name().to_owned() }
    }
}

/// The zone with this id, or the only public one of this domain.
pub(crate) async fn look_up(aws: &Aws, id: Option<&str>, domain: Option<&str>) -> Result<Zone, StageError> {
    match (id, domain) {
        (Some(id), _) => by_id(aws, id).await,
        (None, Some(domain)) => by_domain(aws, domain).await,
        (None, None) => Err(StageError::input("domain", "set `domain` or `zone_id` of the hosted zone")),
    }
}

async fn by_id(aws: &Aws, id: &str) -> Result<Zone, StageError> {
    let answer = aws.route53().get_hosted_zone().id(id).send().await.if_found("route53:GetHostedZone")?;
    let zone = answer.and_then(|answer| answer.hosted_zone).as_ref().map(Zone::from);
    zone.ok_or_else(|| StageError::input("zone_id", format!("there is no hosted zone `{id}`")))
}

async fn by_domain(aws: &Aws, domain: &str) -> Result<Zone, StageError> {
    let wanted = format!("{}.", domain.trim_end_matches('.').to_ascii_lowercase());
    let call = aws.route53().list_hosted_zones_by_name().dns_name(&wanted);
    let answer = call.send().await.or_fail("route53:ListHostedZonesByName")?;
    let private = |zone: &HostedZone| zone.config().is_some_and(|config| config.private_zone());
    let zones: Vec<_> =
        answer.hosted_zones().iter().filter(|zone| zone.name() == wanted && !private(zone)).collect();
    match zones.as_slice() {
        [only] => Ok(Zone::from(*only)),
        [] => Err(StageError::input(
            "domain",
            format!("there is no public hosted zone for `{domain}`: make one, or set `zone_id`"),
        )),
        several => {
            let ids: Vec<_> = several.iter().map(|zone| Zone::from(*zone).id).collect();
            let ids = ids.join(", ");
            Err(StageError::input("domain", format!("`{domain}` has several zones ({ids}): set `zone_id`")))
        }
    }
}
