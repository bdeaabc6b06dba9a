//! The address book: which loopback address carries an address of a virtual network.

use std::net::Ipv4Addr;

/// The loopback address that carries `address`.
///
/// The API shows addresses of subnets (172.31.16.5); what listens is 127.X.16.5, with X from 64 to
/// 191 chosen by the first two octets. So every task has an address of its own, many tasks can
/// listen on one port, and nothing has to be remembered. Loopback addresses stay as they are.
///
/// Two networks whose first two octets differ may fall on one X (there are 128). Only tasks at the
/// same place of both networks would then meet, and the second fails to start with a clear error.
pub fn address_for(address: Ipv4Addr) -> Ipv4Addr {
    if address.is_loopback() {
        return address;
    }
    let [a, b, c, d] = address.octets();
    let slot = u16::from(a) * 31 + u16::from(b);
    // Below 128 after the modulo, so the sum stays below 192.
    Ipv4Addr::new(127, 64 + (slot % 128) as u8, c, d)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keeps_hosts_apart_and_inside_the_range() {
        let vpc = |b, c, d| address_for(Ipv4Addr::new(172, b, c, d));
        assert_eq!(vpc(31, 16, 5).octets()[2..], [16, 5]);
        let second: HashSet<u8> = (16..32).map(|b| vpc(b, 0, 1).octets()[1]).collect();
        assert_eq!(second.len(), 16, "the private 172.16/12 networks do not collide");
        assert!(second.iter().all(|octet| (64..192).contains(octet)));
        assert_ne!(second, HashSet::from([address_for(Ipv4Addr::new(10, 0, 0, 1)).octets()[1]]));
        assert_eq!(address_for(Ipv4Addr::new(127, 0, 0, 9)), Ipv4Addr::new(127, 0, 0, 9));
    }
}
