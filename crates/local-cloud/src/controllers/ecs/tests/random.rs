//! Random calls and crashes: whatever happens, nothing is left over and everything settles.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::Bench;

#[derive(Debug, Clone)]
enum Step {
    Create(u8, u32),
    Scale(u8, u32),
    Deploy(u8),
    Delete(u8),
    Run,
    StopOne(usize),
    Crash(usize),
    Unavailable(u32),
    Reset,
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8, 0..4u32).prop_map(|(service, count)| Step::Create(service, count)),
        3 => (0..3u8, 0..5u32).prop_map(|(service, count)| Step::Scale(service, count)),
        3 => (0..3u8).prop_map(Step::Deploy),
        2 => (0..3u8).prop_map(Step::Delete),
        1 => Just(Step::Run),
        2 => any::<usize>().prop_map(Step::StopOne),
        3 => any::<usize>().prop_map(Step::Crash),
        1 => (1..3u32).prop_map(Step::Unavailable),
        1 => Just(Step::Reset),
        4 => Just(Step::Wait),
    ]
}

fn apply(bench: &Bench, step: &Step) {
    let name = |service: &u8| format!("s{service}");
    // Calls may be refused: that is fine, and changes nothing.
    let call = |operation: &str, parameters| {
        let _ = bench.caller.call(operation, parameters);
    };
    match step {
        Step::Create(service, count) => call("CreateService", bench.caller.service(&name(service), *count)),
        Step::Scale(service, count) => call(
            "UpdateService",
            json!({ "cluster": "main", "service": name(service), "desiredCount": count }),
        ),
        Step::Deploy(service) => call(
            "UpdateService",
            json!({ "cluster": "main", "service": name(service), "forceNewDeployment": true }),
        ),
        Step::Delete(service) => {
            call("DeleteService", json!({ "cluster": "main", "service": name(service), "force": true }));
        }
        Step::Run => {
            let network = json!({ "awsvpcConfiguration": { "subnets": [bench.caller.subnet()] } });
            let wish = json!({
                "cluster": "main", "taskDefinition": "app", "launchType": "FARGATE", "networkConfiguration": network
            });
            call("RunTask", wish);
        }
        Step::StopOne(index) => {
            if let Some(id) = pick(&bench.runtime.running(), *index) {
                call("StopTask", json!({ "cluster": "main", "task": id }));
            }
        }
        Step::Crash(index) => {
            if let Some(id) = pick(&bench.runtime.running(), *index) {
                bench.runtime.crash(&id, 1);
            }
        }
        Step::Unavailable(calls) => bench.runtime.be_unavailable(*calls),
        Step::Reset => {
            bench.caller.world.reset();
            bench.caller.furnish();
        }
        Step::Wait => {}
    }
}

fn pick(ids: &[String], index: usize) -> Option<String> {
    (!ids.is_empty()).then(|| ids[index % ids.len()].clone())
}

/// Every service is what it should be, and the runtime runs exactly the tasks of the world.
fn is_settled(bench: &Bench) -> bool {
    bench.caller.world.read(|state| {
        let clusters = state.regions().flat_map(|(_, region)| region.ecs.clusters.values());
        let mut known = BTreeSet::new();
        for cluster in clusters {
            for entry in cluster.services.values() {
                let service = &entry.service;
                let settled = match service.status {
                    crate::services::ecs::ServiceStatus::Active => {
                        service.running_count == service.desired_count
                            && service.pending_count == 0
                            && entry.deployments.len() == 1
                    }
                    crate::services::ecs::ServiceStatus::Draining => false,
                    crate::services::ecs::ServiceStatus::Inactive => service.running_count == 0,
                };
                if !settled {
                    return false;
                }
            }
            for task in cluster.tasks.values().filter(|task| !task.is_stopped()) {
                if !task.is_wanted() || task.task.last_status != crate::services::ecs::TaskStatus::Running {
                    return false;
                }
                known.insert(task.id.clone());
            }
        }
        known == bench.runtime.running().into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn everything_settles(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let bench = Bench::new().await;
            for step in &steps {
                apply(&bench, step);
                if matches!(step, Step::Wait) {
                    tokio::task::yield_now().await;
                    let mut changes = bench.caller.world.watch();
                    let patience = std::time::Duration::from_millis(10);
                    let _ = tokio::time::timeout(patience, changes.changed()).await;
                }
                // Four tasks more than wanted may be there while old ones are replaced or stopped.
                prop_assert!(bench.runtime.running().len() <= 60);
            }
            bench.until("settled", is_settled).await;
            Ok(())
        })?;
    }
}
