//! The sockets and the wire format, which hickory provides.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_proto::op::{MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{self, Name, RData};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};

use super::answer::{Answer, answer};
use super::{Record, RecordData, RecordType, Zones};

/// A TCP connection that says nothing for this long is closed.
const IDLE: Duration = Duration::from_secs(5);
/// Answers that wait to be written, per TCP connection.
const BACKLOG: usize = 16;

/// A running DNS server; stops when dropped.
pub struct DnsServer {
    address: SocketAddr,
    server: Server<Handler>,
}

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
#[error("cannot answer DNS on {address}: {source}; choose another port")]
pub struct DnsError {
    address: SocketAddr,
    source: io::Error,
}

impl DnsServer {
    /// Listens on `address` with UDP and TCP; port 0 means any port that both have free.
    ///
    /// # Errors
    /// When the address is not loopback, or taken.
    pub async fn start(address: SocketAddr, zones: Arc<dyn Zones>) -> Result<Self, DnsError> {
        let failed = |source| DnsError { address, source };
        if !address.ip().is_loopback() {
            let text = "the embedded cloud listens on loopback addresses only";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
        let (udp, tcp) = bind(address).await.map_err(failed)?;
        let address = udp.local_addr().map_err(failed)?;
        let mut server = Server::new(Handler { zones });
        server.register_socket(udp);
        server.register_listener(tcp, IDLE, BACKLOG);
        Ok(Self { address, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, after the answers in progress.
    pub async fn stop(mut self) {
        if let Err(error) = self.server.shutdown_gracefully().await {
            tracing::debug!(%error, "the DNS server did not stop cleanly");
        }
    }
}

impl std::fmt::Debug for DnsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DnsServer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Both sockets on one port. With port 0 the port that UDP got may be taken for TCP: try others.
async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut attempts = if address.port() == 0 { 16 } else { 1 };
    loop {
        let udp = UdpSocket::bind(address).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => {
                attempts -= 1;
                if attempts == 0 {
                    return Err(error);
                }
            }
        }
    }
}

struct Handler {
    zones: Arc<dyn Zones>,
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut responses: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = true;
        let reply = self.reply(request);
        metadata.response_code = reply.code;
        if reply.code == ResponseCode::Refused || reply.code == ResponseCode::NotImp {
            metadata.authoritative = false;
        }
        let message = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            &reply.answers,
            [],
            &reply.authority,
            [],
        );
        match responses.send_response(message).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "a DNS answer could not be sent");
                failure(request)
            }
        }
    }
}

/// What is logged for a request whose answer was lost.
fn failure(request: &Request) -> ResponseInfo {
    let mut metadata = Metadata::new(request.metadata.id, MessageType::Response, request.metadata.op_code);
    metadata.response_code = ResponseCode::ServFail;
    hickory_proto::op::Header { metadata, counts: hickory_proto::op::HeaderCounts::default() }.into()
}

#[derive(Default)]
struct Reply {
    code: ResponseCode,
    answers: Vec<rr::Record>,
    authority: Vec<rr::Record>,
}

impl Handler {
    fn reply(&self, request: &Request) -> Reply {
        if request.metadata.op_code != OpCode::Query {
            return Reply { code: ResponseCode::NotImp, ..Reply::default() };
        }
        let Ok(info) = request.request_info() else {
            return Reply { code: ResponseCode::FormErr, ..Reply::default() };
        };
        let asked = Name::from(info.query.name().clone());
        let name = asked.to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let Some(kind) = from_wire(info.query.query_type()) else {
            // A type we never store: the name may exist, but not with it.
            return match answer(&*self.zones, &name, RecordType::Soa) {
                Answer::NotOurs => Reply { code: ResponseCode::Refused, ..Reply::default() },
                Answer::NoName(soa) => no(ResponseCode::NXDomain, soa),
                Answer::NoData(soa) => no(ResponseCode::NoError, soa),
                Answer::Records(_) => Reply::default(),
            };
        };
        match answer(&*self.zones, &name, kind) {
            Answer::NotOurs => Reply { code: ResponseCode::Refused, ..Reply::default() },
            Answer::NoName(soa) => no(ResponseCode::NXDomain, soa),
            Answer::NoData(soa) => no(ResponseCode::NoError, soa),
            Answer::Records(records) => {
                Reply { answers: records.iter().filter_map(to_wire).collect(), ..Reply::default() }
            }
        }
    }
}

