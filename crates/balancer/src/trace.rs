//! Trace ids, as in
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-request-tracing.html>.

use super::clock::CoarseClock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// `1-`, eight digits of time, `-`, 24 digits of identity.
const LENGTH: usize = 35;

/// The trace ids that one client connection hands out.
pub(super) struct TraceIds {
    /// Seconds since 1970 at which the coarse clock read 0.
    epoch: u32,
    clock: CoarseClock,
    connection: u32,
    state: AtomicU64,
}

impl TraceIds {
    pub(super) fn new(epoch: u32, clock: CoarseClock) -> Self {
        Self { epoch, clock, connection: rand::random(), state: AtomicU64::new(rand::random()) }
    }

    /// A new id. Unique, not unpredictable: splitmix64's increment and finaliser.
    fn next(&self) -> [u8; LENGTH] {
        let mut number = self.state.fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed);
        number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        number ^= number >> 31;
        let seconds = self.epoch.wrapping_add(self.clock.now() / 1000);
        let mut id = *b"1-00000000-000000000000000000000000";
        hex(&mut id[2..10], u64::from(seconds));
        hex(&mut id[11..19], u64::from(self.connection));
        hex(&mut id[19..35], number);
        id
    }

    /// The header for a target, given the one the client sent. ELB adds a `Root` where there is none, else it
    /// replaces its own `Self` and keeps the other fields.
    pub(super) fn header(&self, sent: Option<&[u8]>) -> Vec<u8> {
        let fields: Vec<&[u8]> =
            sent.map(|sent| sent.split(|&byte| byte == b';').collect()).unwrap_or_default();
        let rooted = fields.iter().any(|field| field.trim_ascii().starts_with(b"Root="));
        let mut header = Vec::with_capacity(5 + LENGTH + sent.map_or(0, |sent| sent.len() + 1));
        header.extend_from_slice(if rooted { b"Self=" } else { b"Root=" });
        header.extend_from_slice(&self.next());
        for field in fields.into_iter().filter(|field| !field.trim_ascii().starts_with(b"Self=")) {
            header.push(b';');
            header.extend_from_slice(field);
        }
        header
    }
}

fn hex(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_once_then_self() {
        let ids = TraceIds::new(0x6789_1233, CoarseClock::default());
        let root = String::from_utf8(ids.header(None)).unwrap();
        assert!(root.starts_with("Root=1-67891233-") && root.len() == 40, "{root}");
        let sent = format!("Self=old;{root};CalledFrom=app");
        let second = String::from_utf8(ids.header(Some(sent.as_bytes()))).unwrap();
        assert!(second.starts_with("Self=1-67891233-"), "{second}");
        assert!(second.ends_with(&format!(";{root};CalledFrom=app")) && !second.contains("old"), "{second}");
        assert_ne!(ids.next(), ids.next());
    }
}
