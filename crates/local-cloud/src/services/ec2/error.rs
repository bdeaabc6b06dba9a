//! EC2's errors.

use crate::wire::ApiError;

/// A required parameter was not given.
pub(super) fn required<'a>(value: &'a Option<String>, name: &str) -> Result<&'a str, ApiError> {
    value.as_deref().filter(|value| !value.is_empty()).ok_or_else(|| missing_parameter(name))
}

pub(super) fn missing_parameter(name: &str) -> ApiError {
    ApiError::sender("MissingParameter", format!("The request must contain the parameter {name}"))
}

pub(super) fn invalid_value(message: impl Into<String>) -> ApiError {
    ApiError::sender("InvalidParameterValue", message)
}

pub(super) fn no_vpc(id: &str) -> ApiError {
    ApiError::sender("InvalidVpcID.NotFound", format!("The vpc ID '{id}' does not exist"))
}

pub(super) fn no_subnet(id: &str) -> ApiError {
    ApiError::sender("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist"))
}

pub(super) fn no_group(id: &str) -> ApiError {
    ApiError::sender("InvalidGroup.NotFound", format!("The security group '{id}' does not exist"))
}

pub(super) fn no_route_table(id: &str) -> ApiError {
    ApiError::sender("InvalidRouteTableID.NotFound", format!("The routeTable ID '{id}' does not exist"))
}

pub(super) fn no_gateway(id: &str) -> ApiError {
    ApiError::sender(
        "InvalidInternetGatewayID.NotFound",
        format!("The internetGateway ID '{id}' does not exist"),
    )
}

pub(super) fn no_interface(id: &str) -> ApiError {
    ApiError::sender(
        "InvalidNetworkInterfaceID.NotFound",
        format!("The networkInterface ID '{id}' does not exist"),
    )
}

pub(super) fn dependency(message: impl Into<String>) -> ApiError {
    ApiError::sender("DependencyViolation", message)
}
