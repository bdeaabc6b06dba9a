//! The AWS services that the cloud speaks, and how each is spoken.

/// A wire protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// awsJson 1.1: `X-Amz-Target` names the operation.
    Json,
    /// awsJson 1.0: the same with another content type.
    Json10,
    /// Smithy RPC v2 with CBOR: the path names the operation.
    Cbor,
    /// awsQuery: the form field `Action` names the operation.
    Query,
    /// The EC2 flavour of awsQuery: flat lists in, `item` lists out.
    Ec2,
    /// restXml: method and path name the operation.
    RestXml,
}

/// An AWS service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Service {
    Acm,
    ApplicationAutoScaling,
    CloudWatch,
    CodeDeploy,
    Ec2,
    Ecr,
    Ecs,
    Elbv2,
    Iam,
    Logs,
    Route53,
    Sts,
}

/// One row of the table below.
struct Facts {
    service: Service,
    /// The signing name in the SigV4 scope.
    signing_name: &'static str,
    protocol: Protocol,
    /// The prefix in `X-Amz-Target`, or the API version of a query service.
    key: &'static str,
    /// XML namespace of answers.
    namespace: &'static str,
    /// The code for a malformed or missing parameter.
    validation_code: &'static str,
}

/// Signing names, target prefixes, versions and namespaces are those of the services' API models
/// (github.com/aws/api-models-aws).
const FACTS: [Facts; 12] = [
    json(Service::Acm, "acm", "CertificateManager", "ValidationException"),
    json(
        Service::ApplicationAutoScaling,
        "application-autoscaling",
        "AnyScaleFrontendService",
        "ValidationException",
    ),
    // Spoken in three protocols; this is the oldest. See `by_target` for the others.
    xml(
        Service::CloudWatch,
        "monitoring",
        Protocol::Query,
        "2010-08-01",
        "http://monitoring.amazonaws.com/doc/2010-08-01/",
        "ValidationError",
    ),
    json(Service::CodeDeploy, "codedeploy", "CodeDeploy_20141006", "InvalidInputException"),
    xml(
        Service::Ec2,
        "ec2",
        Protocol::Ec2,
        "2016-11-15",
        "http://ec2.amazonaws.com/doc/2016-11-15/",
        "InvalidParameterValue",
    ),
    json(Service::Ecr, "ecr", "AmazonEC2ContainerRegistry_V20150921", "InvalidParameterException"),
    json(Service::Ecs, "ecs", "AmazonEC2ContainerServiceV20141113", "InvalidParameterException"),
    xml(
        Service::Elbv2,
        "elasticloadbalancing",
        Protocol::Query,
        "2015-12-01",
        "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
        "ValidationError",
    ),
    xml(
        Service::Iam,
        "iam",
        Protocol::Query,
        "2010-05-08",
        "https://iam.amazonaws.com/doc/2010-05-08/",
        "ValidationError",
    ),
    json(Service::Logs, "logs", "Logs_20140328", "InvalidParameterException"),
    xml(
        Service::Route53,
        "route53",
        Protocol::RestXml,
        "2013-04-01",
        "https://route53.amazonaws.com/doc/2013-04-01/",
        "InvalidInput",
    ),
    xml(
        Service::Sts,
        "sts",
        Protocol::Query,
        "2011-06-15",
        "https://sts.amazonaws.com/doc/2011-06-15/",
        "ValidationError",
    ),
];

/// What CloudWatch is called where its query version is not.
const CLOUDWATCH_TARGET: &str = "GraniteServiceVersion20100801";

const fn json(
    service: Service,
    signing_name: &'static str,
    key: &'static str,
    validation_code: &'static str,
) -> Facts {
    Facts { service, signing_name, protocol: Protocol::Json, key, namespace: "", validation_code }
}

const fn xml(
    service: Service,
    signing_name: &'static str,
    protocol: Protocol,
    key: &'static str,
    namespace: &'static str,
    validation_code: &'static str,
) -> Facts {
    Facts { service, signing_name, protocol, key, namespace, validation_code }
}

impl Service {
    /// The service with this signing name.
    pub(crate) fn by_signing_name(name: &str) -> Option<Self> {
        FACTS.iter().find(|facts| facts.signing_name == name).map(|facts| facts.service)
    }

    /// The service of an `X-Amz-Target` prefix, or of the path of an RPC v2 call.
    pub(crate) fn by_target(prefix: &str) -> Option<Self> {
        if prefix == CLOUDWATCH_TARGET {
            return Some(Self::CloudWatch);
        }
        let mut json = FACTS.iter().filter(|facts| facts.protocol == Protocol::Json);
        json.find(|facts| facts.key == prefix).map(|facts| facts.service)
    }

    /// The query service of this API version: for requests that are not signed.
    pub(crate) fn by_version(version: &str) -> Option<Self> {
        let mut query = FACTS.iter().filter(|facts| facts.protocol != Protocol::Json);
        query.find(|facts| facts.key == version).map(|facts| facts.service)
    }

    fn facts(self) -> &'static Facts {
        // The table has a row for every variant; a test walks them.
        FACTS.iter().find(|facts| facts.service == self).unwrap_or(&FACTS[0])
    }

    /// The name in errors and faults: the signing name.
    pub(crate) fn name(self) -> &'static str {
        self.facts().signing_name
    }

    /// How it is spoken.
    pub(crate) fn protocol(self) -> Protocol {
        self.facts().protocol
    }

    /// XML namespace of its answers.
    pub(crate) fn namespace(self) -> &'static str {
        self.facts().namespace
    }

    /// The code for a malformed or missing parameter.
    pub(crate) fn validation_code(self) -> &'static str {
        self.facts().validation_code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_found_by_its_own_names() {
        for facts in &FACTS {
            assert_eq!(Service::by_signing_name(facts.signing_name), Some(facts.service));
            assert_eq!(facts.service.name(), facts.signing_name);
            let by_key = match facts.protocol {
                Protocol::Json => Service::by_target(facts.key),
                _ => Service::by_version(facts.key),
            };
            assert_eq!(by_key, Some(facts.service));
        }
    }
}