fn no(code: ResponseCode, soa: Option<Record>) -> Reply {
    Reply { code, answers: vec![], authority: soa.iter().filter_map(to_wire).collect() }
}

fn from_wire(kind: rr::RecordType) -> Option<RecordType> {
    Some(match kind {
        rr::RecordType::A => RecordType::A,
        rr::RecordType::AAAA => RecordType::Aaaa,
        rr::RecordType::CNAME => RecordType::Cname,
        rr::RecordType::TXT => RecordType::Txt,
        rr::RecordType::NS => RecordType::Ns,
        rr::RecordType::SOA => RecordType::Soa,
        rr::RecordType::MX => RecordType::Mx,
        rr::RecordType::SRV => RecordType::Srv,
        rr::RecordType::CAA => RecordType::Caa,
        rr::RecordType::PTR => RecordType::Ptr,
        _ => return None,
    })
}

fn wire_type(kind: RecordType) -> rr::RecordType {
    match kind {
        RecordType::A => rr::RecordType::A,
        RecordType::Aaaa => rr::RecordType::AAAA,
        RecordType::Cname => rr::RecordType::CNAME,
        RecordType::Txt => rr::RecordType::TXT,
        RecordType::Ns => rr::RecordType::NS,
        RecordType::Soa => rr::RecordType::SOA,
        RecordType::Mx => rr::RecordType::MX,
        RecordType::Srv => rr::RecordType::SRV,
        RecordType::Caa => rr::RecordType::CAA,
        RecordType::Ptr => rr::RecordType::PTR,
    }
}

/// A record on the wire; one whose text is malformed (Route 53 would have refused it) is left out.
fn to_wire(record: &Record) -> Option<rr::Record> {
    let name = Name::from_ascii(format!("{}.", record.name.trim_end_matches('.'))).ok()?;
    let data = match &record.data {
        RecordData::Address(IpAddr::V4(address)) => RData::A((*address).into()),
        RecordData::Address(IpAddr::V6(address)) => RData::AAAA((*address).into()),
        RecordData::Text(kind, text) => match RData::try_from_str(wire_type(*kind), text) {
            Ok(data) => data,
            Err(error) => {
                tracing::warn!(name = record.name, text, %error, "a record's value is malformed");
                return None;
            }
        },
    };
    Some(rr::Record::from_rdata(name, record.ttl, data))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::process::Command;

    use super::super::tests::TestZones;
    use super::*;

    async fn dig(server: &DnsServer, arguments: &[&str]) -> Option<String> {
        let port = server.address().port().to_string();
        let mut command = Command::new("dig");
        command.args(["@127.0.0.1", "-p", &port, "+time=2", "+tries=1"]).args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
        // Not every machine has dig; the wire format itself is hickory's to test.
        Some(String::from_utf8(output.ok()?.stdout).unwrap())
    }

    #[tokio::test]
    async fn dig_gets_answers_over_both_transports() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = DnsServer::start(any, Arc::new(TestZones)).await.unwrap();
        for transport in ["+notcp", "+tcp"] {
            let Some(short) = dig(&server, &[transport, "+short", "WWW.example.TEST", "A"]).await else {
                return;
            };
            assert_eq!(short, "app.example.test.\n127.70.0.1\n");
            let txt = dig(&server, &[transport, "+short", "example.test", "TXT"]).await.unwrap();
            assert_eq!(txt, "\"v=spf1 -all\" \"two\"\n");
            let mx = dig(&server, &[transport, "+short", "example.test", "MX"]).await.unwrap();
            assert_eq!(mx, "10 mail.example.test.\n");
            let gone = dig(&server, &[transport, "gone.example.test"]).await.unwrap();
            assert!(gone.contains("NXDOMAIN") && gone.contains("awsdns-hostmaster"), "{gone}");
            let other = dig(&server, &[transport, "example.org"]).await.unwrap();
            assert!(other.contains("REFUSED"), "{other}");
        }
        server.stop().await;
    }

    #[tokio::test]
    async fn listens_on_loopback_only() {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let error = DnsServer::start(any, Arc::new(TestZones)).await.unwrap_err();
        assert!(error.to_string().contains("loopback"), "{error}");
    }
}
