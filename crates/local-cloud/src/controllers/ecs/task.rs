//! The life of one task, step by step.
//!
//! Source: docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html

use std::time::Duration;

use super::plan::Look;
use super::{Action, TaskName, specification, targets};
use crate::services::ec2;
use crate::services::ecs::{
    Attachment, AttachmentDetail, HealthStatus, NetworkInterface, TaskEntry, TaskStatus, stop_task,
};
use crate::wire::EpochSeconds;
use crate::world::Region;

/// ECS's stop timeout where the container definition has none.
const STOP_TIMEOUT: u64 = 30;

/// However fast the clock, a program gets this long to end after SIGTERM: it runs in real time.
const LEAST_GRACE: Duration = Duration::from_secs(1);

/// Brings a task as far as it can go now.
pub(super) fn advance(look: &mut Look<'_>, region: &mut Region, name: &TaskName) {
    // Each pass is one step of the life; a task takes few of them before it has to wait.
    for _ in 0..8 {
        if !one_step(look, region, name) {
            return;
        }
        look.step.changed = true;
    }
}

fn find<'a>(region: &'a mut Region, name: &TaskName) -> Option<&'a mut TaskEntry> {
    region.ecs.clusters.get_mut(&name.cluster)?.tasks.get_mut(&name.id)
}

/// One step; tells whether there was one to take.
fn one_step(look: &mut Look<'_>, region: &mut Region, name: &TaskName) -> bool {
    let Some(entry) = find(region, name) else { return false };
    let wanted = entry.is_wanted();
    match entry.task.last_status {
        TaskStatus::Provisioning if wanted => provision(look, region, name),
        TaskStatus::Provisioning => end(look, region, name),
        TaskStatus::Pending if wanted => start(look, region, name),
        TaskStatus::Pending | TaskStatus::Stopping => stop(look, region, name),
        TaskStatus::Activating if wanted => activate(look, region, name),
        TaskStatus::Running if wanted => false,
        TaskStatus::Activating | TaskStatus::Running => deactivate(look, region, name),
        TaskStatus::Deactivating => drain(look, region, name),
        TaskStatus::Deprovisioning => end(look, region, name),
        TaskStatus::Stopped => false,
    }
}

fn set_status(entry: &mut TaskEntry, status: TaskStatus) {
    entry.task.last_status = status;
    entry.task.version += 1;
}

fn provision(look: &mut Look<'_>, region: &mut Region, name: &TaskName) -> bool {
    let now = look.now;
    let Some(entry) = find(region, name) else { return false };
    let interface = match entry.launch.network_configuration.clone().and_then(|it| it.awsvpc_configuration) {
        None => None,
        Some(network) => {
            // Spread over the subnets, as ECS does over Availability Zones.
            let index = usize::from_str_radix(name.id.get(..4).unwrap_or("0"), 16).unwrap_or(0);
            let subnet = network.subnets.get(index % network.subnets.len().max(1)).cloned();
            let wish = ec2::NewInterface {
                subnet_id: subnet.as_deref().unwrap_or_default(),
                groups: &network.security_groups,
                description: entry.task.task_arn.clone(),
                requester: "amazon-ecs",
                public_ip: network.assign_public_ip == "ENABLED",
            };
            match interface(look, region, &wish) {
                Ok(interface) => Some(interface),
                Err(reason) => {
                    let Some(entry) = find(region, name) else { return false };
                    stop_task(entry, now, "TaskFailedToStart", &reason);
                    return true;
                }
            }
        }
    };
    let Some(entry) = find(region, name) else { return false };
    if let Some(interface) = interface {
        attach(entry, &interface, &name.place.region);
    }
    entry.task.pull_started_at = Some(EpochSeconds(now));
    set_status(entry, TaskStatus::Pending);
    true
}

/// An interface whose loopback address no other task has.
fn interface(
    look: &mut Look<'_>,
    region: &mut Region,
    wish: &ec2::NewInterface<'_>,
) -> Result<ec2::NetworkInterface, String> {
    let mut refused = Vec::new();
    let result = loop {
        match region.ec2.add_interface(wish.clone()) {
            Ok(interface) if look.taken.insert(look.book.task(interface.private_ip_address)) => {
                break Ok(interface);
            }
            Ok(interface) => refused.push(interface.network_interface_id),
            Err(error) => {
                break Err(format!(
                    "ResourceInitializationError: failed to attach a network interface: {}",
                    error.message
                ));
            }
        }
    };
    for id in refused {
        region.ec2.remove_interface(&id);
    }
    result
}

