//! An HTTP server of the test: it keeps what is posted, and answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    posted: Arc<Mutex<Vec<Value>>>,
    /// The status of answers to GET.
    pub(crate) status: Arc<AtomicU16>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = Self { address, posted: Arc::default(), status: Arc::new(AtomicU16::new(200)) };
        let serves = server.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let server = serves.clone();
                // A client that goes away is no matter.
                std::thread::spawn(move || server.answer(&connection).ok());
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was posted since it was last asked.
    pub(crate) fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *self.posted.lock().expect("posted"))
    }

    fn answer(&self, connection: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(connection);
        loop {
            let mut request = String::new();
            if reader.read_line(&mut request)? == 0 {
                return Ok(());
            }
            let mut length = 0;
            loop {
                let mut header = String::new();
                reader.read_line(&mut header)?;
                if header.trim().is_empty() {
                    break;
                }
                if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let mut status = self.status.load(Ordering::SeqCst);
            if request.starts_with("POST") {
                status = 200;
                self.posted.lock().expect("posted").push(serde_json::from_slice(&body).unwrap_or_default());
            }
            let mut connection = connection;
            write!(connection, "HTTP/1.1 {status} Said\r\ncontent-length: 2\r\n\r\nok")?;
        }
    }
}
