//! Waiting at the embedded cloud's pace.

use std::time::Duration;

use jiff::Timestamp;

/// Shortens every wait by a factor, so that a rehearsed five-minute canary takes seconds.
///
/// Timestamps stay real: a client that compares them with its own clock is not misled.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    speed: f64,
}

impl Clock {
    /// A clock that runs `speed` times as fast as real time. Values that are not positive mean 1.
    pub fn new(speed: f64) -> Self {
        Self { speed: if speed.is_finite() && speed > 0.0 { speed } else { 1.0 } }
    }

    /// How many times faster than real time it runs.
    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// The real time now.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// How long `nominal` really takes.
    pub fn scale(&self, nominal: Duration) -> Duration {
        nominal.div_f64(self.speed)
    }

    /// The real time at which `nominal` will have passed since `start`.
    pub fn after(&self, start: Timestamp, nominal: Duration) -> Timestamp {
        start.checked_add(self.scale(nominal)).unwrap_or(Timestamp::MAX)
    }

    /// Waits for `nominal`.
    pub async fn sleep(&self, nominal: Duration) {
        tokio::time::sleep(self.scale(nominal)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_shortens_waits() {
        assert_eq!(Clock::new(60.0).scale(Duration::from_secs(60)), Duration::from_secs(1));
        assert_eq!(Clock::new(0.0).speed(), 1.0);
    }
}
