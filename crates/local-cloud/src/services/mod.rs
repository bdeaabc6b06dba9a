//! The AWS services: synchronous functions on the world.
//!
//! How a service is written: its module has a state type that lives in [`Region`] (or [`Account`] if
//! the service is global), and a `call` function that matches the operation's name, has the input
//! parsed into a type of its own, and returns [`Output::of`] a type of its own. Lists are plain
//! `Vec`s and names those of the API reference; the wire takes care of the rest. An operation that is
//! not there is answered by [`missing`].

pub(crate) mod acm;
pub(crate) mod application_autoscaling;
pub(crate) mod cloudwatch;
pub(crate) mod codedeploy;
pub(crate) mod ec2;
pub(crate) mod ecr;
pub(crate) mod ecs;
pub(crate) mod elbv2;
pub(crate) mod iam;
pub(crate) mod logs;
pub(crate) mod route53;
pub(crate) mod sts;
pub(crate) mod tag;

use jiff::Timestamp;

use crate::clock::Clock;
use crate::wire::{ApiError, Input, Output, Service};
use crate::world::{Account, Arn, Partition, Region, State};
use pipeline_data_plane::registry::Uploads;

/// Facts about the running cloud that handlers need.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where the endpoint listens: `127.0.0.1:4580`. Image names of the registry start with it.
    pub(crate) endpoint: std::net::SocketAddr,
    /// Nothing moves by itself: services stay pending, targets are healthy, deployments Created.
    pub(crate) inert: bool,
    /// How fast waits pass.
    pub(crate) clock: Clock,
    /// The registry's store, and what is on its way into it.
    pub(crate) uploads: Uploads,
}

/// One call that is being answered: who calls, where, when, and the world to work on.
pub(crate) struct Call<'a> {
    /// The caller's account and region.
    pub(crate) place: Partition,
    /// The access key that signed the call, if one did.
    pub(crate) access_key: Option<String>,
    /// When the call came.
    pub(crate) now: Timestamp,
    /// Facts about the running cloud.
    pub(crate) settings: &'a Settings,
    /// Everything that exists.
    pub(crate) state: &'a mut State,
}

impl Call<'_> {
    /// The caller's account.
    pub(crate) fn account(&mut self) -> &mut Account {
        self.state.account_mut(&self.place.account)
    }

    /// The caller's region.
    pub(crate) fn region(&mut self) -> &mut Region {
        self.state.region_mut(&self.place.account, &self.place.region)
    }

    /// An ARN in the caller's account and region.
    pub(crate) fn arn(&self, service: &str, resource: &str) -> String {
        let Partition { account, region } = &self.place;
        Arn { service, region, account, resource }.to_string()
    }

    /// An ARN of a global service in the caller's account.
    pub(crate) fn global_arn(&self, service: &str, resource: &str) -> String {
        Arn { service, region: "", account: &self.place.account, resource }.to_string()
    }
}

/// Answers `operation` of `service`.
pub(crate) fn call(
    call: &mut Call<'_>,
    service: Service,
    operation: &str,
    input: &Input,
) -> Result<Output, ApiError> {
    match service {
        Service::Acm => acm::call(call, operation, input),
        Service::ApplicationAutoScaling => application_autoscaling::call(call, operation, input),
        Service::CloudWatch => cloudwatch::call(call, operation, input),
        Service::CodeDeploy => codedeploy::call(call, operation, input),
        Service::Ec2 => ec2::call(call, operation, input),
        Service::Ecr => ecr::call(call, operation, input),
        Service::Ecs => ecs::call(call, operation, input),
        Service::Elbv2 => elbv2::call(call, operation, input),
        Service::Iam => iam::call(call, operation, input),
        Service::Logs => logs::call(call, operation, input),
        Service::Route53 => route53::call(call, operation, input),
        Service::Sts => sts::call(call, operation, input),
    }
}

/// Whether an operation leaves the world as it is, told by its name.
pub(crate) fn only_reads(operation: &str) -> bool {
    ["Describe", "List", "Get", "BatchGet", "BatchCheck", "Test", "Search", "Filter"]
        .iter()
        .any(|prefix| operation.starts_with(prefix))
}

/// The answer to an operation that the embedded cloud does not have.
pub(crate) fn missing(service: Service, operation: &str) -> ApiError {
    let code = match service {
        Service::CloudWatch | Service::Elbv2 | Service::Iam | Service::Sts | Service::Ec2 => "InvalidAction",
        _ => "UnknownOperationException",
    };
    ApiError::sender(code, format!("the embedded cloud does not implement {}:{operation}", service.name()))
}

/// What an account has from the start: a hosted zone.
pub(crate) fn seed_account(_account: &str, state: &mut Account) {
    route53::seed(state);
}

/// What a region has from the start: a default VPC with three subnets, and a certificate.
pub(crate) fn seed_region(account: &str, region: &str, state: &mut Region) {
    acm::seed(account, region, &mut state.acm);
    ec2::seed(account, region, &mut state.ec2);
}
