//! The alias record as a resource.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecordSet, RrType,
};
use pipeline_aws::wait::{self, WaitOptions};
use pipeline_aws::{Attributes, Aws, AwsResult, Known, Ownership, Reading, Resource};
use pipeline_sdk::{Context, Recorded, ResourceId, StageError, Value, async_trait, json};

use crate::Route53Inputs;

const KIND: &str = "route53:record";

/// Changes usually reach all of Route 53's servers within a minute:
/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetChange.html>.
const SPREADS: Duration = Duration::from_secs(300);

pub(crate) struct AliasRecord {
    aws: Arc<Aws>,
    id: ResourceId,
    zone: String,
    desired: Option<Attributes>,
}

impl AliasRecord {
    pub(crate) fn wanted(aws: Arc<Aws>, zone: &str, name: String, inputs: &Route53Inputs) -> Self {
        let desired = json!({
            "zone_id": zone,
            "target": inputs.target_dns_name.clone().map(|name| plain(&name)).to_value(),
            "target_zone_id": inputs.target_zone_id.to_value(),
            "evaluate_target_health": inputs.evaluate_target_health,
        });
        let id = ResourceId::new(KIND, name);
        Self { aws, id, zone: zone.to_owned(), desired: Some(Attributes::of(desired)) }
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        let zone = recorded.attributes["zone_id"].as_str().unwrap_or_default().to_owned();
        Self { aws, id: recorded.id.clone(), zone, desired: None }
    }

    async fn find(&self, zone: &str) -> Result<Option<ResourceRecordSet>, StageError> {
        let call = self.aws.route53().list_resource_record_sets().hosted_zone_id(zone);
        let call = call.start_record_name(&self.id.name).start_record_type(RrType::A).max_items(1);
        let answer = call.send().await.if_found("route53:ListResourceRecordSets")?;
        let sets = answer.map(|answer| answer.resource_record_sets).unwrap_or_default();
        Ok(sets.into_iter().find(|set| plain(set.name()) == self.id.name && *set.r#type() == RrType::A))
    }

    async fn change(
        &self,
        cx: &Context,
        zone: &str,
        action: ChangeAction,
        set: ResourceRecordSet,
    ) -> Result<(), StageError> {
        let change = Change::builder().action(action).resource_record_set(set).build().map_err(built)?;
        let batch = ChangeBatch::builder().changes(change).build().map_err(built)?;
        let call = self.aws.route53().change_resource_record_sets().hosted_zone_id(zone);
        let answer = call.change_batch(batch).send().await.or_fail("route53:ChangeResourceRecordSets")?;
        let Some(info) = answer.change_info() else { return Ok(()) };
        let what = format!("{} to reach all name servers", self.id);
        wait::until(cx, &what, WaitOptions::within(SPREADS), || async {
            let call = self.aws.route53().get_change().id(info.id());
            let answer = call.send().await.or_fail("route53:GetChange")?;
            let done = answer.change_info().is_some_and(|info| *info.status() == ChangeStatus::Insync);
            Ok(done.then_some(()))
        })
        .await
    }

    fn set(&self, attributes: &Attributes) -> Result<ResourceRecordSet, StageError> {
        if !attributes.value("values").is_null() {
            return Err(StageError::failed(format!(
                "{} held plain values before it was taken over; put them back by hand",
                self.id
            )));
        }
        let alias = AliasTarget::builder()
            .dns_name(attributes.need("target")?)
            .hosted_zone_id(attributes.need("target_zone_id")?)
            .evaluate_target_health(attributes.value("evaluate_target_health") == &Value::Bool(true))
            .build()
            .map_err(built)?;
        let set = ResourceRecordSet::builder().name(&self.id.name).r#type(RrType::A).alias_target(alias);
        set.build().map_err(built)
    }
}

fn built(error: impl std::fmt::Display) -> StageError {
    StageError::failed(format!("a record could not be built: {error}"))
}

/// A DNS name as we write it: lower case, no dot at its end, `*` and not its escape, and without the
/// `dualstack.` that the console puts before load balancers.
fn plain(name: &str) -> String {
    let name = name.trim_end_matches('.').to_ascii_lowercase().replace("\\052", "*");
    name.strip_prefix("dualstack.").map(str::to_owned).unwrap_or(name)
}

#[async_trait]
impl Resource for AliasRecord {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    /// Records have no tags.
    fn ownership(&self) -> Ownership {
        Ownership::State
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["zone_id"]
    }

    fn desired(&self, _known: &Known) -> Result<Option<Attributes>, StageError> {
        Ok(self.desired.clone())
    }

    async fn read(&self, _: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        let Some(set) = self.find(&self.zone).await? else { return Ok(None) };
        let alias = set.alias_target();
        let values: Vec<_> = set.resource_records().iter().map(|record| record.value()).collect();
        Ok(Some(Attributes::of(json!({
            "zone_id": self.zone,
            "target": alias.map(|alias| plain(alias.dns_name())),
            "target_zone_id": alias.map(AliasTarget::hosted_zone_id),
            "evaluate_target_health": alias.map(AliasTarget::evaluate_target_health),
            // Of a record that is no alias, to be refused or taken over knowingly.
            "values": (!values.is_empty()).then_some(values),
        }))))
    }

    async fn create(&self, cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        self.change(cx, &self.zone, ChangeAction::Create, self.set(desired)?).await
    }

    async fn update(&self, cx: &Context, _: &Attributes, desired: &Attributes) -> Result<(), StageError> {
        self.change(cx, &self.zone, ChangeAction::Upsert, self.set(desired)?).await
    }

    /// A deletion has to name exactly what is there, in the zone where it is.
    async fn delete(&self, cx: &Context, observed: &Attributes) -> Result<(), StageError> {
        let zone = observed.need("zone_id")?;
        match self.find(zone).await? {
            Some(set) => self.change(cx, zone, ChangeAction::Delete, set).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_dns_does() {
        assert_eq!(
            plain("DualStack.web-1.eu-central-1.elb.amazonaws.com."),
            "web-1.eu-central-1.elb.amazonaws.com"
        );
    }
}
