//! A security group and who it lets in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::types::{
    Filter, IpPermission, IpRange, Ipv6Range, PrefixListId, ResourceType, SecurityGroup as Description, Tag,
    TagSpecification, UserIdGroupPair,
};
use pipeline_aws::wait::{self, WaitOptions};
use pipeline_aws::{Attributes, Aws, AwsError, AwsResult, Known, Reading, Resource, Tags, changed_tags};
use pipeline_sdk::{Context, Recorded, ResourceId, StageError, Value, async_trait, json};

pub(crate) const KIND: &str = "ec2:security-group";

/// What EC2 calls all protocols together; such a rule has no ports.
const EVERY_PROTOCOL: &str = "-1";

/// How long the network interfaces of a removed load balancer or task may hold on to their group.
const RELEASE: Duration = Duration::from_secs(300);

/// Who is let in.
pub(crate) enum Allow {
    /// Blocks of addresses, on some ports.
    Blocks { ports: Vec<u16>, blocks: Vec<String> },
    /// The members of another group of this stage, on one port.
    Group { port: u16, group: ResourceId },
}

pub(crate) struct SecurityGroup {
    aws: Arc<Aws>,
    id: ResourceId,
    /// The id that AWS gave to a recorded group.
    group_id: Option<String>,
    wanted: Option<Wanted>,
}

struct Wanted {
    vpc: String,
    description: &'static str,
    allow: Allow,
    tags: Value,
}

impl SecurityGroup {
    pub(crate) fn wanted(
        aws: Arc<Aws>,
        id: ResourceId,
        vpc: &str,
        description: &'static str,
        allow: Allow,
        tags: &Tags,
    ) -> Self {
        let wanted = Wanted { vpc: vpc.to_owned(), description, allow, tags: tags.to_value() };
        Self { aws, id, group_id: None, wanted: Some(wanted) }
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        let group_id = recorded.attributes["id"].as_str().map(str::to_owned);
        Self { aws, id: recorded.id.clone(), group_id, wanted: None }
    }

    async fn find(&self) -> Result<Option<Description>, StageError> {
        let call = self.aws.ec2().describe_security_groups();
        let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
        let call = match (&self.group_id, &self.wanted) {
            (Some(id), _) => call.filters(filter("group-id", id)),
            (None, Some(wanted)) => {
                call.filters(filter("group-name", &self.id.name)).filters(filter("vpc-id", &wanted.vpc))
            }
            (None, None) => call.filters(filter("group-name", &self.id.name)),
        };
        let answer = call.send().await.if_found("ec2:DescribeSecurityGroups")?;
        Ok(answer.and_then(|answer| answer.security_groups).unwrap_or_default().into_iter().next())
    }

    async fn set_rules(&self, group: &str, old: &Value, new: &Value) -> Result<(), StageError> {
        let (old, new) = (rules(old), rules(new));
        // What is added comes first, so that nothing that stays open closes in between.
        let added: Vec<_> = new.difference(&old).filter_map(|rule| permission(rule)).collect();
        if !added.is_empty() {
            let call = self.aws.ec2().authorize_security_group_ingress().group_id(group);
            let answer = call.set_ip_permissions(Some(added)).send().await;
            match answer.or_fail("ec2:AuthorizeSecurityGroupIngress") {
                Err(error) if !AwsError::behind(&error).is_some_and(AwsError::says_exists) => {
                    return Err(error);
                }
                _ => {}
            }
        }
        let removed: Vec<_> = old.difference(&new).filter_map(|rule| permission(rule)).collect();
        if !removed.is_empty() {
            let call = self.aws.ec2().revoke_security_group_ingress().group_id(group);
            let answer = call.set_ip_permissions(Some(removed)).send().await;
            answer.or_gone("ec2:RevokeSecurityGroupIngress")?;
        }
        Ok(())
    }

    async fn set_tags(
        &self,
        group: &str,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        let (set, unset) = changed_tags(observed, desired);
        let set = sdk_tags(&set);
        if !set.is_empty() {
            let call = self.aws.ec2().create_tags().resources(group).set_tags(Some(set));
            call.send().await.or_fail("ec2:CreateTags")?;
        }
        if !unset.is_empty() {
            let unset = unset.into_iter().map(|key| Tag::builder().key(key).build()).collect();
            let call = self.aws.ec2().delete_tags().resources(group).set_tags(Some(unset));
            call.send().await.or_fail("ec2:DeleteTags")?;
        }
        Ok(())
    }
}

/// A rule as this stage makes it; see [`described`].
fn rule(port: u16, source: &str) -> String {
    format!("tcp {port} from {source}")
}

fn rules(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().filter_map(|rule| Some(rule.as_str()?.to_owned())).collect()
}

/// Every rule of a group as one line, which compares and reads well: `tcp 80 from 0.0.0.0/0`,
/// `tcp 8080 from sg-1`, `udp 20-22 from ::/0`, `icmp 8/-1 from pl-1` (type and code), `-1 all from
/// 10.0.0.0/8` (every protocol). Also those that somebody else made: they show as drift and are removed.
fn described(permissions: &[IpPermission]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for permission in permissions {
        let protocol = permission.ip_protocol().unwrap_or(EVERY_PROTOCOL);
        let ports = match (permission.from_port(), permission.to_port()) {
            (Some(kind), Some(code)) if protocol.starts_with("icmp") => format!("{kind}/{code}"),
            (Some(from), Some(to)) if from == to => from.to_string(),
            (Some(from), Some(to)) => format!("{from}-{to}"),
            _ => "all".into(),
        };
        let sources = permission
            .ip_ranges()
            .iter()
            .filter_map(IpRange::cidr_ip)
            .chain(permission.ipv6_ranges().iter().filter_map(Ipv6Range::cidr_ipv6))
            .chain(permission.prefix_list_ids().iter().filter_map(PrefixListId::prefix_list_id))
            .chain(permission.user_id_group_pairs().iter().filter_map(UserIdGroupPair::group_id));
        lines.extend(sources.map(|source| format!("{protocol} {ports} from {source}")));
    }
    lines
}

