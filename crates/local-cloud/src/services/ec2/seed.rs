//! What every region and every VPC has from the start.
//!
//! Source: docs.aws.amazon.com/vpc/latest/userguide/default-vpc.html

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::acls::NetworkAcl;
use super::gateways::{Attachment, InternetGateway};
use super::groups::SecurityGroup;
use super::places::zones;
use super::routes::RouteTable;
use super::{Ec2State, Subnet, Vpc, ids};

/// Gives a region its default VPC.
pub(crate) fn seed(account: &str, region: &str, ec2: &mut Ec2State) {
    default_vpc(ec2, region, &mut |prefix, what| ids::seeded(prefix, account, region, what));
}

/// Makes the default VPC: 172.31.0.0/16 with a /20 in each of three zones, and the way to the
/// internet. `id` names what is made, by the prefix of its kind and a word for it.
pub(super) fn default_vpc(ec2: &mut Ec2State, region: &str, id: &mut dyn FnMut(&str, &str) -> String) -> Vpc {
    let block = Ipv4Net::new_assert(Ipv4Addr::new(172, 31, 0, 0), 16);
    let vpc = Vpc::new(id("vpc", "default"), block, true);
    furnish(ec2, &vpc, &mut |prefix| id(prefix, "default"));
    let gateway = InternetGateway {
        internet_gateway_id: id("igw", "default"),
        attachment_set: vec![Attachment { vpc_id: vpc.vpc_id.clone(), state: "available".to_owned() }],
    };
    for table in ec2.route_tables.values_mut().filter(|table| table.vpc_id == vpc.vpc_id) {
        table.lead_outside(&gateway.internet_gateway_id);
    }
    ec2.gateways.insert(gateway.internet_gateway_id.clone(), gateway);
    for (zone, third) in zones(region).iter().zip([0, 16, 32]) {
        let block = Ipv4Net::new_assert(Ipv4Addr::new(172, 31, third, 0), 20);
        let subnet = Subnet::new(id("subnet", zone), &vpc.vpc_id, block, zone, true);
        ec2.subnets.insert(subnet.subnet_id.clone(), subnet);
    }
    ec2.vpcs.insert(vpc.vpc_id.clone(), vpc.clone());
    vpc
}

/// Gives a VPC its main route table, its default security group and its default network ACL.
pub(super) fn furnish(ec2: &mut Ec2State, vpc: &Vpc, id: &mut dyn FnMut(&str) -> String) {
    let mut table = RouteTable::new(id("rtb"), vpc);
    table.make_main(id("rtbassoc"));
    ec2.route_tables.insert(table.route_table_id.clone(), table);
    let group = SecurityGroup::default_of(id("sg"), vpc, [id("sgr"), ids::fresh("sgr")]);
    ec2.groups.insert(group.group_id.clone(), group);
    let acl = NetworkAcl::default_of(id("acl"), &vpc.vpc_id);
    ec2.acls.insert(acl.id.clone(), acl);
}
