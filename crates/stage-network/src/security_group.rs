//! A security group and who it lets in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pipeline_aws::direct::Items;
use pipeline_aws::wait::{self, WaitOptions};
use pipeline_aws::{Attributes, Aws, AwsError, Known, Reading, Resource, Tags, changed_tags};
use pipeline_sdk::{Context, Recorded, ResourceId, StageError, Value, async_trait, json};

use crate::ec2::{
    CreateSecurityGroup, DescribeSecurityGroups, Description, Group, IpRange, Ipv6Range, Parameters,
    Permission, PrefixList, filters,
};

pub(crate) const KIND: &str = "ec2:security-group";

/// How long the network interfaces of a removed load balancer or task may hold on to their group.
const RELEASE: Duration = Duration::from_secs(300);

/// Who is let in.
pub(crate) enum Allow {
    /// Blocks of addresses, on some ports.
    Blocks { ports: Vec<u16>, blocks: Vec<String> },
    /// The members of another group of this stage, on some ports.
    Group { ports: Vec<u16>, group: ResourceId },
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
        let name = self.id.name.as_str();
        let wanted = match (&self.group_id, &self.wanted) {
            (Some(id), _) => filters(&[("group-id", id)]),
            (None, Some(wanted)) => filters(&[("group-name", name), ("vpc-id", &wanted.vpc)]),
            (None, None) => filters(&[("group-name", name)]),
        };
        let answer = self.aws.ec2().find("ec2:DescribeSecurityGroups", wanted).await?;
        Ok(answer
            .and_then(|answer: DescribeSecurityGroups| answer.security_group_info.items.into_iter().next()))
    }

    async fn set_rules(&self, group: &str, old: &Value, new: &Value) -> Result<(), StageError> {
        let (old, new) = (rules(old), rules(new));
        // What is added comes first, so that nothing that stays open closes in between.
        let added = permissions(group, new.difference(&old));
        if let Some(added) = added {
            match self.aws.ec2().tell("ec2:AuthorizeSecurityGroupIngress", added).await {
                Err(error) if !AwsError::behind(&error).is_some_and(AwsError::says_exists) => {
                    return Err(error);
                }
                _ => {}
            }
        }
        if let Some(removed) = permissions(group, old.difference(&new)) {
            self.aws.ec2().remove("ec2:RevokeSecurityGroupIngress", removed).await?;
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
        let resource = || vec![("ResourceId.1".to_owned(), group.to_owned())];
        if set.iter().next().is_some() {
            self.aws.ec2().tell("ec2:CreateTags", [resource(), set.form("Tag")].concat()).await?;
        }
        if !unset.is_empty() {
            let mut parameters = resource();
            let keys = unset.into_iter().enumerate();
            parameters.extend(keys.map(|(index, key)| (format!("Tag.{}.Key", index + 1), key)));
            self.aws.ec2().tell("ec2:DeleteTags", parameters).await?;
        }
        Ok(())
    }
}

