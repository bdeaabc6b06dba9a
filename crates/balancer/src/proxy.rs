//! One request: which action it gets, and its way to a target and back.

use super::body::{RequestBody, ResponseBody, TargetBody};
use super::front::Front;
use super::headers;
use super::response;
use super::routes::{Forward, Route};
use super::stickiness;
use super::target::{Lease, LiveTarget};
use super::tunnel;
use super::upstream::Upstream;
use http::header::HOST;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Targets tried for one request before the client gets an error.
const ATTEMPTS: usize = 3;

/// ELB gives up connecting after 10 s
/// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers a request.
pub(super) async fn handle(front: Arc<Front>, request: Request<Incoming>) -> Response<ResponseBody> {
    front.listener.count_request();
    let (mut parts, body) = request.into_parts();
    match exchange(&front, &mut parts, body).await {
        Ok(response) => response,
        Err(mut own) => {
            front.listener.own_responses.count(own.status());
            headers::on_response(own.headers_mut(), &front.listener.routes.load().headers);
            *own
        }
    }
}

/// A response that the balancer makes itself, whether as an error or as configured.
type Own = Box<Response<ResponseBody>>;

fn own_error(status: StatusCode) -> Own {
    Box::new(response::error(status))
}

/// The target's response, or one of the balancer's own.
async fn exchange(
    front: &Arc<Front>,
    parts: &mut Parts,
    body: Incoming,
) -> Result<Response<ResponseBody>, Own> {
    check(parts)?;
    let mut choice = choose(front, parts, &[])?;
    let client_upgrade =
        if headers::wants_upgrade(&parts.headers) { parts.extensions.remove::<OnUpgrade>() } else { None };
    headers::for_target(&mut parts.headers, front, client_upgrade.is_some());
    parts.version = Version::HTTP_11;
    let body = if body.is_end_stream() { RequestBody::Empty } else { RequestBody::Client(body) };
    let mut attempt = Attempt {
        front,
        can_be_sent_twice: parts.method.is_idempotent() && matches!(body, RequestBody::Empty),
        upgrade: client_upgrade.is_some(),
        reuse: true,
    };
    let mut body = Some(body);
    let mut tried: Vec<Arc<LiveTarget>> = Vec::new();
    let mut left = ATTEMPTS;
    loop {
        let target = choice.lease.target().clone();
        match attempt.send(choice.lease, parts, &mut body).await {
            Ok((mut response, upstream, lease)) => {
                choice.cookies.set(response.headers_mut());
                return finish(front, response, upstream, lease, client_upgrade);
            }
            Err(failure) => {
                left -= 1;
                if !failure.can_try_again || left == 0 {
                    return Err(own_error(failure.status));
                }
                if failure.reused {
                    // A kept connection that broke says nothing about the target, but other kept ones may have
                    // broken with it.
                    attempt.reuse = false;
                } else {
                    tried.push(target);
                }
                choice = choose(front, parts, &tried)?;
            }
        }
    }
}

/// Refuses what cannot be forwarded, and brings the target of the request into the form for servers.
fn check(parts: &mut Parts) -> Result<(), Own> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(own_error(StatusCode::METHOD_NOT_ALLOWED));
    }
    if let Some(authority) = parts.uri.authority() {
        // RFC 9112 section 3.2.2: the authority of an absolute form replaces Host.
        let host = HeaderValue::from_str(authority.as_str());
        parts.headers.insert(HOST, host.map_err(|_| own_error(StatusCode::BAD_REQUEST))?);
        let path = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        parts.uri = Uri::from(path);
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), None) => Ok(()),
        (None, _) if parts.version == Version::HTTP_10 => Ok(()),
        _ => Err(own_error(StatusCode::BAD_REQUEST)),
    }
}

/// A target, and what to tell the client to come back to it.
struct Choice {
    lease: Lease,
    cookies: stickiness::Cookies,
}

fn choose(front: &Front, parts: &Parts, tried: &[Arc<LiveTarget>]) -> Result<Choice, Own> {
    // Read for every attempt: the next one may come under a newer table.
    let routes = front.listener.routes.load();
    match routes.find(parts, front.peer) {
        Route::Forward(forward) => {
            lease(forward, parts, tried).ok_or_else(|| own_error(StatusCode::SERVICE_UNAVAILABLE))
        }
        Route::Redirect(redirect) => {
            let (scheme, port) = (front.listener.scheme(), front.listener.asked.port());
            Err(Box::new(response::redirect(redirect, parts, scheme, port)))
        }
        Route::Fixed { status, content_type, body } => {
            Err(Box::new(response::fixed(*status, content_type.clone(), body.clone())))
        }
    }
}

