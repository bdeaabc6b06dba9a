//! The address book: which loopback addresses a cloud uses.

use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};

/// Which loopback addresses a cloud uses: 127.64 to 127.191 for tasks, 127.192 to 127.223 for load
/// balancers. Clouds on one machine have books of their own, so that they stay out of each other's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressBook {
    /// Added to the second octet of tasks, and mixed into the third.
    key: [u8; 2],
}

impl AddressBook {
    /// The book of a cloud, always the same for the same id.
    pub fn of(cloud: &str) -> Self {
        let digest = Sha256::digest(cloud);
        Self { key: [digest[0], digest[1]] }
    }

    /// The loopback address that carries `address`.
    ///
    /// The API shows addresses of subnets (172.31.16.5); what listens is 127.X.Y.5, with X from 64 to
    /// 191 chosen by the cloud and the first two octets, and Y by the cloud and the third. So every task
    /// has an address of its own, many tasks can listen on one port, and nothing has to be remembered.
    /// Loopback addresses stay as they are.
    ///
    /// Two networks whose first two octets differ may fall on one X (there are 128). Only tasks at the
    /// same place of both networks would then meet, and the second fails to start with a clear error.
    pub fn task(self, address: Ipv4Addr) -> Ipv4Addr {
        if address.is_loopback() {
            return address;
        }
        let [a, b, c, d] = address.octets();
        let slot = u16::from(a) * 31 + u16::from(b) + u16::from(self.key[0]);
        // Below 128 after the modulo, so the sum stays below 192.
        Ipv4Addr::new(127, 64 + (slot % 128) as u8, c ^ self.key[1], d)
    }

    /// The loopback address that carries the load balancer called `name`, other than those `taken`. It
    /// follows from the name and `place`, so that a reset does not move it.
    pub fn load_balancer(self, place: &str, name: &str, taken: &[Ipv4Addr]) -> Ipv4Addr {
        let attempt = |attempt: u32| {
            let digest = Sha256::digest(format!("{:?}/{place}/{name}/{attempt}", self.key));
            Ipv4Addr::new(127, 192 + digest[0] % 32, digest[1], 1 + digest[2] % 254)
        };
        // There are two million addresses, and no region has so many load balancers.
        (0..).map(attempt).find(|address| !taken.contains(address)).unwrap_or(Ipv4Addr::new(127, 192, 0, 1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keeps_hosts_apart_and_inside_the_range() {
        let book = AddressBook::default();
        let vpc = |b, c, d| book.task(Ipv4Addr::new(172, b, c, d));
        assert_eq!(vpc(31, 16, 5).octets()[2..], [16, 5]);
        let second: HashSet<u8> = (16..32).map(|b| vpc(b, 0, 1).octets()[1]).collect();
        assert_eq!(second.len(), 16, "the private 172.16/12 networks do not collide");
        assert!(second.iter().all(|octet| (64..192).contains(octet)));
        assert_ne!(second, HashSet::from([book.task(Ipv4Addr::new(10, 0, 0, 1)).octets()[1]]));
        assert_eq!(book.task(Ipv4Addr::new(127, 0, 0, 9)), Ipv4Addr::new(127, 0, 0, 9));
    }

    #[test]
    fn hosts_of_one_network_stay_apart_in_every_book() {
        for cloud in ["a", "b", "c"] {
            let book = AddressBook::of(cloud);
            let hosts = (0..=255).flat_map(|c| [4, 5].map(|d| book.task(Ipv4Addr::new(172, 31, c, d))));
            assert_eq!(hosts.collect::<HashSet<_>>().len(), 512);
        }
    }

    #[test]
    fn clouds_have_addresses_of_their_own() {
        let (one, other) = (AddressBook::of("one"), AddressBook::of("other"));
        let task = Ipv4Addr::new(172, 31, 16, 5);
        assert_ne!(one.task(task), other.task(task));
        let place = "123456789012/eu-central-1";
        let first = one.load_balancer(place, "hello", &[]);
        assert_ne!(first, other.load_balancer(place, "hello", &[]));
        assert_eq!(first, AddressBook::of("one").load_balancer(place, "hello", &[]));
        assert_ne!(first, one.load_balancer(place, "hello", &[first]));
    }
}
