//! Looking up VPC and subnets.

use std::collections::{BTreeMap, BTreeSet};

use pipeline_aws::Aws;
use pipeline_sdk::StageError;
use serde::{Deserialize, Serialize};

use crate::NetworkInputs;
use crate::ec2::{DescribeSubnets, DescribeVpcs, Subnet, filters};

/// Where the app runs. Lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) vpc_id: String,
    pub(crate) load_balancer_subnets: Vec<String>,
    pub(crate) task_subnets: Vec<String>,
}

/// Finds the place that the inputs mean. The default VPC rarely is another than it was: the subnets of
/// that one, `remembered`, are asked for at the same time.
pub(crate) async fn look_up(
    aws: &Aws,
    inputs: &NetworkInputs,
    remembered: Option<&str>,
) -> Result<Place, StageError> {
    if let Some(vpc) = &inputs.vpc_id {
        let subnets = subnets_of(aws, vpc).await?;
        return choose(vpc.clone(), &subnets, inputs);
    }
    let ahead = async {
        match remembered {
            Some(vpc) => subnets_of(aws, vpc).await.ok(),
            None => None,
        }
    };
    let (vpc, ahead) = futures::join!(default_vpc(aws), ahead);
    let vpc = vpc?;
    let subnets = match ahead {
        Some(subnets) if remembered == Some(vpc.as_str()) => subnets,
        _ => subnets_of(aws, &vpc).await?,
    };
    choose(vpc, &subnets, inputs)
}

async fn default_vpc(aws: &Aws) -> Result<String, StageError> {
    let only_default = filters(&[("is-default", "true")]);
    let answer: DescribeVpcs = aws.ec2().call("ec2:DescribeVpcs", only_default).await?;
    let vpc = answer.vpc_set.items.into_iter().next();
    vpc.map(|vpc| vpc.vpc_id)
        .ok_or_else(|| StageError::input("vpc_id", "the region has no default VPC: set the one to use"))
}

async fn subnets_of(aws: &Aws, vpc: &str) -> Result<Vec<Subnet>, StageError> {
    let mut subnets = Vec::new();
    let mut next = None;
    loop {
        let mut parameters = filters(&[("vpc-id", vpc)]);
        parameters.extend(next.map(|token| ("NextToken".to_owned(), token)));
        let answer: DescribeSubnets = aws.ec2().call("ec2:DescribeSubnets", parameters).await?;
        subnets.extend(answer.subnet_set.items);
        next = answer.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(subnets);
        }
    }
}

fn choose(vpc_id: String, all: &[Subnet], inputs: &NetworkInputs) -> Result<Place, StageError> {
    let default: Vec<_> = all.iter().filter(|subnet| subnet.default_for_az).collect();
    let fallback = if default.is_empty() { all.iter().collect() } else { default };
    let pick = |input: &str, wanted: &[String]| -> Result<Vec<String>, StageError> {
        let mut ids = BTreeSet::new();
        for id in wanted {
            if !all.iter().any(|subnet| subnet.subnet_id == *id) {
                return Err(StageError::input(input, format!("`{id}` is not a subnet of {vpc_id}")));
            }
            ids.insert(id.clone());
        }
        Ok(ids.into_iter().collect())
    };
    let load_balancer_subnets = if inputs.load_balancer_subnets.is_empty() {
        one_per_zone(&fallback)
    } else {
        pick("load_balancer_subnets", &inputs.load_balancer_subnets)?
    };
    check_zones(all, &load_balancer_subnets, &vpc_id)?;
    let task_subnets = if inputs.task_subnets.is_empty() {
        load_balancer_subnets.clone()
    } else {
        pick("task_subnets", &inputs.task_subnets)?
    };
    Ok(Place { vpc_id, load_balancer_subnets, task_subnets })
}

/// A load balancer takes one subnet of each zone.
fn one_per_zone(subnets: &[&Subnet]) -> Vec<String> {
    let mut sorted = subnets.to_vec();
    sorted.sort_by_key(|subnet| subnet.subnet_id.clone());
    let mut zones = BTreeSet::new();
    let mut ids: Vec<_> = sorted
        .into_iter()
        .filter(|subnet| zones.insert(&subnet.availability_zone))
        .map(|subnet| subnet.subnet_id.clone())
        .collect();
    ids.sort();
    ids
}

/// An application load balancer needs two zones, and takes one subnet of each:
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html>.
fn check_zones(all: &[Subnet], chosen: &[String], vpc: &str) -> Result<(), StageError> {
    let refused = |message| Err(StageError::input("load_balancer_subnets", message));
    let mut zones = BTreeMap::new();
    for subnet in all {
        let (id, zone) = (&subnet.subnet_id, &subnet.availability_zone);
        if !chosen.contains(id) {
            continue;
        }
        if let Some(other) = zones.insert(zone, id) {
            return refused(format!(
                "a load balancer takes one subnet of each availability zone; {other} and {id} are both in {zone}"
            ));
        }
    }
    if zones.len() >= 2 {
        return Ok(());
    }
    let found = zones.into_keys().cloned().collect::<Vec<_>>().join(", ");
    let found = if found.is_empty() { "none".to_owned() } else { found };
    refused(format!("a load balancer needs subnets in two availability zones of {vpc}; there are: {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(id: &str, zone: &str, default: bool) -> Subnet {
        Subnet { subnet_id: id.into(), availability_zone: zone.into(), default_for_az: default }
    }

    fn inputs(load_balancer: &[&str], tasks: &[&str]) -> NetworkInputs {
        let inputs = serde_json::json!({ "load_balancer_subnets": load_balancer, "task_subnets": tasks });
        serde_json::from_value(inputs).expect("reads")
    }

    #[test]
    fn default_subnets_are_taken_one_of_each_zone() {
        let all = [
            subnet("c", "z2", true),
            subnet("a", "z1", true),
            subnet("b", "z1", true),
            subnet("d", "z3", false),
        ];
        let place = choose("vpc".into(), &all, &inputs(&[], &[])).expect("place");
        assert_eq!(place.load_balancer_subnets, ["a", "c"]);
        assert_eq!(place.task_subnets, ["a", "c"]);
    }

    #[test]
    fn one_zone_is_not_enough() {
        let all = [subnet("a", "z1", true), subnet("b", "z1", true)];
        let error = choose("vpc".into(), &all, &inputs(&[], &[])).expect_err("refused").to_string();
        assert!(error.contains("two availability zones of vpc; there are: z1"), "{error}");
    }

    #[test]
    fn two_given_subnets_of_one_zone_are_refused() {
        let all = [subnet("a", "z1", true), subnet("b", "z2", true), subnet("c", "z2", false)];
        let error = choose("vpc".into(), &all, &inputs(&["a", "b", "c"], &[])).expect_err("refused");
        assert!(error.to_string().contains("b and c are both in z2"), "{error}");
    }

    #[test]
    fn a_subnet_of_another_vpc_is_named() {
        let all = [subnet("a", "z1", true), subnet("b", "z2", true)];
        let error = choose("vpc".into(), &all, &inputs(&[], &["x"])).expect_err("refused");
        assert_eq!(error.to_string(), "`task_subnets`: `x` is not a subnet of vpc");
    }
}