fn attach(entry: &mut TaskEntry, interface: &ec2::NetworkInterface, region: &str) {
    let address = interface.private_ip_address;
    let detail = |name: &str, value: String| AttachmentDetail { name: name.into(), value };
    // docs.aws.amazon.com/vpc/latest/userguide/vpc-dns.html
    let domain = match region {
        "us-east-1" => "ec2.internal".to_owned(),
        region => format!("{region}.compute.internal"),
    };
    let dns = format!("ip-{}.{domain}", address.to_string().replace('.', "-"));
    let details = vec![
        detail("subnetId", interface.subnet_id.clone()),
        detail("networkInterfaceId", interface.network_interface_id.clone()),
        detail("macAddress", interface.mac_address.clone()),
        detail("privateDnsName", dns),
        detail("privateIPv4Address", address.to_string()),
    ];
    if let Some(Attachment { id, status, details: known, .. }) = entry.task.attachments.first_mut() {
        *status = "ATTACHED".into();
        *known = details;
        let id = id.clone();
        for container in &mut entry.task.containers {
            container.network_interfaces =
                vec![NetworkInterface { attachment_id: id.clone(), private_ipv4_address: address }];
        }
    }
    entry.task.availability_zone = Some(interface.availability_zone.clone());
    entry.address = Some(address);
    entry.interface = Some(interface.network_interface_id.clone());
}

/// Asks the runtime; what comes of it is committed later.
fn start(look: &mut Look<'_>, region: &mut Region, name: &TaskName) -> bool {
    if !look.memory.is_free(&name.id, look.now, &mut look.step.wake) {
        return false;
    }
    let Some(entry) = region.ecs.clusters.get(&name.cluster).and_then(|it| it.tasks.get(&name.id)) else {
        return false;
    };
    match specification::of(region, name, entry, look.book, look.logs) {
        Ok(spec) => {
            look.step.actions.push(Action::Start { name: name.clone(), spec });
            false
        }
        Err(reason) => {
            let now = look.now;
            let Some(entry) = find(region, name) else { return false };
            stop_task(entry, now, "TaskFailedToStart", &reason);
            set_status(entry, TaskStatus::Deprovisioning);
            true
        }
    }
}

fn activate(look: &mut Look<'_>, region: &mut Region, name: &TaskName) -> bool {
    targets::register(look, region, name);
    let Some(entry) = find(region, name) else { return false };
    entry.registered = true;
    set_status(entry, TaskStatus::Running);
    true
}

fn deactivate(look: &mut Look<'_>, region: &mut Region, name: &TaskName) -> bool {
    targets::deregister(look, region, name);
    let Some(entry) = find(region, name) else { return false };
    entry.task.stopping_at.get_or_insert(EpochSeconds(look.now));
    set_status(entry, TaskStatus::Deactivating);
    true
}

/// A task is not told to end before the load balancer has let go of it, unless it is dead already.
fn drain(look: &mut Look<'_>, region: &mut Region, name: &TaskName) -> bool {
    let drained = targets::are_drained(look, region, name);
    let Some(entry) = find(region, name) else { return false };
    let dead = entry.task.execution_stopped_at.is_some();
    if drained || dead {
        set_status(entry, TaskStatus::Stopping);
    }
    drained || dead
}

fn stop(look: &mut Look<'_>, region: &mut Region, name: &TaskName) -> bool {
    if look.memory.is_free(&name.id, look.now, &mut look.step.wake) {
        let seconds = specification::stop_timeout(region, name).unwrap_or(STOP_TIMEOUT);
        let grace = look.clock.scale(Duration::from_secs(seconds)).max(LEAST_GRACE);
        look.step.actions.push(Action::Stop { id: name.id.clone(), grace });
    }
    false
}

/// Nothing of the task is left but its record.
fn end(look: &mut Look<'_>, region: &mut Region, name: &TaskName) -> bool {
    let now = look.now;
    let Some(entry) = find(region, name) else { return false };
    if let Some(attachment) = entry.task.attachments.first_mut() {
        attachment.status = "DELETED".into();
    }
    for container in &mut entry.task.containers {
        container.last_status = TaskStatus::Stopped;
        container.health_status = HealthStatus::Unknown;
    }
    entry.task.stopped_at = Some(EpochSeconds(now));
    entry.task.execution_stopped_at.get_or_insert(EpochSeconds(now));
    entry.task.connectivity = None;
    set_status(entry, TaskStatus::Stopped);
    if let Some(id) = entry.interface.take() {
        region.ec2.remove_interface(&id);
    }
    true
}
