//! Network interfaces: what load balancers and tasks have in a subnet.

use std::net::Ipv4Addr;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::error::{no_group, no_interface, no_subnet};
use super::filter::{Filter, Filtered, page, passes};
use super::tags::TagItem;
use super::{Ec2State, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// A network interface that a service made, or a customer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NetworkInterface {
    /// `eni-…`
    pub(crate) network_interface_id: String,
    /// Where it is.
    pub(crate) subnet_id: String,
    pub(crate) vpc_id: String,
    pub(crate) availability_zone: String,
    /// `arn:aws:ecs:…` or `ELB app/…`
    pub(crate) description: String,
    /// Its address in the subnet.
    pub(crate) private_ip_address: Ipv4Addr,
    pub(crate) mac_address: String,
    /// Ids of its security groups.
    pub(crate) groups: Vec<String>,
    /// Address under which it is seen from outside, if it has one.
    pub(crate) public_ip: Option<Ipv4Addr>,
    /// Which service made it; empty for one that the customer made.
    requester_id: String,
    #[serde(default = "checked")]
    pub(super) source_dest_check: bool,
}

fn checked() -> bool {
    true
}

/// What a service asks for.
#[derive(Debug, Clone)]
pub(crate) struct NewInterface<'a> {
    pub(crate) subnet_id: &'a str,
    /// Ids of security groups; the VPC's default group without any.
    pub(crate) groups: &'a [String],
    pub(crate) description: String,
    /// Which service: `amazon-elb`, `amazon-ecs`.
    pub(crate) requester: &'a str,
    pub(crate) public_ip: bool,
}

impl Ec2State {
    /// Makes an interface with an address of its own. Errors as CreateNetworkInterface has them.
    pub(crate) fn add_interface(&mut self, new: NewInterface<'_>) -> Result<NetworkInterface, ApiError> {
        let subnet = self.subnets.get(new.subnet_id).ok_or_else(|| no_subnet(new.subnet_id))?;
        let (vpc_id, availability_zone) = (subnet.vpc_id.clone(), subnet.availability_zone.clone());
        if let Some(unknown) = new.groups.iter().find(|id| !self.groups.contains_key(*id)) {
            return Err(no_group(unknown));
        }
        let groups = if new.groups.is_empty() {
            self.default_group(&vpc_id).map(|group| group.group_id.clone()).into_iter().collect()
        } else {
            new.groups.to_vec()
        };
        let private_ip_address = self.take_address(new.subnet_id)?;
        let mut random = rand::rng();
        let mac: [u8; 5] = random.random();
        let [a, b] = random.random::<[u8; 2]>();
        let interface = NetworkInterface {
            network_interface_id: ids::fresh("eni"),
            subnet_id: new.subnet_id.to_owned(),
            vpc_id,
            availability_zone,
            description: new.description,
            private_ip_address,
            mac_address: mac.iter().fold("0a".to_owned(), |mac, byte| format!("{mac}:{byte:02x}")),
            groups,
            // From the block for documentation: it must not look like somebody's address.
            public_ip: new.public_ip.then(|| Ipv4Addr::new(198, 18 + (a & 1), b, a | 1)),
            requester_id: new.requester.to_owned(),
            source_dest_check: true,
        };
        self.interfaces.insert(interface.network_interface_id.clone(), interface.clone());
        Ok(interface)
    }

    /// Removes an interface; one that is not there is fine.
    pub(crate) fn remove_interface(&mut self, id: &str) {
        self.interfaces.shift_remove(id);
        self.tags.remove(id);
    }

    /// An interface as answers show it.
    pub(super) fn shown_interface(&self, account: &str, id: &str) -> Result<impl Serialize, ApiError> {
        self.interfaces.get(id).map(|found| shown(self, account, found)).ok_or_else(|| no_interface(id))
    }

    /// Puts an interface into other security groups.
    pub(crate) fn set_interface_groups(&mut self, id: &str, groups: &[String]) {
        if let Some(interface) = self.interfaces.get_mut(id) {
            interface.groups = groups.to_vec();
        }
    }

    /// Whether an interface is in this security group.
    pub(super) fn group_is_worn(&self, group: &str) -> bool {
        self.interfaces.values().any(|interface| interface.groups.iter().any(|worn| worn == group))
    }
}

impl NetworkInterface {
    /// Whether a service made it: only that service may change it.
    pub(super) fn is_managed(&self) -> bool {
        !self.requester_id.is_empty()
    }

    fn status(&self) -> &'static str {
        if self.is_managed() { "in-use" } else { "available" }
    }
}

fn private_dns_name(address: Ipv4Addr) -> String {
    format!("ip-{}.ec2.internal", address.to_string().replace('.', "-"))
}

