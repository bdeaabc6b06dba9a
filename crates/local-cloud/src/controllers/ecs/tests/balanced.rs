//! Services behind a load balancer.

use serde_json::{Value, json};

use super::Bench;
use crate::services::ecs::testing::place;
use crate::services::elbv2::Health;
use crate::wire::Service;
use crate::world::Region;

impl Bench {
    fn region<T>(&self, change: impl FnOnce(&mut Region) -> T) -> T {
        let place = place();
        self.caller.world.write(|state| change(state.region_mut(&place.account, &place.region)))
    }

    fn balancing(&self, operation: &str, parameters: Value) {
        if let Err(error) = self.caller.raw(Service::Elbv2, operation, parameters) {
            panic!("{operation}: {}: {}", error.code, error.message);
        }
    }

    /// A target group of the default VPC.
    fn group(&self, name: &str, kind: &str) -> String {
        let vpc = self.region(|region| region.ec2.default_vpc().expect("a VPC").vpc_id.clone());
        let wish =
            json!({ "Name": name, "Protocol": "HTTP", "Port": 8080, "VpcId": vpc, "TargetType": kind });
        self.balancing("CreateTargetGroup", wish);
        self.region(|region| {
            let groups = &region.elbv2.target_groups;
            groups.values().find(|group| group.name == name).expect("made").arn.clone()
        })
    }

    /// A listener that forwards to a group.
    fn listener(&self, group: &str) {
        let subnets: Vec<String> = self.region(|region| {
            let ec2 = serde_json::to_value(&region.ec2).expect("JSON");
            ec2["subnets"].as_object().expect("subnets").keys().take(2).cloned().collect()
        });
        self.balancing("CreateLoadBalancer", json!({ "Name": "lb", "Subnets": subnets }));
        let arn = self.region(|region| region.elbv2.load_balancers.keys().next().expect("made").clone());
        self.balancing(
            "CreateListener",
            json!({
                "LoadBalancerArn": arn, "Protocol": "HTTP", "Port": 18080,
                "DefaultActions": [{ "Type": "forward", "TargetGroupArn": group }]
            }),
        );
    }

    /// What the load balancer finds of every target of a group.
    fn report(&self, group: &str, state: &str) -> usize {
        let health = Health { state: state.into(), reason: None, description: None };
        self.region(|region| {
            let group = region.elbv2.target_groups.get_mut(group).expect("group");
            for target in &mut group.targets {
                target.reported = Some(health.clone());
            }
            group.targets.len()
        })
    }

    fn blue_green(&self, group: &str) -> Value {
        let mut wish = self.caller.service("web", 2);
        wish["deploymentController"] = json!({ "type": "CODE_DEPLOY" });
        wish["healthCheckGracePeriodSeconds"] = json!(1);
        wish["loadBalancers"] =
            json!([{ "targetGroupArn": group, "containerName": "web", "containerPort": 8080 }]);
        wish
    }

    fn set(&self) -> Value {
        self.service("web")["taskSets"][0].clone()
    }
}

#[tokio::test]
async fn target_groups_must_fit() {
    let bench = Bench::new().await;
    let refused = |wish: Value| bench.caller.err("CreateService", wish).1;
    let group = bench.group("blue", "ip");
    assert_eq!(
        refused(bench.blue_green(&group)),
        format!("The target group with targetGroupArn {group} does not have an associated load balancer.")
    );
    let instances = bench.group("old", "instance");
    assert!(
        refused(bench.blue_green(&instances)).contains("which is incompatible with the awsvpc network mode")
    );
    assert!(refused(bench.blue_green("arn:nothing")).contains("does not exist"));
}

#[tokio::test]
async fn a_task_set_is_steady_when_its_targets_are_healthy() {
    let bench = Bench::new().await;
    let group = bench.group("blue", "ip");
    bench.listener(&group);
    bench.caller.ok("CreateService", bench.blue_green(&group));
    bench.until("registered", |bench| bench.report(&group, "initial") == 2).await;
    bench.until("running", |bench| bench.set()["runningCount"] == 2).await;
    assert_eq!(bench.set()["status"], "PRIMARY");
    assert_eq!(bench.set()["stabilityStatus"], "STABILIZING");
    bench.report(&group, "healthy");
    bench.until("steady", |bench| bench.set()["stabilityStatus"] == "STEADY_STATE").await;
    assert!(bench.says("web", &format!("registered 1 targets in (target-group {group})")));
    assert_eq!(bench.service("web")["deployments"], json!([]));

    let refused = |more: Value| {
        let mut all = json!({ "cluster": "main", "service": "web" });
        all.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        bench.caller.err("UpdateService", all).1
    };
    let advice = "on services with a CODE_DEPLOY deployment controller. Use AWS CodeDeploy to trigger a new \
                  deployment.";
    assert_eq!(
        refused(json!({ "taskDefinition": "app" })),
        format!("Unable to update task definition {advice}")
    );
    assert_eq!(refused(json!({ "loadBalancers": [] })), format!("Unable to update load balancers {advice}"));
    assert_eq!(
        refused(json!({ "networkConfiguration": {} })),
        format!("Unable to update network parameters {advice}")
    );
    assert_eq!(
        refused(json!({ "platformVersion": "1.4.0" })),
        format!("Unable to update platform version {advice}")
    );
    assert_eq!(
        refused(json!({ "forceNewDeployment": true })),
        format!("Cannot force a new deployment {advice}")
    );
}

#[tokio::test]
async fn unhealthy_tasks_are_replaced_after_the_grace_period() {
    let bench = Bench::new().await;
    let group = bench.group("blue", "ip");
    bench.listener(&group);
    bench.caller.ok("CreateService", bench.blue_green(&group));
    bench.until("registered", |bench| bench.report(&group, "initial") == 2).await;
    let failed = |bench: &Bench| {
        bench.report(&group, "unhealthy");
        bench.tasks("STOPPED").iter().any(|task| {
            let reason = task["stoppedReason"].as_str().unwrap_or_default().to_owned();
            task["lastStatus"] == "STOPPED"
                && reason.starts_with("Task failed ELB health checks in (target-group ")
        })
    };
    bench.until("replaced", failed).await;
    bench
        .until("steady with others", |bench| {
            bench.report(&group, "healthy");
            bench.set()["stabilityStatus"] == "STEADY_STATE" && bench.runtime.running().len() == 2
        })
        .await;
}

#[tokio::test]
async fn a_task_is_drained_before_it_is_told_to_end() {
    let bench = Bench::new().await;
    let group = bench.group("blue", "ip");
    bench.listener(&group);
    bench.caller.ok("CreateService", bench.blue_green(&group));
    bench
        .until("steady", |bench| {
            bench.report(&group, "healthy");
            bench.set()["stabilityStatus"] == "STEADY_STATE"
        })
        .await;
    bench.caller.ok("DeleteService", json!({ "cluster": "main", "service": "web", "force": true }));
    // 300 s at a thousandth, and at least the moment that the load balancer needs to hear of it.
    bench
        .until("draining", |bench| bench.tasks("STOPPED").iter().any(|it| it["lastStatus"] == "DEACTIVATING"))
        .await;
    assert_eq!(bench.runtime.running().len(), 2, "still serving");
    let draining = bench.region(|region| {
        let group = region.elbv2.target_groups.get(&group).expect("group");
        group.targets.iter().all(|target| target.drains_until.is_some())
    });
    assert!(draining);
    bench.until("gone", |bench| bench.service("web")["status"] == "INACTIVE").await;
    assert!(bench.runtime.running().is_empty());
}
