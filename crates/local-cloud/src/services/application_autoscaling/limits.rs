//! Limits of scalable targets hold from when they are set: a desired count outside is brought inside.
//!
//! As in AWS this happens when a target is registered or changed, not when somebody sets another count
//! by hand later: whoever scales a service to zero before deleting it is left alone.

use jiff::Timestamp;

use super::activities;
use super::targets::ecs_service;
use crate::services::ecs::{ServiceStatus, set_desired_count};
use crate::world::Region;

/// Applies limits that were set since the last call; tells whether there were any.
pub(crate) fn apply_limits(region: &mut Region, now: Timestamp) -> bool {
    let mut any = false;
    for index in 0..region.application_autoscaling.targets.len() {
        let target = &mut region.application_autoscaling.targets[index];
        if !std::mem::take(&mut target.limits_changed) {
            continue;
        }
        any = true;
        let target = target.clone();
        let Some(name) = ecs_service(&target.dimension) else { continue };
        let Some(entry) = region.ecs.service_mut(&name) else { continue };
        if entry.service.status != ServiceStatus::Active {
            continue;
        }
        let desired = entry.service.desired_count;
        let (count, cause) =
            if desired < target.min_capacity && !target.suspended_state.dynamic_scaling_out_suspended {
                (target.min_capacity, format!("minimum capacity was set to {}", target.min_capacity))
            } else if desired > target.max_capacity && !target.suspended_state.dynamic_scaling_in_suspended {
                (target.max_capacity, format!("maximum capacity was set to {}", target.max_capacity))
            } else {
                continue;
            };
        set_desired_count(entry, count, now);
        activities::remember(&mut region.application_autoscaling, now, &target.dimension, count, cause);
    }
    any
}