impl Filtered for NetworkInterface {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        Some(vec![match filter {
            "network-interface-id" => self.network_interface_id.clone(),
            "subnet-id" => self.subnet_id.clone(),
            "vpc-id" => self.vpc_id.clone(),
            "availability-zone" => self.availability_zone.clone(),
            "description" => self.description.clone(),
            "group-id" => return Some(self.groups.clone()),
            "mac-address" => self.mac_address.clone(),
            "requester-id" => self.requester_id.clone(),
            "requester-managed" => self.is_managed().to_string(),
            "status" => self.status().to_owned(),
            "private-dns-name" => private_dns_name(self.private_ip_address),
            "group-name" => return Some(Vec::new()),
            "source-dest-check" => self.source_dest_check.to_string(),
            "interface-type" => "interface".to_owned(),
            "private-ip-address" | "addresses.private-ip-address" => self.private_ip_address.to_string(),
            "association.public-ip" | "addresses.association.public-ip" => {
                return Some(self.public_ip.iter().map(Ipv4Addr::to_string).collect());
            }
            _ => return None,
        }])
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    network_interface_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeOutput {
    network_interface_set: Vec<Shown>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    network_interface_id: String,
    subnet_id: String,
    vpc_id: String,
    availability_zone: String,
    description: String,
    owner_id: String,
    requester_id: Option<String>,
    requester_managed: bool,
    status: &'static str,
    mac_address: String,
    private_ip_address: Ipv4Addr,
    private_dns_name: String,
    source_dest_check: bool,
    group_set: Vec<GroupItem>,
    attachment: Option<Attachment>,
    association: Option<Association>,
    tag_set: Vec<TagItem>,
    private_ip_addresses_set: Vec<PrivateAddress>,
    interface_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupItem {
    group_id: String,
    group_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    attachment_id: String,
    instance_owner_id: String,
    device_index: u32,
    status: &'static str,
    delete_on_termination: bool,
}

#[derive(Serialize, Clone)]
#[serde(rename_all = "camelCase")]
struct Association {
    allocation_id: Option<String>,
    association_id: Option<String>,
    public_ip: Ipv4Addr,
    ip_owner_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrivateAddress {
    private_ip_address: Ipv4Addr,
    primary: bool,
    association: Option<Association>,
}

fn shown(ec2: &Ec2State, account: &str, interface: &NetworkInterface) -> Shown {
    let association = interface.public_ip.map(|public_ip| {
        let mut all = ec2.addresses.values();
        let own = all.find(|address| address.public_ip == public_ip);
        Association {
            allocation_id: own.map(|address| address.allocation_id.clone()),
            association_id: own.and_then(|address| address.association_id.clone()),
            public_ip,
            ip_owner_id: own.map_or("amazon", |_| account).to_owned(),
        }
    });
    let group_name = |id: &String| ec2.groups.get(id).map_or(String::new(), |group| group.group_name.clone());
    Shown {
        network_interface_id: interface.network_interface_id.clone(),
        subnet_id: interface.subnet_id.clone(),
        vpc_id: interface.vpc_id.clone(),
        availability_zone: interface.availability_zone.clone(),
        description: interface.description.clone(),
        owner_id: account.to_owned(),
        requester_id: Some(interface.requester_id.clone()).filter(|_| interface.is_managed()),
        requester_managed: interface.is_managed(),
        status: interface.status(),
        mac_address: interface.mac_address.clone(),
        private_ip_address: interface.private_ip_address,
        private_dns_name: private_dns_name(interface.private_ip_address),
        source_dest_check: interface.source_dest_check,
        group_set: interface
            .groups
            .iter()
            .map(|id| GroupItem { group_id: id.clone(), group_name: group_name(id) })
            .collect(),
        attachment: interface.is_managed().then(|| Attachment {
            attachment_id: interface.network_interface_id.replacen("eni-", "ela-attach-", 1),
            instance_owner_id: interface.requester_id.clone(),
            device_index: 1,
            status: "attached",
            delete_on_termination: false,
        }),
        association: association.clone(),
        tag_set: ec2.tag_set(&interface.network_interface_id),
        private_ip_addresses_set: vec![PrivateAddress {
            private_ip_address: interface.private_ip_address,
            primary: true,
            association,
        }],
        interface_type: "interface",
    }
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let account = call.place.account.clone();
    let ec2 = &call.region().ec2;
    if let Some(id) = input.network_interface_id.iter().find(|id| !ec2.interfaces.contains_key(*id)) {
        return Err(no_interface(id));
    }
    let mut found = Vec::new();
    for interface in ec2.interfaces.values() {
        let id = &interface.network_interface_id;
        let named = input.network_interface_id.is_empty() || input.network_interface_id.contains(id);
        if named && passes(&input.filter, interface, ec2.tags_of(id))? {
            found.push(shown(ec2, &account, interface));
        }
    }
    let (network_interface_set, next_token) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&DescribeOutput { network_interface_set, next_token })
}
