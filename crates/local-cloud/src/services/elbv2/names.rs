//! Names, ARNs and host names.

use rand::Rng;

use super::LoadBalancerType;
use super::error::{constraint, validation};
use crate::wire::ApiError;
use crate::world::{Arn, Partition};

/// Sixteen hexadecimal digits, as they end the ARNs of the service.
pub(super) fn fresh_id() -> String {
    format!("{:016x}", rand::rng().random::<u64>())
}

/// An ARN of the service.
pub(super) fn arn(place: &Partition, resource: &str) -> String {
    Arn { service: "elasticloadbalancing", region: &place.region, account: &place.account, resource }
        .to_string()
}

/// `arn:…:loadbalancer/app/x/1` as `app/x/1`.
pub(super) fn tail<'a>(arn: &'a str, kind: &str) -> &'a str {
    arn.split_once(kind).map_or("", |(_, tail)| tail)
}

/// What an ARN of the service can name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    LoadBalancer,
    TargetGroup,
    Listener,
    Rule,
}

impl Kind {
    /// How its ARNs go on after the account, and what errors call it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::LoadBalancer => ("loadbalancer/", "load balancer"),
            Self::TargetGroup => ("targetgroup/", "target group"),
            Self::Listener => ("listener/", "listener"),
            Self::Rule => ("listener-rule/", "listener rule"),
        }
    }
}

/// Refuses what is no ARN, or one of something else.
pub(super) fn check_arn(arn: &str, kind: Kind) -> Result<(), ApiError> {
    let (resource, name) = kind.words();
    let parsed = Arn::parse(arn).filter(|parsed| parsed.service == "elasticloadbalancing");
    if parsed.is_some_and(|parsed| parsed.resource.starts_with(resource)) {
        return Ok(());
    }
    Err(validation(format!("'{arn}' is not a valid {name} ARN")))
}

/// The same for each of a list.
pub(super) fn check_arns<'a>(arns: impl IntoIterator<Item = &'a String>, kind: Kind) -> Result<(), ApiError> {
    arns.into_iter().try_for_each(|arn| check_arn(arn, kind))
}

fn has_only_name_letters(name: &str) -> bool {
    name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
}

/// Checks the name of a target group.
pub(super) fn check_group(name: &str) -> Result<(), ApiError> {
    if name.chars().count() > 32 {
        return Err(validation(format!("Target group name '{name}' cannot be longer than '32' characters")));
    }
    if name.is_empty() || !has_only_name_letters(name) {
        return Err(validation(format!(
            "Target group name '{name}' can only contain characters that are alphanumeric characters or hyphens(-)"
        )));
    }
    if name.starts_with('-') || name.ends_with('-') || name.contains("--") {
        let member = "targetGroup.targetGroupArn.targetGroupName";
        let pattern = "(?!.*--)(?!^-)(?!.*-$)^[A-Za-z0-9-]+$";
        let limit = format!("Member must satisfy regular expression pattern: {pattern}");
        return Err(constraint(name, member, &limit));
    }
    Ok(())
}

/// Checks the name of a load balancer.
pub(super) fn check_load_balancer(name: &str) -> Result<(), ApiError> {
    let fault = if name.is_empty() {
        "cannot be empty"
    } else if name.chars().count() > 32 {
        "cannot be longer than '32' characters"
    } else if !has_only_name_letters(name) {
        "can only contain characters that are alphanumeric characters and hyphens(-)"
    } else if name.starts_with('-') || name.ends_with('-') {
        "cannot begin or end with a hyphen(-)"
    } else if name.starts_with("internal-") {
        "cannot begin with 'internal-'"
    } else {
        return Ok(());
    };
    Err(validation(format!("The load balancer name '{name}' {fault}")))
}

/// The host name of a load balancer, in the form that AWS gives to each type.
pub(super) fn dns_name(
    place: &Partition,
    name: &str,
    id: &str,
    kind: LoadBalancerType,
    internal: bool,
) -> String {
    let region = &place.region;
    match kind {
        LoadBalancerType::Application => {
            // AWS appends a decimal number that is the load balancer's own.
            let number = u64::from_str_radix(&id[..id.len().min(16)], 16).unwrap_or(1) % 2_000_000_000;
            let prefix = if internal { "internal-" } else { "" };
            format!("{prefix}{name}-{number}.{region}.elb.amazonaws.com")
        }
        LoadBalancerType::Network | LoadBalancerType::Gateway => {
            format!("{name}-{id}.elb.{region}.amazonaws.com")
        }
    }
}

/// The hosted zone that alias records name, by region
/// (docs.aws.amazon.com/general/latest/gr/elb.html).
pub(super) fn hosted_zone(region: &str, kind: LoadBalancerType) -> &'static str {
    let (application, network) = match region {
        "us-east-2" => ("Z3AADJGX6KTTL2", "ZLMOA37VPKANP"),
        "us-west-1" => ("Z368ELLRRE2KJ0", "Z24FKFUX50B4VW"),
        "us-west-2" => ("Z1H1FL5HABSF5", "Z18D5FSROUN65G"),
        "ap-south-1" => ("ZP97RAFLXTNZK", "ZVDDRBQ08TROA"),
        "ap-northeast-1" => ("Z14GRHDCWA56QT", "Z31USIVHYNEOWT"),
        "ap-northeast-2" => ("ZWKZPGTI48KDX", "ZIBE1TIR4HY56"),
        "ap-northeast-3" => ("Z5LXEXXYW11ES", "Z1GWIQ4HH19I5X"),
        "ap-southeast-1" => ("Z1LMS91P8CMLE5", "ZKVM4W9LS7TM"),
        "ap-southeast-2" => ("Z1GM3OXH4ZPM65", "ZCT6FZBF4DROD"),
        "ca-central-1" => ("ZQSVJUPU6J1EY", "Z2EPGBW3API2WT"),
        "eu-central-1" => ("Z215JYRZR1TBD5", "Z3F0SRJ5LGBH90"),
        "eu-west-1" => ("Z32O12XQLNTSW2", "Z2IFOLAFXWLO4F"),
        "eu-west-2" => ("ZHURV8PSTC4K8", "ZD4D7Y8KGAS4G"),
        "eu-west-3" => ("Z3Q77PNBQS71R4", "Z1CMS0P5QUZ6D5"),
        "eu-north-1" => ("Z23TAZ6LKFMNIO", "Z1UDT6IFJ4EJM"),
        "sa-east-1" => ("Z2P70J7HTTTPLU", "ZTK26PT1VY4CU"),
        _ => ("Z35SXDOTRQ7X7K", "Z26RNL4JYFTOTI"),
    };
    if kind == LoadBalancerType::Application { application } else { network }
}
