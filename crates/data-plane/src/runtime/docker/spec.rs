//! A container's specification in Docker's words.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, PortBinding};

use super::super::{ContainerSpec, HealthCheck, TaskSpec};
use super::{CLOUD, CONTAINER, TASK};

/// What is sent to the daemon. `network` is the container that lends its network; without one this
/// container is the lender and publishes the ports of the whole task.
pub(super) fn body(
    cloud: &str,
    task: &TaskSpec,
    container: &ContainerSpec,
    image: &str,
    network: Option<&str>,
) -> ContainerCreateBody {
    let mut labels: HashMap<String, String> = container.labels.clone().into_iter().collect();
    labels.insert(CLOUD.to_owned(), cloud.to_owned());
    labels.insert(TASK.to_owned(), task.id.clone());
    labels.insert(CONTAINER.to_owned(), container.name.clone());
    let environment = container.environment.iter().map(|(name, value)| format!("{name}={value}"));
    let ports = network.is_none().then(|| published(task));
    ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: container.command.clone(),
        entrypoint: container.entry_point.clone(),
        env: Some(environment.collect()),
        working_dir: container.working_directory.clone(),
        user: container.user.clone(),
        labels: Some(labels),
        healthcheck: container.health_check.as_ref().map(health),
        exposed_ports: ports.as_ref().map(|ports| ports.keys().cloned().collect()),
        host_config: Some(HostConfig {
            port_bindings: ports,
            network_mode: network.map(|id| format!("container:{id}")),
            memory: container.memory.map(|mib| i64::from(mib) << 20),
            // Docker's smallest weight is 2, as ECS documents for containers without CPU units.
            cpu_shares: container.cpu.map(|units| i64::from(units.max(2))),
            readonly_rootfs: Some(container.readonly_root),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

fn published(task: &TaskSpec) -> HashMap<String, Option<Vec<PortBinding>>> {
    let ports = task.containers.iter().flat_map(|container| &container.ports);
    ports
        .map(|port| {
            let binding = PortBinding {
                host_ip: Some(task.address.to_string()),
                host_port: Some(port.port.to_string()),
            };
            (format!("{}/{}", port.port, port.protocol.as_str()), Some(vec![binding]))
        })
        .collect()
}

fn health(check: &HealthCheck) -> HealthConfig {
    let nanoseconds = |time: Duration| Some(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX));
    HealthConfig {
        test: Some(check.command.clone()),
        interval: nanoseconds(check.interval),
        timeout: nanoseconds(check.timeout),
        retries: Some(i64::from(check.retries)),
        start_period: nanoseconds(check.start_period),
        ..HealthConfig::default()
    }
}
