//! The tree of what exists: accounts, their regions, and in each the state of every service.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::services;
use pipeline_data_plane::runtime::AddressBook;

/// Everything.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// Which loopback addresses stand for those of the virtual networks; given when the cloud starts.
    #[serde(skip)]
    pub(crate) addresses: AddressBook,
    /// By account id.
    pub(crate) accounts: BTreeMap<String, Account>,
}

/// What an account holds: the global services and its regions.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Account {
    /// IAM is global.
    pub(crate) iam: services::iam::IamState,
    /// Sessions are valid in every region.
    pub(crate) sts: services::sts::StsState,
    /// Route 53 is global.
    pub(crate) route53: services::route53::Route53State,
    /// By region name.
    pub(crate) regions: BTreeMap<String, Region>,
}

/// What a region of an account holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Region {
    pub(crate) acm: services::acm::AcmState,
    pub(crate) application_autoscaling: services::application_autoscaling::ScalingState,
    pub(crate) cloudwatch: services::cloudwatch::CloudWatchState,
    pub(crate) codedeploy: services::codedeploy::CodeDeployState,
    pub(crate) ec2: services::ec2::Ec2State,
    pub(crate) ecr: services::ecr::EcrState,
    pub(crate) ecs: services::ecs::EcsState,
    pub(crate) elbv2: services::elbv2::Elbv2State,
    pub(crate) logs: services::logs::LogsState,
}

/// An account and a region: where most resources live.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Partition {
    /// Account id, twelve digits.
    pub(crate) account: String,
    /// Region name, such as `eu-central-1`.
    pub(crate) region: String,
}

impl State {
    /// The account, made on first use.
    pub(crate) fn account_mut(&mut self, account: &str) -> &mut Account {
        if !self.accounts.contains_key(account) {
            let mut fresh = Account::default();
            services::seed_account(account, &mut fresh);
            self.accounts.insert(account.to_owned(), fresh);
        }
        self.accounts.entry(account.to_owned()).or_default()
    }

    /// The region, made on first use with its default VPC and a certificate.
    pub(crate) fn region_mut(&mut self, account: &str, region: &str) -> &mut Region {
        let holder = self.account_mut(account);
        if !holder.regions.contains_key(region) {
            let mut fresh = Region::default();
            services::seed_region(account, region, &mut fresh);
            holder.regions.insert(region.to_owned(), fresh);
        }
        holder.regions.entry(region.to_owned()).or_default()
    }

    /// The region, if anyone used it.
    pub(crate) fn region(&self, place: &Partition) -> Option<&Region> {
        self.accounts.get(&place.account)?.regions.get(&place.region)
    }

    /// Every region in use, with its place.
    pub(crate) fn regions(&self) -> impl Iterator<Item = (Partition, &Region)> {
        self.accounts.iter().flat_map(|(account, holder)| {
            holder.regions.iter().map(move |(name, region)| {
                (Partition { account: account.clone(), region: name.clone() }, region)
            })
        })
    }
}
