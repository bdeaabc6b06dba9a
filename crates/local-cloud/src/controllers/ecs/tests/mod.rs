mod balanced;
mod fake;
mod random;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::EcsController;
use crate::services::ecs::testing::{Caller, fargate_definition};
use fake::FakeRuntime;

/// A cloud whose tasks run in a [`FakeRuntime`], on a fast clock.
struct Bench {
    caller: Caller,
    runtime: Arc<FakeRuntime>,
    controller: JoinHandle<()>,
}

impl Bench {
    async fn new() -> Self {
        let caller = Caller::new(false, 1000.0);
        let (runtime, events) = FakeRuntime::new();
        caller.furnish();
        let controller = Self::start(&caller, &runtime, events);
        Self { caller, runtime, controller }
    }

    fn start(
        caller: &Caller,
        runtime: &Arc<FakeRuntime>,
        events: tokio::sync::mpsc::UnboundedReceiver<pipeline_data_plane::runtime::TaskEvent>,
    ) -> JoinHandle<()> {
        let controller = EcsController {
            world: caller.world.clone(),
            clock: caller.settings.clock,
            runtime: Arc::clone(runtime) as _,
            events,
        };
        tokio::spawn(controller.run())
    }

    /// Waits until `what` holds; it is asked after each change of the world.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let mut changes = self.caller.world.watch();
        let waiting = async {
            while !holds(self) {
                // The runtime's own changes are not the world's.
                let _ = tokio::time::timeout(Duration::from_millis(20), changes.changed()).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), waiting).await.is_err() {
            let state = serde_json::to_string_pretty(&self.service("web")).unwrap_or_default();
            panic!("never: {what}\n{state}\nrunning: {:?}", self.runtime.running());
        }
    }

    fn service(&self, name: &str) -> Value {
        let shown = self.caller.ok("DescribeServices", json!({ "cluster": "main", "services": [name] }));
        shown["services"][0].clone()
    }

    fn tasks(&self, status: &str) -> Vec<Value> {
        let listed = self.caller.ok("ListTasks", json!({ "cluster": "main", "desiredStatus": status }));
        if listed["taskArns"].as_array().is_none_or(Vec::is_empty) {
            return Vec::new();
        }
        let shown =
            self.caller.ok("DescribeTasks", json!({ "cluster": "main", "tasks": listed["taskArns"] }));
        shown["tasks"].as_array().cloned().unwrap_or_default()
    }

    fn says(&self, name: &str, text: &str) -> bool {
        let events = self.service(name)["events"].as_array().cloned().unwrap_or_default();
        events.iter().any(|event| event["message"].as_str().is_some_and(|it| it.contains(text)))
    }

    async fn steady(&self, name: &str, count: usize) {
        self.until("steady", |bench| {
            let service = bench.service(name);
            service["runningCount"] == count
                && service["pendingCount"] == 0
                && service["deployments"].as_array().is_some_and(|it| it.len() == 1)
                && service["deployments"][0]["rolloutState"] == "COMPLETED"
                && bench.runtime.running().len() == count
        })
        .await;
    }
}

