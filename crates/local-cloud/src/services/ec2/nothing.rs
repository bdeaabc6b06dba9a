//! What the cloud has none of: lists of it are empty, and one that is asked for by its id does not exist.
//!
//! Names of lists and parameters: the service's API model (github.com/aws/api-models-aws); codes:
//! docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html

use serde_json::{Map, Value, json};

use crate::wire::{ApiError, Input, Output};

/// Operation, list in its answer, parameter with ids, error for an id, what an id is the id of.
const NOTHING: [(&str, &str, &str, &str, &str); 18] = [
    ("DescribeInstances", "reservationSet", "InstanceId", "InvalidInstanceID.NotFound", "instance"),
    ("DescribeInstanceStatus", "instanceStatusSet", "InstanceId", "InvalidInstanceID.NotFound", "instance"),
    ("DescribeVolumes", "volumeSet", "VolumeId", "InvalidVolume.NotFound", "volume"),
    ("DescribeSnapshots", "snapshotSet", "SnapshotId", "InvalidSnapshot.NotFound", "snapshot"),
    ("DescribeKeyPairs", "keySet", "KeyPairId", "InvalidKeyPair.NotFound", "key pair"),
    (
        "DescribeLaunchTemplates",
        "launchTemplates",
        "LaunchTemplateId",
        "InvalidLaunchTemplateId.NotFound",
        "launch template",
    ),
    ("DescribeFlowLogs", "flowLogSet", "FlowLogId", "InvalidFlowLogId.NotFound", "flow log"),
    (
        "DescribeVpcEndpoints",
        "vpcEndpointSet",
        "VpcEndpointId",
        "InvalidVpcEndpointId.NotFound",
        "vpcEndpoint",
    ),
    (
        "DescribeVpcPeeringConnections",
        "vpcPeeringConnectionSet",
        "VpcPeeringConnectionId",
        "InvalidVpcPeeringConnectionID.NotFound",
        "vpcPeeringConnection",
    ),
    (
        "DescribeEgressOnlyInternetGateways",
        "egressOnlyInternetGatewaySet",
        "EgressOnlyInternetGatewayId",
        "InvalidGatewayID.NotFound",
        "eigw",
    ),
    ("DescribeVpnGateways", "vpnGatewaySet", "VpnGatewayId", "InvalidVpnGatewayID.NotFound", "vpnGateway"),
    (
        "DescribeVpnConnections",
        "vpnConnectionSet",
        "VpnConnectionId",
        "InvalidVpnConnectionID.NotFound",
        "vpnConnection",
    ),
    (
        "DescribeCustomerGateways",
        "customerGatewaySet",
        "CustomerGatewayId",
        "InvalidCustomerGatewayID.NotFound",
        "customerGateway",
    ),
    (
        "DescribeCarrierGateways",
        "carrierGatewaySet",
        "CarrierGatewayId",
        "InvalidCarrierGatewayID.NotFound",
        "carrierGateway",
    ),
    (
        "DescribeTransitGateways",
        "transitGatewaySet",
        "TransitGatewayIds",
        "InvalidTransitGatewayID.NotFound",
        "transitGateway",
    ),
    (
        "DescribeTransitGatewayVpcAttachments",
        "transitGatewayVpcAttachments",
        "TransitGatewayAttachmentIds",
        "InvalidTransitGatewayAttachmentID.NotFound",
        "transitGatewayAttachment",
    ),
    ("DescribePrefixLists", "prefixListSet", "PrefixListId", "InvalidPrefixListId.NotFound", "prefixList"),
    (
        "DescribeManagedPrefixLists",
        "prefixListSet",
        "PrefixListId",
        "InvalidPrefixListID.NotFound",
        "prefixList",
    ),
];

/// The answer, if `operation` is one that lists what is never there.
pub(super) fn describe(operation: &str, input: &Input) -> Option<Result<Output, ApiError>> {
    let (_, list, parameter, code, kind) = NOTHING.iter().find(|(name, ..)| *name == operation)?;
    Some(named(input, parameter).and_then(|id| match id {
        Some(id) => Err(ApiError::sender(*code, format!("The {kind} ID '{id}' does not exist"))),
        None => Output::of(&json!({ *list: [] })),
    }))
}

/// The first id that was asked for.
fn named(input: &Input, parameter: &str) -> Result<Option<String>, ApiError> {
    let parameters: Map<String, Value> = input.parse()?;
    let ids = parameters.get(parameter).and_then(|ids| match ids {
        Value::Object(ids) => ids.values().next().cloned(),
        Value::Array(ids) => ids.first().cloned(),
        single => Some(single.clone()),
    });
    Ok(ids.and_then(|id| id.as_str().map(str::to_owned)))
}