/// The request that adds or removes these rules of a group; none if there are none.
fn permissions<'a>(group: &str, lines: impl Iterator<Item = &'a String>) -> Option<Parameters> {
    let mut parameters = vec![("GroupId".to_owned(), group.to_owned())];
    for (index, permission) in lines.filter_map(|line| permission(line)).enumerate() {
        let prefix = format!("IpPermissions.{}", index + 1);
        let mut put = |name: &str, value: String| parameters.push((format!("{prefix}.{name}"), value));
        put("IpProtocol", permission.ip_protocol);
        permission.from_port.into_iter().for_each(|port| put("FromPort", port.to_string()));
        permission.to_port.into_iter().for_each(|port| put("ToPort", port.to_string()));
        permission.ip_ranges.items.into_iter().for_each(|one| put("IpRanges.1.CidrIp", one.cidr_ip));
        permission.ipv6_ranges.items.into_iter().for_each(|one| put("Ipv6Ranges.1.CidrIpv6", one.cidr_ipv6));
        let lists = permission.prefix_list_ids.items.into_iter();
        lists.for_each(|one| put("PrefixListIds.1.PrefixListId", one.prefix_list_id));
        let groups = permission.groups.items.into_iter().filter_map(|one| one.group_id);
        groups.for_each(|id| put("Groups.1.GroupId", id));
    }
    (parameters.len() > 1).then_some(parameters)
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
fn described(permissions: &[Permission]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for permission in permissions {
        let protocol = &permission.ip_protocol;
        let ports = match (permission.from_port, permission.to_port) {
            (Some(kind), Some(code)) if protocol.starts_with("icmp") => format!("{kind}/{code}"),
            (Some(from), Some(to)) if from == to => from.to_string(),
            (Some(from), Some(to)) => format!("{from}-{to}"),
            _ => "all".into(),
        };
        let blocks = permission.ip_ranges.items.iter().map(|one| one.cidr_ip.as_str());
        let sources = blocks
            .chain(permission.ipv6_ranges.items.iter().map(|one| one.cidr_ipv6.as_str()))
            .chain(permission.prefix_list_ids.items.iter().map(|one| one.prefix_list_id.as_str()))
            .chain(permission.groups.items.iter().filter_map(|one| one.group_id.as_deref()));
        lines.extend(sources.map(|source| format!("{protocol} {ports} from {source}")));
    }
    lines
}

/// The rule that a line says; the reverse of [`described`].
fn permission(line: &str) -> Option<Permission> {
    let (what, source) = line.split_once(" from ")?;
    let (protocol, ports) = what.split_once(' ')?;
    let mut permission = Permission { ip_protocol: protocol.to_owned(), ..Permission::default() };
    if ports != "all" {
        let separator = if protocol.starts_with("icmp") { '/' } else { '-' };
        let (from, to) = ports.split_once(separator).unwrap_or((ports, ports));
        permission.from_port = Some(from.parse().ok()?);
        permission.to_port = Some(to.parse().ok()?);
    }
    let source = source.to_owned();
    if source.starts_with("sg-") {
        permission.groups = Items { items: vec![Group { group_id: Some(source) }] };
    } else if source.starts_with("pl-") {
        permission.prefix_list_ids = Items { items: vec![PrefixList { prefix_list_id: source }] };
    } else if source.contains(':') {
        permission.ipv6_ranges = Items { items: vec![Ipv6Range { cidr_ipv6: source }] };
    } else {
        permission.ip_ranges = Items { items: vec![IpRange { cidr_ip: source }] };
    }
    Some(permission)
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
            Allow::Group { ports, group } => match known.text(group, "id") {
                Some(id) => json!(ports.iter().map(|port| rule(*port, id)).collect::<BTreeSet<_>>()),
                None => json!([known.value(group, "id")]),
            },
        };
        Ok(Some(Attributes::of(json!({
            "vpc_id": wanted.vpc,
            "ingress": ingress,
            "tags": wanted.tags,
        }))))
    }

    async fn read(&self, _: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        let Some(found) = self.find().await? else { return Ok(None) };
        let tags: Tags =
            found.tag_set.items.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
        Ok(Some(Attributes::of(json!({
            "vpc_id": found.vpc_id,
            "ingress": described(&found.ip_permissions.items),
            "tags": tags.to_value(),
            "id": found.group_id,
            "arn": found.security_group_arn,
        }))))
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let description =
            self.wanted.as_ref().map_or("Made again by the pipeline", |wanted| wanted.description);
        let mut parameters: Parameters = [
            ("GroupName", self.id.name.as_str()),
            ("GroupDescription", description),
            ("VpcId", desired.need("vpc_id")?),
            ("TagSpecification.1.ResourceType", "security-group"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        parameters.extend(Tags::from(desired.value("tags")).form("TagSpecification.1.Tag"));
        let made: CreateSecurityGroup = self.aws.ec2().call("ec2:CreateSecurityGroup", parameters).await?;
        self.set_rules(&made.group_id, &Value::Null, desired.value("ingress")).await
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
            let parameters = vec![("GroupId".to_owned(), group.to_owned())];
            match self.aws.ec2().remove("ec2:DeleteSecurityGroup", parameters).await {
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
        let mut permission = permission("tcp 443 from 0.0.0.0/0").expect("a rule");
        permission.ipv6_ranges.items.push(Ipv6Range { cidr_ipv6: "::/0".into() });
        let expected = ["tcp 443 from 0.0.0.0/0", "tcp 443 from ::/0"].map(str::to_owned);
        assert_eq!(described(&[permission]), BTreeSet::from(expected));
    }
}
