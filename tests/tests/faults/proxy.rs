//! Between `pipeline` and the cloud: passes calls on, and spoils one of them.

use std::collections::HashMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is killed before the cloud gets the call.
    KilledBefore,
    /// The process is killed after the cloud did the work.
    KilledAfter,
    /// The cloud did the work, and the answer does not arrive.
    AnswerDropped,
    /// The call is refused three times for being one too many.
    Throttled,
    /// The service has an error of its own.
    ServerError,
    /// The answer takes ten seconds.
    Slow,
    /// What was just made is read once more as it was before.
    StaleRead,
}

/// How long a slow answer takes.
const SLOW: Duration = Duration::from_secs(10);

impl Fault {
    pub(crate) const ALL: [Self; 7] = [
        Self::KilledBefore,
        Self::KilledAfter,
        Self::AnswerDropped,
        Self::Throttled,
        Self::ServerError,
        Self::Slow,
        Self::StaleRead,
    ];

    /// Whether it can make a difference at `call`, which no other case makes: a kill before a read is a kill
    /// after the call before it, and only what was made can be read as if it were not there.
    pub(crate) fn fits(self, call: &Call) -> bool {
        match self {
            Self::KilledBefore => call.changes_something(),
            Self::StaleRead => call.makes_something(),
            _ => true,
        }
    }

    pub(crate) fn kills(self) -> bool {
        matches!(self, Self::KilledBefore | Self::KilledAfter)
    }
}

/// One call, as far as two calls for the same thing have it in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub(crate) operation: String,
    body: Bytes,
    json: bool,
}

impl Call {
    fn of(method: &Method, path: &str, target: Option<&str>, body: Bytes) -> Self {
        let text = String::from_utf8_lossy(&body);
        let action = text.split('&').find_map(|field| field.strip_prefix("Action="));
        let operation = match (target, action) {
            (Some(target), _) => target.rsplit('.').next().unwrap_or(target).to_owned(),
            (None, Some(action)) => action.to_owned(),
            (None, None) => format!("{method} {path}"),
        };
        Self { json: target.is_some(), operation, body }
    }

    pub(crate) fn changes_something(&self) -> bool {
        let reads = ["Describe", "List", "Get", "BatchGet", "GET "];
        !reads.iter().any(|word| self.operation.starts_with(word))
    }

    fn makes_something(&self) -> bool {
        ["Create", "Register", "Put", "Run"].iter().any(|word| self.operation.starts_with(word))
    }

    fn refusal(&self, fault: Fault) -> Response<Full<Bytes>> {
        let (code, status) = match fault {
            Fault::Throttled if self.json => ("ThrottlingException", StatusCode::BAD_REQUEST),
            Fault::Throttled => ("Throttling", StatusCode::BAD_REQUEST),
            _ => ("InternalFailure", StatusCode::INTERNAL_SERVER_ERROR),
        };
        let ec2 = String::from_utf8_lossy(&self.body).contains("Version=2016-11-15");
        let body = if self.json {
            format!("{{\"__type\":\"{code}\",\"message\":\"a fault of the test\"}}")
        } else if ec2 {
            format!(
                "<Response><Errors><Error><Code>{code}</Code><Message>a fault of the test</Message></Error>\
                 </Errors><RequestID>r</RequestID></Response>"
            )
        } else {
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>a fault of the \
                 test</Message></Error><RequestId>r</RequestId></ErrorResponse>"
            )
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response
    }
}

/// A fault at one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) fault: Fault,
    /// The number of the call.
    pub(crate) at: usize,
}

#[derive(Default)]
struct Shared {
    plan: Option<Plan>,
    /// The process to kill.
    process: Option<u32>,
    calls: Vec<Call>,
    /// The call that is spoiled and how often it still is.
    spoiled: Option<(Call, u32)>,
    /// The last answers to reads.
    answers: HashMap<Call, Bytes>,
    /// The answers to reads from before the change, for the first read that asks again.
    stale: Option<HashMap<Call, Bytes>>,
}

/// Listens as long as its runtime lives.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

/// What the proxy does with a call.
enum Verdict {
    Pass,
    Kill,
    PassAndKill,
    PassAndDrop,
    PassSlowly,
    Refuse(Response<Full<Bytes>>),
    Answer(Bytes),
}