#[tokio::test]
async fn a_service_becomes_steady_and_replaces_what_crashes() {
    let bench = Bench::new().await;
    bench.caller.ok("CreateService", bench.caller.service("web", 2));
    bench.steady("web", 2).await;
    assert!(bench.says("web", "(service web) has started 2 tasks: (task "));
    assert!(bench.says("web", "(service web) has reached a steady state."));
    let tasks = bench.tasks("RUNNING");
    let task = &tasks[0];
    assert_eq!(task["lastStatus"], "RUNNING");
    assert_eq!(task["group"], "service:web");
    assert_eq!(task["startedBy"], bench.service("web")["deployments"][0]["id"]);
    assert_eq!(task["attachments"][0]["status"], "ATTACHED");
    let details = task["attachments"][0]["details"].as_array().expect("details");
    let address = details.iter().find(|it| it["name"] == "privateIPv4Address").expect("address");
    assert!(address["value"].as_str().expect("text").starts_with("172.31."));
    assert_eq!(task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"], address["value"]);
    let specs = bench.runtime.specs();
    assert_ne!(specs[0].address, specs[1].address);
    assert!(specs[0].address.is_loopback());

    let victim = bench.runtime.running().remove(0);
    bench.runtime.crash(&victim, 7);
    let ended = |bench: &Bench| bench.tasks("STOPPED").iter().any(|task| task["lastStatus"] == "STOPPED");
    bench.until("the crash is seen", ended).await;
    bench.steady("web", 2).await;
    let dead = bench.tasks("STOPPED").remove(0);
    assert_eq!(dead["stopCode"], "EssentialContainerExited");
    assert_eq!(dead["stoppedReason"], "Essential container in task exited");
    assert_eq!(dead["containers"][0]["exitCode"], 7);
    assert_eq!(dead["lastStatus"], "STOPPED");
    assert!(!bench.runtime.running().contains(&victim));
}

#[tokio::test]
async fn scaling_down_and_deleting_leaves_nothing() {
    let bench = Bench::new().await;
    bench.caller.ok("CreateService", bench.caller.service("web", 3));
    bench.steady("web", 3).await;
    bench.caller.ok("UpdateService", json!({ "cluster": "main", "service": "web", "desiredCount": 1 }));
    bench.steady("web", 1).await;
    let reason = bench.tasks("STOPPED")[0]["stoppedReason"].as_str().expect("text").to_owned();
    assert!(reason.starts_with("Scaling activity initiated by (deployment ecs-svc/"), "{reason}");
    bench.caller.ok("DeleteService", json!({ "cluster": "main", "service": "web", "force": true }));
    bench.until("gone", |bench| bench.service("web")["status"] == "INACTIVE").await;
    assert!(bench.runtime.running().is_empty());
    let interfaces = bench.caller.world.write(|state| {
        let place = crate::services::ecs::testing::place();
        let region = state.region_mut(&place.account, &place.region);
        serde_json::to_value(&region.ec2).expect("JSON")["interfaces"].as_object().map_or(0, |it| it.len())
    });
    assert_eq!(interfaces, 0);
}

#[tokio::test]
async fn a_rolling_deployment_stays_within_its_bounds() {
    let bench = Bench::new().await;
    let mut wish = bench.caller.service("web", 4);
    wish["deploymentConfiguration"] = json!({ "minimumHealthyPercent": 100, "maximumPercent": 150 });
    bench.caller.ok("CreateService", wish);
    bench.steady("web", 4).await;
    let before = bench.runtime.running();
    bench.caller.ok("RegisterTaskDefinition", fargate_definition("app"));
    bench
        .caller
        .ok("UpdateService", json!({ "cluster": "main", "service": "web", "taskDefinition": "app:2" }));
    bench.steady("web", 4).await;
    assert!(bench.runtime.running().iter().all(|id| !before.contains(id)));
    // Old tasks that stop do not count against the maximum, so the runtime may see a few more.
    assert!(bench.runtime.most() <= 8, "{}", bench.runtime.most());
    assert!(bench.says("web", "deployment completed."));
}

#[tokio::test]
async fn the_circuit_breaker_goes_back() {
    let bench = Bench::new().await;
    let mut wish = bench.caller.service("web", 1);
    wish["deploymentConfiguration"] =
        json!({ "deploymentCircuitBreaker": { "enable": true, "rollback": true } });
    bench.caller.ok("CreateService", wish);
    bench.steady("web", 1).await;
    let good = bench.runtime.running();
    let mut broken = fargate_definition("app");
    broken["containerDefinitions"][0]["image"] = json!("broken:1");
    bench.runtime.break_image("broken:1");
    bench.caller.ok("RegisterTaskDefinition", broken);
    bench
        .caller
        .ok("UpdateService", json!({ "cluster": "main", "service": "web", "taskDefinition": "app:2" }));
    bench.until("rolled back", |bench| bench.says("web", "rolling back to deployment")).await;
    bench.steady("web", 1).await;
    let service = bench.service("web");
    assert!(service["taskDefinition"].as_str().expect("text").ends_with("app:1"));
    let failed = bench.tasks("STOPPED");
    let failed = failed.iter().find(|it| it["stopCode"] == "TaskFailedToStart").expect("a failed task");
    assert_eq!(failed["stoppedReason"], "CannotPullContainerError: no such image");
    assert!(good.len() == 1 && bench.says("web", "deployment failed: tasks failed to start."));
}

#[tokio::test]
async fn task_sets_are_run_side_by_side() {
    let bench = Bench::new().await;
    bench.caller.ok(
        "CreateService",
        json!({
            "cluster": "main", "serviceName": "ext", "desiredCount": 2, "launchType": "FARGATE",
            "deploymentController": { "type": "EXTERNAL" }
        }),
    );
    let network = json!({ "awsvpcConfiguration": { "subnets": [bench.caller.subnet()] } });
    let create = || {
        let wish = json!({
            "cluster": "main", "service": "ext", "taskDefinition": "app", "networkConfiguration": network
        });
        bench.caller.ok("CreateTaskSet", wish)["taskSet"]["id"].as_str().expect("an id").to_owned()
    };
    let sets = |bench: &Bench| bench.service("ext")["taskSets"].as_array().cloned().unwrap_or_default();
    let (blue, green) = (create(), create());
    bench
        .until("both are steady", |bench| {
            let sets = sets(bench);
            sets.len() == 2 && sets.iter().all(|set| set["stabilityStatus"] == "STEADY_STATE")
        })
        .await;
    assert_eq!(bench.runtime.running().len(), 4);
    for id in [&blue, &green] {
        bench.caller.ok(
            "UpdateServicePrimaryTaskSet",
            json!({ "cluster": "main", "service": "ext", "primaryTaskSet": id }),
        );
    }
    bench
        .caller
        .ok("DeleteTaskSet", json!({ "cluster": "main", "service": "ext", "taskSet": blue, "force": true }));
    bench.until("one is left", |bench| sets(bench).len() == 1 && bench.runtime.running().len() == 2).await;
    assert_eq!(sets(&bench)[0]["status"], "PRIMARY");
    assert_eq!(bench.service("ext")["deployments"], json!([]));
}

#[tokio::test]
async fn a_reset_stops_everything() {
    let bench = Bench::new().await;
    bench.caller.ok("CreateService", bench.caller.service("web", 3));
    bench.steady("web", 3).await;
    bench.caller.world.reset();
    bench.until("nothing runs", |bench| bench.runtime.running().is_empty()).await;
}

#[tokio::test]
async fn tasks_are_adopted_by_the_next_controller() {
    let mut bench = Bench::new().await;
    bench.caller.ok("CreateService", bench.caller.service("web", 3));
    bench.steady("web", 3).await;
    bench.controller.abort();
    let _ = (&mut bench.controller).await;
    let before = bench.runtime.running();
    bench.runtime.lose(&before[0]);
    bench.runtime.be_unavailable(1);
    let events = bench.runtime.reconnect();
    bench.controller = Bench::start(&bench.caller, &bench.runtime, events);
    bench.until("the lost one is replaced", |bench| !bench.tasks("STOPPED").is_empty()).await;
    bench.steady("web", 3).await;
    let after = bench.runtime.running();
    assert!(after.contains(&before[1]) && after.contains(&before[2]) && !after.contains(&before[0]));
}

#[tokio::test]
async fn a_runtime_that_does_not_answer_is_asked_again() {
    let bench = Bench::new().await;
    bench.runtime.be_unavailable(3);
    bench.caller.ok("CreateService", bench.caller.service("web", 2));
    bench.steady("web", 2).await;
    assert!(bench.tasks("STOPPED").is_empty());
}

#[tokio::test]
async fn a_single_task_runs_and_is_stopped() {
    let bench = Bench::new().await;
    let mut wish = bench.caller.service("x", 1);
    wish.as_object_mut().expect("object").retain(|key, _| key != "serviceName" && key != "desiredCount");
    bench.caller.ok("RunTask", wish);
    bench.until("runs", |bench| bench.tasks("RUNNING").iter().any(|it| it["lastStatus"] == "RUNNING")).await;
    let arn = bench.tasks("RUNNING")[0]["taskArn"].clone();
    bench.caller.ok("StopTask", json!({ "cluster": "main", "task": arn }));
    bench
        .until("stopped", |bench| bench.tasks("STOPPED").iter().any(|it| it["lastStatus"] == "STOPPED"))
        .await;
    let task = bench.tasks("STOPPED").remove(0);
    assert_eq!(task["containers"][0]["exitCode"], 143);
    assert_eq!(task["stopCode"], "UserInitiated");
    for time in ["createdAt", "startedAt", "stoppingAt", "executionStoppedAt", "stoppedAt"] {
        assert!(task[time].is_number(), "{time}");
    }
}

#[tokio::test]
async fn what_cannot_be_given_is_said() {
    let bench = Bench::new().await;
    let mut definition = fargate_definition("secret");
    definition["executionRoleArn"] = json!("arn:aws:iam::123456789012:role/x");
    definition["containerDefinitions"][0]["secrets"] = json!([{ "name": "A", "valueFrom": "arn:aws:ssm:x" }]);
    bench.caller.ok("RegisterTaskDefinition", definition);
    let mut wish = bench.caller.service("web", 1);
    wish["taskDefinition"] = json!("secret");
    bench.caller.ok("CreateService", wish);
    bench.until("it failed", |bench| !bench.tasks("STOPPED").is_empty()).await;
    let reason = bench.tasks("STOPPED")[0]["stoppedReason"].as_str().expect("text").to_owned();
    assert!(reason.contains("secrets (valueFrom)"), "{reason}");
}
