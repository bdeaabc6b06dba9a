//! Network interfaces: what load balancers and tasks have in a subnet.

use std::net::Ipv4Addr;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::addresses::public_ip;
use super::error::{no_group, no_interface, no_subnet};
use super::filter::{Filter, Filtered, Owned, page, passes};
use super::places::zone_id;
use super::tags::TagItem;
use super::{Ec2State, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// A network interface that a service made.
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
    /// Which service made it; empty if a client did.
    pub(super) requester_id: String,
    /// Whether it takes only what is meant for it.
    #[serde(default = "yes")]
    pub(super) source_dest_check: bool,
}

fn yes() -> bool {
    true
}

/// Who owns public addresses that nobody allocated.
const IP_OWNER: &str = "amazon";

/// The attachment of an interface that a service made.
const DEVICE_INDEX: u32 = 1;
const ATTACHED: &str = "attached";

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
        let interface = NetworkInterface {
            network_interface_id: ids::fresh("eni"),
            subnet_id: new.subnet_id.to_owned(),
            vpc_id,
            availability_zone,
            description: new.description,
            private_ip_address,
            mac_address: mac.iter().fold("0a".to_owned(), |mac, byte| format!("{mac}:{byte:02x}")),
            groups,
            public_ip: new.public_ip.then(public_ip),
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
    /// Whether a service made it.
    pub(super) fn is_managed(&self) -> bool {
        !self.requester_id.is_empty()
    }

    /// What clients make hangs on nothing: there are no instances.
    fn status(&self) -> &'static str {
        if self.is_managed() { "in-use" } else { "available" }
    }

    fn attachment_id(&self) -> String {
        self.network_interface_id.replacen("eni-", "ela-attach-", 1)
    }

    /// What a filter on `attachment.…` looks at; nothing if there is no such filter.
    fn of_attachment(&self, detail: &str) -> Option<Vec<String>> {
        let value = match detail {
            "attachment-id" => self.attachment_id(),
            "delete-on-termination" => false.to_string(),
            "device-index" => DEVICE_INDEX.to_string(),
            "instance-owner-id" => self.requester_id.clone(),
            "status" => ATTACHED.to_owned(),
            "attach-time" | "instance-id" => return Some(vec![]),
            _ => return None,
        };
        Some(self.is_managed().then_some(value).into_iter().collect())
    }
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
            "availability-zone-id" => zone_id(&self.availability_zone),
            "source-dest-check" => self.source_dest_check.to_string(),
            "interface-type" => "interface".to_owned(),
            "private-ip-address" | "addresses.private-ip-address" => self.private_ip_address.to_string(),
            "addresses.primary" => true.to_string(),
            "operator.managed" => false.to_string(),
            "association.public-ip" | "addresses.association.public-ip" => {
                return Some(self.public_ip.iter().map(Ipv4Addr::to_string).collect());
            }
            "association.ip-owner-id" | "addresses.association.owner-id" => {
                return Some(self.public_ip.iter().map(|_| IP_OWNER.to_owned()).collect());
            }
            // What these look at no interface has.
            "association.public-dns-name"
            | "ipv6-addresses.ipv6-address"
            | "operator.principal"
            | "private-dns-name" => return Some(vec![]),
            _ => return self.of_attachment(filter.strip_prefix("attachment.")?),
        }])
    }
}

/// An interface beside what is around it, for filters.
struct Seen<'a> {
    ec2: &'a Ec2State,
    interface: &'a NetworkInterface,
}

impl Filtered for Seen<'_> {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        let bound = self.ec2.elastic_ips.values().filter_map(|address| {
            let association = address.association.as_ref()?;
            let is_here = association.interface_id == self.interface.network_interface_id;
            is_here.then_some((address, association))
        });
        match filter {
            "association.allocation-id" => {
                Some(bound.map(|(address, _)| address.allocation_id.clone()).collect())
            }
            "association.association-id" => {
                Some(bound.map(|(_, association)| association.id.clone()).collect())
            }
            _ => self.interface.values(filter),
        }
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
pub(super) struct Shown {
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
    public_ip: Ipv4Addr,
    ip_owner_id: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrivateAddress {
    private_ip_address: Ipv4Addr,
    primary: bool,
    association: Option<Association>,
}

pub(super) fn shown(ec2: &Ec2State, account: &str, interface: &NetworkInterface) -> Shown {
    let association = interface.public_ip.map(|public_ip| Association { public_ip, ip_owner_id: IP_OWNER });
    let group_name = |id: &String| ec2.groups.get(id).map_or(String::new(), |group| group.group_name.clone());
    Shown {
        network_interface_id: interface.network_interface_id.clone(),
        subnet_id: interface.subnet_id.clone(),
        vpc_id: interface.vpc_id.clone(),
        availability_zone: interface.availability_zone.clone(),
        description: interface.description.clone(),
        owner_id: account.to_owned(),
        requester_id: interface.is_managed().then(|| interface.requester_id.clone()),
        requester_managed: interface.is_managed(),
        status: interface.status(),
        mac_address: interface.mac_address.clone(),
        private_ip_address: interface.private_ip_address,
        source_dest_check: interface.source_dest_check,
        group_set: interface
            .groups
            .iter()
            .map(|id| GroupItem { group_id: id.clone(), group_name: group_name(id) })
            .collect(),
        attachment: interface.is_managed().then(|| Attachment {
            attachment_id: interface.attachment_id(),
            instance_owner_id: interface.requester_id.clone(),
            device_index: DEVICE_INDEX,
            status: ATTACHED,
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
        let seen = Owned { resource: Seen { ec2, interface }, owner: &account };
        if named && passes(&input.filter, &seen, ec2.tags_of(id))? {
            found.push(shown(ec2, &account, interface));
        }
    }
    let (network_interface_set, next_token) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&DescribeOutput { network_interface_set, next_token })
}