impl Proxy {
    pub(crate) async fn start(cloud: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let proxy = Self { address, shared: Arc::default() };
        let serving = proxy.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let proxy = serving.clone();
                tokio::spawn(async move {
                    let upstream = Upstream { cloud, kept: tokio::sync::Mutex::default() };
                    let service = service_fn(|request| proxy.pass_on(request, &upstream));
                    // A client that is killed ends its connection.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        proxy
    }

    /// Forgets all calls and spoils the one that `plan` names.
    pub(crate) fn begin(&self, plan: Option<Plan>) {
        *self.shared.lock().expect("proxy") = Shared { plan, ..Shared::default() };
    }

    /// Whom a kill is for.
    pub(crate) fn kills(&self, process: u32) {
        self.shared.lock().expect("proxy").process = Some(process);
    }

    /// The calls since [`Proxy::begin`], in the order of their arrival.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.lock().expect("proxy").calls.clone()
    }

    fn judge(&self, call: &Call) -> Verdict {
        let mut shared = self.shared.lock().expect("proxy");
        let number = shared.calls.len();
        shared.calls.push(call.clone());
        if let Some((spoiled, left)) = &mut shared.spoiled
            && spoiled == call
            && *left > 0
        {
            *left -= 1;
            return Verdict::Refuse(call.refusal(Fault::Throttled));
        }
        if let Some(answer) = shared.stale.as_mut().and_then(|stale| stale.remove(call)) {
            shared.stale = None;
            return Verdict::Answer(answer);
        }
        let Some(Plan { fault, .. }) = shared.plan.filter(|plan| plan.at == number) else {
            return Verdict::Pass;
        };
        match fault {
            Fault::KilledBefore => Verdict::Kill,
            Fault::KilledAfter => Verdict::PassAndKill,
            Fault::AnswerDropped => Verdict::PassAndDrop,
            Fault::Throttled => {
                shared.spoiled = Some((call.clone(), 2));
                Verdict::Refuse(call.refusal(fault))
            }
            Fault::ServerError => Verdict::Refuse(call.refusal(fault)),
            Fault::Slow => Verdict::PassSlowly,
            Fault::StaleRead => {
                shared.stale = Some(shared.answers.clone());
                Verdict::Pass
            }
        }
    }

    fn kill(&self) {
        let process = self.shared.lock().expect("proxy").process;
        let process = process.and_then(|process| rustix::process::Pid::from_raw(process.cast_signed()));
        let process = process.expect("a process to kill");
        // It may have ended by itself in the meantime.
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
    }

    async fn pass_on(
        &self,
        request: Request<Incoming>,
        upstream: &Upstream,
    ) -> Result<Response<Full<Bytes>>, String> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let call = Call::of(&parts.method, path, target, body.clone());
        let verdict = self.judge(&call);
        match verdict {
            Verdict::Refuse(response) => return Ok(response),
            Verdict::Answer(answer) => return Ok(Response::new(Full::new(answer))),
            Verdict::Kill => {
                self.kill();
                return std::future::pending().await;
            }
            _ => {}
        }
        let answer = upstream.send(Request::from_parts(parts, Full::new(body))).await?;
        match verdict {
            Verdict::PassAndKill => {
                self.kill();
                std::future::pending().await
            }
            Verdict::PassAndDrop => Err("dropped".to_owned()),
            Verdict::PassSlowly => {
                tokio::time::sleep(SLOW).await;
                Ok(answer.map(Full::new))
            }
            _ => {
                if answer.status().is_success() && !call.changes_something() {
                    let bytes = answer.body().clone();
                    self.shared.lock().expect("proxy").answers.insert(call, bytes);
                }
                Ok(answer.map(Full::new))
            }
        }
    }
}

/// The way to the cloud for the calls of one connection, which come one after the other.
struct Upstream {
    cloud: SocketAddr,
    kept: tokio::sync::Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Upstream {
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, String> {
        let mut kept = self.kept.lock().await;
        let mut sender = match kept.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.connect().await.map_err(|error| error.to_string())?,
        };
        sender.ready().await.map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (mut parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        *kept = Some(sender);
        for header in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            parts.headers.remove(header);
        }
        Ok(Response::from_parts(parts, body))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Box<dyn Error>> {
        let stream = TcpStream::connect(self.cloud).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