/// The rule that a line says; the reverse of [`described`].
fn permission(line: &str) -> Option<IpPermission> {
    let (what, source) = line.split_once(" from ")?;
    let (protocol, ports) = what.split_once(' ')?;
    let builder = IpPermission::builder().ip_protocol(protocol);
    let builder = if ports == "all" {
        builder
    } else {
        let separator = if protocol.starts_with("icmp") { '/' } else { '-' };
        let (from, to) = ports.split_once(separator).unwrap_or((ports, ports));
        builder.from_port(from.parse().ok()?).to_port(to.parse().ok()?)
    };
    let builder = if source.starts_with("sg-") {
        builder.user_id_group_pairs(UserIdGroupPair::builder().group_id(source).build())
    } else if source.starts_with("pl-") {
        builder.prefix_list_ids(PrefixListId::builder().prefix_list_id(source).build())
    } else if source.contains(':') {
        builder.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(source).build())
    } else {
        builder.ip_ranges(IpRange::builder().cidr_ip(source).build())
    };
    Some(builder.build())
}

#[async_trait]
impl Resource for SecurityGroup {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["vpc_id"]
    }

    fn desired(&self, known: &Known) -> Result<Option<Attributes>, StageError> {
        let Some(wanted) = &self.wanted else { return Ok(None) };
        let ingress = match &wanted.allow {
            Allow::Blocks { ports, blocks } => {
                let lines: BTreeSet<_> =
                    ports.iter().flat_map(|port| blocks.iter().map(|block| rule(*port, block))).collect();
                json!(lines)
            }
            Allow::Group { port, group } => match known.text(group, "id") {
                Some(id) => json!([rule(*port, id)]),
                None => json!([known.value(group, "id")]),
            },
        };
        Ok(Some(Attributes::of(json!({
            "vpc_id": wanted.vpc,
            "ingress": ingress,
            "tags": wanted.tags,
        }))))
    }

    async fn read(&self, _: &Reading<'_>, _: &Known) -> Result<Option<Attributes>, StageError> {
        let Some(found) = self.find().await? else { return Ok(None) };
        let tags: Tags = found.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
        Ok(Some(Attributes::of(json!({
            "vpc_id": found.vpc_id(),
            "ingress": described(found.ip_permissions()),
            "tags": tags.to_value(),
            "id": found.group_id(),
            "arn": found.security_group_arn(),
        }))))
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let description =
            self.wanted.as_ref().map_or("Made again by the pipeline", |wanted| wanted.description);
        let tags = TagSpecification::builder()
            .resource_type(ResourceType::SecurityGroup)
            .set_tags(Some(sdk_tags(&Tags::from(desired.value("tags")))))
            .build();
        let call = self.aws.ec2().create_security_group().group_name(&self.id.name);
        let call = call.vpc_id(desired.need("vpc_id")?).description(description).tag_specifications(tags);
        let answer = call.send().await.or_fail("ec2:CreateSecurityGroup")?;
        match answer.group_id() {
            Some(group) => self.set_rules(group, &Value::Null, desired.value("ingress")).await,
            None => Ok(()),
        }
    }

    async fn update(
        &self,
        _: &Context,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        let group = observed.need("id")?;
        self.set_rules(group, observed.value("ingress"), desired.value("ingress")).await?;
        self.set_tags(group, observed, desired).await
    }

    /// Network interfaces of what used the group disappear a while after it; until then AWS says that
    /// something depends on it.
    async fn delete(&self, cx: &Context, observed: &Attributes) -> Result<(), StageError> {
        let group = observed.need("id")?;
        let what = format!("{} to be released by what used it", self.id);
        wait::until(cx, &what, WaitOptions::within(RELEASE), || async {
            let call = self.aws.ec2().delete_security_group().group_id(group);
            match call.send().await.or_gone("ec2:DeleteSecurityGroup") {
                Ok(()) => Ok(Some(())),
                Err(error)
                    if AwsError::behind(&error).is_some_and(|aws| aws.is(&["DependencyViolation"])) =>
                {
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        })
        .await
    }
}

fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_survive_the_way_to_aws_and_back() {
        for line in [
            "tcp 80 from 0.0.0.0/0",
            "tcp 8080 from sg-12ab",
            "udp 20-22 from ::/0",
            "icmp 8/-1 from pl-12ab",
            "icmp -1/-1 from 10.0.0.0/8",
            "-1 all from 10.0.0.0/8",
        ] {
            let permission = permission(line).expect("a rule");
            assert_eq!(described(&[permission]), BTreeSet::from([line.to_owned()]));
        }
    }

    #[test]
    fn a_permission_with_several_sources_is_several_rules() {
        let permission = IpPermission::builder()
            .ip_protocol("tcp")
            .from_port(443)
            .to_port(443)
            .ip_ranges(IpRange::builder().cidr_ip("0.0.0.0/0").build())
            .ipv6_ranges(Ipv6Range::builder().cidr_ipv6("::/0").build())
            .build();
        let expected = ["tcp 443 from 0.0.0.0/0", "tcp 443 from ::/0"].map(str::to_owned);
        assert_eq!(described(&[permission]), BTreeSet::from(expected));
    }
}
