//! Asking the embedded cloud's name server.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};

/// The IPv4 addresses that `server` gives for `name`.
///
/// # Errors
/// When there is no answer, or one that cannot be read; an empty answer is no error.
pub fn lookup(server: SocketAddr, name: &str) -> Result<Vec<Ipv4Addr>, String> {
    let name = Name::from_utf8(name).map_err(|error| format!("{name}: {error}"))?;
    let mut question = Message::new(1, MessageType::Query, OpCode::Query);
    question.add_query(Query::query(name, RecordType::A));
    let bytes = question.to_vec().map_err(|error| error.to_string())?;
    let fail = |error: std::io::Error| format!("the name server at {server} does not answer: {error}");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(fail)?;
    socket.set_read_timeout(Some(Duration::from_secs(2))).map_err(fail)?;
    socket.send_to(&bytes, server).map_err(fail)?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).map_err(fail)?;
    let answer = Message::from_vec(&buffer[..length]).map_err(|error| error.to_string())?;
    let addresses = answer.answers.iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(address.0),
        _ => None,
    });
    Ok(addresses.collect())
}
