//! A region with load balancers, asked through the API, for tests.

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::services::{self, Call, Settings};
use crate::wire::{ApiError, Input, Output, Service};
use crate::world::{Partition, World};

/// A cloud in memory, without controllers.
pub(crate) struct Cloud {
    pub(crate) world: World,
    settings: Settings,
}

impl Cloud {
    pub(crate) fn new() -> Self {
        let settings = Settings {
            endpoint: ([127, 0, 0, 1], 4580).into(),
            inert: false,
            clock: Clock::new(1.0),
            uploads: pipeline_data_plane::registry::Uploads::default(),
        };
        Self { world: World::in_memory(), settings }
    }

    /// Calls an operation of any service.
    pub(crate) fn ask(
        &self,
        service: Service,
        operation: &str,
        parameters: Value,
    ) -> Result<Value, ApiError> {
        let input = Input::from_value(service, parameters);
        self.world.write(|state| {
            let mut call = Call {
                access_key: None,
                place: Partition { account: "123456789012".into(), region: "eu-central-1".into() },
                now: self.settings.clock.now(),
                settings: &self.settings,
                state,
            };
            services::call(&mut call, service, operation, &input).map(Output::into_body)
        })
    }

    /// Calls an operation of the load balancer that must succeed.
    pub(crate) fn ok(&self, operation: &str, parameters: Value) -> Value {
        match self.ask(Service::Elbv2, operation, parameters) {
            Ok(answer) => answer,
            Err(error) => panic!("{operation}: {}: {}", error.code, error.message),
        }
    }

    /// Code and message of a call of the load balancer that must fail.
    pub(crate) fn err(&self, operation: &str, parameters: Value) -> String {
        match self.ask(Service::Elbv2, operation, parameters) {
            Ok(answer) => panic!("{operation} succeeded: {answer}"),
            Err(error) => format!("{}: {}", error.code, error.message),
        }
    }

    /// Ids of the default subnets.
    pub(crate) fn subnets(&self) -> Vec<String> {
        let all = self.ask(Service::Ec2, "DescribeSubnets", json!({})).expect("subnets");
        let subnets = all["subnetSet"].as_array().expect("a list");
        subnets.iter().map(|subnet| text(&subnet["subnetId"])).collect()
    }

    /// Id of the default VPC.
    pub(crate) fn vpc(&self) -> String {
        let all = self.ask(Service::Ec2, "DescribeVpcs", json!({})).expect("VPCs");
        text(&all["vpcSet"][0]["vpcId"])
    }

    /// ARN of a new load balancer.
    pub(crate) fn load_balancer(&self, name: &str) -> String {
        let made = self.ok("CreateLoadBalancer", json!({ "Name": name, "Subnets": self.subnets() }));
        text(&made["LoadBalancers"][0]["LoadBalancerArn"])
    }

    /// ARN of a new target group for addresses, with port 8080.
    pub(crate) fn target_group(&self, name: &str) -> String {
        let made = self.ok(
            "CreateTargetGroup",
            json!({ "Name": name, "Protocol": "HTTP", "Port": 8080, "VpcId": self.vpc(), "TargetType": "ip" }),
        );
        text(&made["TargetGroups"][0]["TargetGroupArn"])
    }

    /// ARN of a new listener that forwards.
    pub(crate) fn listener(&self, balancer: &str, port: u16, weights: &[(&String, u32)]) -> String {
        let made = self.ok(
            "CreateListener",
            json!({
                "LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": port, "DefaultActions": [forward(weights)]
            }),
        );
        text(&made["Listeners"][0]["ListenerArn"])
    }

    /// ARN of a new listener with the certificate that is there from the start.
    pub(crate) fn https_listener(&self, balancer: &str, port: u16, group: &String) -> String {
        let all = self.ask(Service::Acm, "ListCertificates", json!({})).expect("certificates");
        let certificate = &all["CertificateSummaryList"][0]["CertificateArn"];
        let made = self.ok(
            "CreateListener",
            json!({
                "LoadBalancerArn": balancer, "Protocol": "HTTPS", "Port": port,
                "Certificates": [{ "CertificateArn": certificate }], "DefaultActions": [forward(&[(group, 1)])]
            }),
        );
        text(&made["Listeners"][0]["ListenerArn"])
    }

    pub(crate) fn register(&self, group: &str, address: &str, port: Option<u16>) {
        let target = json!({ "Id": address, "Port": port });
        self.ok("RegisterTargets", json!({ "TargetGroupArn": group, "Targets": [target] }));
    }

    pub(crate) fn deregister(&self, group: &str, address: &str) {
        self.ok("DeregisterTargets", json!({ "TargetGroupArn": group, "Targets": [{ "Id": address }] }));
    }

    /// State and reason of the only target of a group.
    pub(crate) fn health(&self, group: &str) -> (String, String) {
        let health = self.ok("DescribeTargetHealth", json!({ "TargetGroupArn": group }));
        let health = &health["TargetHealthDescriptions"][0]["TargetHealth"];
        (text(&health["State"]), text(&health["Reason"]))
    }
}

/// An action that forwards.
pub(crate) fn forward(weights: &[(&String, u32)]) -> Value {
    let groups: Vec<Value> =
        weights.iter().map(|(group, weight)| json!({ "TargetGroupArn": group, "Weight": weight })).collect();
    json!({ "Type": "forward", "ForwardConfig": { "TargetGroups": groups } })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
