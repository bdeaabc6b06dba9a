//! Connections that left HTTP, such as WebSockets.

use super::front::Front;
use super::target::Lease;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::copy_bidirectional;

/// Copies both ways until both sides are done, nothing has moved for the idle timeout, or the target's
/// deregistration delay is over.
pub(super) async fn run(client: OnUpgrade, target: OnUpgrade, front: Arc<Front>, lease: Lease) {
    let (Ok(client), Ok(target)) = tokio::join!(client, target) else { return };
    let (mut client, mut target) = (TokioIo::new(client), TokioIo::new(target));
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut target) => {}
        () = over(&front, &lease) => {}
        () = front.listener.killed.cancelled() => {}
    }
}

async fn over(front: &Front, lease: &Lease) {
    loop {
        let idle_timeout = front.listener.routes.load().idle_timeout;
        if lease.target().is_cut() || front.idle() >= idle_timeout {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1).min(idle_timeout / 4)).await;
    }
}
