//! Carries out CodeDeploy deployments.
//!
//! A step looks at the world, asks [`machine::next`] and does what it says, all under the world's
//! lock: what was done and what is remembered of it are saved together, so a deployment goes on
//! after a restart wherever it was.

mod conductor;
mod effects;
mod journal;
mod machine;
mod sight;

use std::time::Duration;

use jiff::Timestamp;

use crate::services::Settings;
use crate::services::codedeploy::Deployment;
use crate::world::{Partition, State, World};

pub(crate) use machine::{Outcome, Phase};

/// How often waits are looked at while a deployment runs, in the cloud's own time, and its bounds in
/// real time.
const TICK: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(250);

/// Carries out deployments until it is dropped.
pub(crate) async fn run(world: World, settings: Settings) {
    let mut version = world.watch();
    loop {
        version.mark_unchanged();
        let busy = world.write_if(|state| step(state, &settings, settings.clock.now()));
        if busy {
            let tick = settings.clock.scale(TICK).clamp(SHORTEST, LONGEST);
            if let Ok(Err(_)) = tokio::time::timeout(tick, version.changed()).await {
                return;
            }
        } else if version.changed().await.is_err() {
            return;
        }
    }
}

/// Takes every deployment as far as it goes now. Tells whether any still runs, and whether anything
/// was changed.
fn step(state: &mut State, settings: &Settings, now: Timestamp) -> (bool, bool) {
    let mut busy = false;
    let mut changed = false;
    for (account, holder) in &mut state.accounts {
        for (name, region) in &mut holder.regions {
            let place = Partition { account: account.clone(), region: name.clone() };
            let running: Vec<String> =
                region.codedeploy.deployments.values().filter(runs).map(|d| d.id.clone()).collect();
            for id in running {
                changed |= conductor::advance(region, &place, settings, now, &id);
            }
            busy |= region.codedeploy.deployments.values().any(|deployment| runs(&deployment));
        }
    }
    (busy, changed)
}

/// Deployments without an ECS service are data.
fn runs(deployment: &&Deployment) -> bool {
    !deployment.status.is_final() && deployment.ecs_service.is_some()
}

#[cfg(test)]
mod tests;
