//! Which services there are, and where they answer.

use aws_config::SdkConfig;
use aws_types::region::Region;
use aws_types::service_config::ServiceConfigKey;

use super::protocol::Protocol;

/// A service that is called without an SDK crate.
#[derive(Debug)]
pub(crate) struct Service {
    /// Its service id, from which the names of its own endpoint settings follow.
    pub(crate) id: &'static str,
    /// Its name in signatures.
    pub(crate) signing_name: &'static str,
    /// How it is spoken to.
    pub(crate) protocol: Protocol,
    /// The first part of its host names.
    host: &'static str,
    /// Whether a partition has only one endpoint.
    global: bool,
}

/// VPCs, subnets and security groups:
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html>.
pub(crate) static EC2: Service = Service {
    id: "EC2",
    signing_name: "ec2",
    protocol: Protocol::Ec2Query { version: "2016-11-15" },
    host: "ec2",
    global: false,
};

/// Roles: <https://docs.aws.amazon.com/IAM/latest/APIReference/welcome.html>.
pub(crate) static IAM: Service = Service {
    id: "IAM",
    signing_name: "iam",
    protocol: Protocol::Query { version: "2010-05-08" },
    host: "iam",
    global: true,
};

/// Log groups: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/Welcome.html>.
pub(crate) static CLOUDWATCH_LOGS: Service = Service {
    id: "CloudWatch Logs",
    signing_name: "logs",
    protocol: Protocol::Json { target: "Logs_20140328" },
    host: "logs",
    global: false,
};

/// Certificates: <https://docs.aws.amazon.com/acm/latest/APIReference/Welcome.html>.
pub(crate) static ACM: Service = Service {
    id: "ACM",
    signing_name: "acm",
    protocol: Protocol::Json { target: "CertificateManager" },
    host: "acm",
    global: false,
};

/// Scalable targets: <https://docs.aws.amazon.com/autoscaling/application/APIReference/Welcome.html>.
pub(crate) static APPLICATION_AUTO_SCALING: Service = Service {
    id: "Application Auto Scaling",
    signing_name: "application-autoscaling",
    protocol: Protocol::Json { target: "AnyScaleFrontendService" },
    host: "application-autoscaling",
    global: false,
};

impl Service {
    /// The endpoint, and the region that requests are signed for: `own` if it is given, else as the
    /// settings have it for this service or for all, else AWS's.
    pub(crate) fn place(&self, config: &SdkConfig, own: Option<&str>) -> (String, Option<Region>) {
        let set = own.map(str::to_owned).or_else(|| self.setting(config));
        let set = set.or_else(|| config.endpoint_url().map(str::to_owned));
        if let Some(url) = set {
            return (url, config.region().cloned());
        }
        let region = config.region().map_or("us-east-1", AsRef::as_ref);
        let variant = Variant {
            fips: config.use_fips().unwrap_or(false),
            dual_stack: config.use_dual_stack().unwrap_or(false),
        };
        let (url, signing_region) = self.aws(region, variant);
        (url, Some(Region::new(signing_region)))
    }

    /// `AWS_ENDPOINT_URL_<SERVICE>`, or `endpoint_url` in the profile's section of the service.
    fn setting(&self, config: &SdkConfig) -> Option<String> {
        let key = ServiceConfigKey::builder()
            .service_id(self.id)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build();
        config.service_config()?.load_config(key.ok()?)
    }

    /// AWS's own endpoint and the region to sign for:
    /// <https://docs.aws.amazon.com/general/latest/gr/rande.html>,
    /// <https://docs.aws.amazon.com/general/latest/gr/iam-service.html>.
    fn aws(&self, region: &str, variant: Variant) -> (String, String) {
        let (china, government) = (region.starts_with("cn-"), region.starts_with("us-gov-"));
        let fips = if variant.fips { "-fips" } else { "" };
        let suffix = match (variant.dual_stack, china) {
            (false, false) => "amazonaws.com",
            (false, true) => "amazonaws.com.cn",
            (true, false) => "api.aws",
            (true, true) => "api.amazonwebservices.com.cn",
        };
        let host = self.host;
        if !self.global {
            return (format!("https://{host}{fips}.{region}.{suffix}"), region.to_owned());
        }
        // A partition's one endpoint lies in its first region.
        let (place, signing) = match (china, government) {
            (true, _) => (".cn-north-1", "cn-north-1"),
            (_, true) => (".us-gov", "us-gov-west-1"),
            _ => ("", "us-east-1"),
        };
        let global = if variant.dual_stack && place.is_empty() { ".global" } else { place };
        (format!("https://{host}{fips}{global}.{suffix}"), signing.to_owned())
    }
}

/// `AWS_USE_FIPS_ENDPOINT` and `AWS_USE_DUALSTACK_ENDPOINT`.
#[derive(Clone, Copy, Default)]
struct Variant {
    fips: bool,
    dual_stack: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_have_endpoints() {
        let plain = |service: &Service, region| service.aws(region, Variant::default()).0;
        assert_eq!(plain(&EC2, "eu-central-1"), "https://ec2.eu-central-1.amazonaws.com");
        assert_eq!(plain(&EC2, "cn-north-1"), "https://ec2.cn-north-1.amazonaws.com.cn");
        assert_eq!(plain(&CLOUDWATCH_LOGS, "us-gov-west-1"), "https://logs.us-gov-west-1.amazonaws.com");
    }

    #[test]
    fn a_global_service_has_one_endpoint_and_region_for_each_partition() {
        let iam = |region| IAM.aws(region, Variant::default());
        let at = |url: &str, region: &str| (url.to_owned(), region.to_owned());
        assert_eq!(iam("eu-central-1"), at("https://iam.amazonaws.com", "us-east-1"));
        assert_eq!(iam("cn-northwest-1"), at("https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"));
        assert_eq!(iam("us-gov-east-1"), at("https://iam.us-gov.amazonaws.com", "us-gov-west-1"));
    }

    #[test]
    fn fips_and_dual_stack_have_endpoints_of_their_own() {
        let fips = Variant { fips: true, dual_stack: false };
        assert_eq!(ACM.aws("us-east-1", fips).0, "https://acm-fips.us-east-1.amazonaws.com");
        assert_eq!(IAM.aws("us-east-1", fips).0, "https://iam-fips.amazonaws.com");
        let dual = Variant { fips: false, dual_stack: true };
        assert_eq!(EC2.aws("eu-central-1", dual).0, "https://ec2.eu-central-1.api.aws");
        assert_eq!(IAM.aws("eu-central-1", dual).0, "https://iam.global.api.aws");
    }

    #[test]
    fn an_endpoint_that_is_set_goes_before_aws_and_keeps_the_region() {
        let config = SdkConfig::builder().region(Region::new("eu-central-1"));
        let config = config.endpoint_url("http://127.0.0.1:1").build();
        let region = Some(Region::new("eu-central-1"));
        assert_eq!(IAM.place(&config, None), ("http://127.0.0.1:1".to_owned(), region.clone()));
        assert_eq!(IAM.place(&config, Some("http://own")), ("http://own".to_owned(), region));
    }
}
