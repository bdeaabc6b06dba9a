//! The DNS server that answers for the cloud's hosted zones.
//!
//! It listens on UDP and TCP on loopback and is authoritative for what [`Zones`] knows; everything
//! else is refused, it never asks another server.

mod answer;
mod server;

use std::net::IpAddr;

pub use server::{DnsError, DnsServer};

/// Type of a question or record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordType {
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
    /// Another name for the name.
    Cname,
    /// Texts.
    Txt,
    /// Name server.
    Ns,
    /// Start of authority.
    Soa,
    /// Mail exchanger.
    Mx,
    /// Service location.
    Srv,
    /// Certificate authority authorization.
    Caa,
    /// Pointer.
    Ptr,
}

/// A record of an answer, as Route 53 stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Owner; equal to the question except along a chain of CNAMEs.
    pub name: String,
    /// Time to live in seconds (60 for aliases, as Route 53 answers).
    pub ttl: u32,
    /// Content.
    pub data: RecordData,
}

/// Content of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordData {
    /// A or AAAA; aliases are resolved to these.
    Address(IpAddr),
    /// Everything else, in the text form of a zone file (`10 mail.example.`).
    Text(RecordType, String),
}

impl RecordData {
    /// The type of record this is the content of.
    pub fn kind(&self) -> RecordType {
        match self {
            Self::Address(IpAddr::V4(_)) => RecordType::A,
            Self::Address(IpAddr::V6(_)) => RecordType::Aaaa,
            Self::Text(kind, _) => *kind,
        }
    }
}

/// The hosted zones, as the server asks for them. Names are lower-case and without a final dot.
pub trait Zones: Send + Sync + 'static {
    /// The closest zone that contains `name`, if one of ours does.
    fn zone(&self, name: &str) -> Option<String>;

    /// The records that belong to exactly `name` in `zone` (`*.example.test` for a wildcard), with
    /// aliases resolved to addresses. `None` when neither `name` nor anything below it exists.
    fn owner(&self, zone: &str, name: &str) -> Option<Vec<Record>>;
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// A zone `example.test` with one of everything.
    pub(super) struct TestZones;

    impl Zones for TestZones {
        fn zone(&self, name: &str) -> Option<String> {
            (name == "example.test" || name.ends_with(".example.test")).then(|| "example.test".to_owned())
        }

        fn owner(&self, _zone: &str, name: &str) -> Option<Vec<Record>> {
            let record = |data| Record { name: name.to_owned(), ttl: 60, data };
            let address = |last| record(RecordData::Address(Ipv4Addr::new(127, 70, 0, last).into()));
            let text = |kind, value: &str| record(RecordData::Text(kind, value.to_owned()));
            let soa = "ns-1.awsdns-01.org. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400";
            Some(match name {
                "example.test" => vec![
                    text(RecordType::Soa, soa),
                    text(RecordType::Ns, "ns-1.awsdns-01.org."),
                    text(RecordType::Mx, "10 mail.example.test."),
                    text(RecordType::Txt, "\"v=spf1 -all\" \"two\""),
                ],
                "app.example.test" => vec![address(1)],
                "*.wild.example.test" => vec![address(2)],
                "www.example.test" => vec![text(RecordType::Cname, "App.example.test.")],
                "out.example.test" => vec![text(RecordType::Cname, "example.org.")],
                "loop.example.test" => vec![text(RecordType::Cname, "loop.example.test.")],
                "wild.example.test" => vec![],
                _ => return None,
            })
        }
    }
}
