//! Brings desired counts inside the limits of their scalable targets.
//!
//! Policies do not act: the runtimes tell no CPU use.

use crate::clock::Clock;
use crate::services::application_autoscaling::apply_limits;
use crate::world::World;

/// Runs until it is dropped.
pub(crate) async fn run(world: World, clock: Clock) {
    let mut changes = world.watch();
    changes.mark_changed();
    while changes.changed().await.is_ok() {
        world.write_if(|state| {
            let mut any = false;
            for account in state.accounts.values_mut() {
                for region in account.regions.values_mut() {
                    any |= apply_limits(region, clock.now());
                }
            }
            ((), any)
        });
    }
}
