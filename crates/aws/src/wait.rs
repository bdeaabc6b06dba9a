//! Waiting for AWS: quick at first, patient later, and it can be cancelled.

use std::future::Future;
use std::time::Duration;

use pipeline_sdk::{Context, StageError};
use rand::Rng;
use tokio::time::Instant;

/// How to wait.
#[derive(Clone, Copy, Debug)]
pub struct WaitOptions {
    /// The pause after the first look.
    pub first: Duration,
    /// The longest pause between two looks.
    pub longest: Duration,
    /// When to give up.
    pub deadline: Duration,
}

impl Default for WaitOptions {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(150),
            longest: Duration::from_secs(3),
            deadline: Duration::from_secs(600),
        }
    }
}

impl WaitOptions {
    /// The usual pauses, giving up after `deadline`.
    pub fn within(deadline: Duration) -> Self {
        Self { deadline, ..Self::default() }
    }
}

/// Looks again and again until `look` has something to return.
///
/// Pauses grow by half each time, with jitter so that many waiting stages do not ask at once.
/// `what` completes the sentence "gave up waiting for …".
///
/// # Errors
/// Those of `look`; [`StageError::Cancelled`] as soon as the run is cancelled; a failure when the
/// deadline passes.
pub async fn until<T, F, L>(
    cx: &Context,
    what: &str,
    options: WaitOptions,
    mut look: L,
) -> Result<T, StageError>
where
    L: FnMut() -> F,
    F: Future<Output = Result<Option<T>, StageError>>,
{
    let end = Instant::now() + options.deadline;
    let mut pause = options.first;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        let now = Instant::now();
        if now >= end {
            return Err(gave_up(what, options.deadline));
        }
        let next = (now + jittered(pause)).min(end);
        tokio::select! {
            () = cx.cancel().cancelled() => return Err(StageError::Cancelled),
            () = tokio::time::sleep_until(next) => {}
        }
        pause = (pause * 3 / 2).min(options.longest);
    }
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.8..1.2))
}

fn gave_up(what: &str, deadline: Duration) -> StageError {
    StageError::failed(format!("gave up waiting for {what} after {} s", deadline.as_secs()))
        .with_help("look at it in AWS; running again goes on from what is there")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::kit::tests::context;

    const QUICK: WaitOptions = WaitOptions {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(2),
        deadline: Duration::from_millis(20),
    };

    #[tokio::test]
    async fn it_looks_until_there_is_something() {
        let (cx, looks) = (context(), Cell::new(0));
        let found = until(&cx, "the third look", QUICK, || {
            looks.set(looks.get() + 1);
            let result = (looks.get() == 3).then_some("here");
            async move { Ok(result) }
        });
        assert_eq!(found.await.expect("found"), "here");
    }

    #[tokio::test]
    async fn it_gives_up_with_a_name() {
        let error = until(&context(), "the load balancer", QUICK, || async { Ok(None::<()>) }).await;
        let message = error.expect_err("gave up").to_string();
        assert_eq!(message, "gave up waiting for the load balancer after 0 s");
    }

    #[tokio::test]
    async fn it_ends_when_the_run_is_cancelled() {
        let cx = context();
        cx.cancel().cancel();
        let error = until(&cx, "nothing", WaitOptions::default(), || async { Ok(None::<()>) }).await;
        assert!(matches!(error, Err(StageError::Cancelled)));
    }
}