fn lease(forward: &Forward, parts: &Parts, tried: &[Arc<LiveTarget>]) -> Option<Choice> {
    let group = stickiness::group(forward, &parts.headers).or_else(|| forward.group())?;
    let wanted = group.stickiness.and_then(|_| stickiness::target(group, &parts.headers));
    let lease = group.lease(tried, wanted)?;
    let cookies = stickiness::Cookies::new(forward, group, lease.target());
    Some(Choice { lease, cookies })
}

/// Why a request got no response.
struct Failure {
    status: StatusCode,
    can_try_again: bool,
    /// It happened on a connection that had been kept from an earlier request.
    reused: bool,
}

type Answer = (Response<Incoming>, Upstream, Lease);

struct Attempt<'a> {
    front: &'a Front,
    can_be_sent_twice: bool,
    upgrade: bool,
    /// Whether kept connections may be used.
    reuse: bool,
}

impl Attempt<'_> {
    /// Sends a request once. It may be sent again when no byte of it can have reached the target, or when doing
    /// so twice is as good as once (RFC 9110 section 9.2.2).
    async fn send(
        &self,
        lease: Lease,
        parts: &mut Parts,
        body: &mut Option<RequestBody>,
    ) -> Result<Answer, Failure> {
        let waiting = self.front.wait_for(lease.target());
        let kept = if self.reuse && !self.upgrade { lease.take_idle(self.can_be_sent_twice) } else { None };
        let reused = kept.is_some();
        let mut upstream = match kept {
            Some(upstream) => upstream,
            None => self.connect(&lease).await?,
        };
        let request = self.request(parts, body.take().unwrap_or(RequestBody::Empty));
        lease.count_sent();
        let sent_at = Instant::now();
        match upstream.send(request, || waiting.is_over()).await {
            Some(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS && !self.upgrade => {
                Err(Failure { status: StatusCode::BAD_GATEWAY, can_try_again: false, reused })
            }
            Some(Ok(response)) => {
                lease.count_response(response.status(), sent_at.elapsed());
                Ok((response, upstream, lease))
            }
            Some(Err(mut error)) => {
                lease.count_connection_error();
                let unsent = error.take_message();
                let can_try_again = self.can_be_sent_twice || unsent.is_some();
                if let Some(unsent) = unsent {
                    restore(unsent, parts, body);
                }
                Err(Failure { status: StatusCode::BAD_GATEWAY, can_try_again, reused })
            }
            None => Err(Failure { status: StatusCode::GATEWAY_TIMEOUT, can_try_again: false, reused }),
        }
    }

    async fn connect(&self, lease: &Lease) -> Result<Upstream, Failure> {
        let target = lease.target();
        let connecting = Upstream::connect(target.address, target.protocol);
        let error = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(mut upstream)) => {
                if self.upgrade {
                    upstream.detach();
                }
                return Ok(upstream);
            }
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        lease.count_connection_error();
        let timed_out = error.kind() == io::ErrorKind::TimedOut;
        let status = if timed_out { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
        Err(Failure { status, can_try_again: !timed_out, reused: false })
    }

    fn request(&self, parts: &mut Parts, body: RequestBody) -> Request<RequestBody> {
        let mut request = Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        // The headers are kept here only where they may be needed again.
        *request.headers_mut() =
            if self.can_be_sent_twice { parts.headers.clone() } else { std::mem::take(&mut parts.headers) };
        request
    }
}

fn restore(unsent: Request<RequestBody>, parts: &mut Parts, body: &mut Option<RequestBody>) {
    let (head, unsent_body) = unsent.into_parts();
    parts.headers = head.headers;
    *body = Some(unsent_body);
}

fn finish(
    front: &Arc<Front>,
    response: Response<Incoming>,
    upstream: Upstream,
    lease: Lease,
    client_upgrade: Option<OnUpgrade>,
) -> Result<Response<ResponseBody>, Own> {
    let (mut head, body) = response.into_parts();
    head.version = Version::HTTP_11;
    let target_upgrade = head.extensions.remove::<OnUpgrade>();
    let upgraded = head.status == StatusCode::SWITCHING_PROTOCOLS;
    headers::for_client(&mut head.headers, upgraded);
    headers::on_response(&mut head.headers, &front.listener.routes.load().headers);
    if upgraded {
        let (Some(client), Some(target)) = (client_upgrade, target_upgrade) else {
            return Err(own_error(StatusCode::BAD_GATEWAY));
        };
        tokio::spawn(tunnel::run(client, target, front.clone(), lease));
        return Ok(Response::from_parts(head, ResponseBody::Own(None)));
    }
    if body.is_end_stream() {
        lease.give_back(upstream);
        return Ok(Response::from_parts(head, ResponseBody::Own(None)));
    }
    Ok(Response::from_parts(head, ResponseBody::Target(TargetBody::new(body, upstream, lease))))
}
