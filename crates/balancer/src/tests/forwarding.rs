//! What of a request reaches the target, and what of the response the client.

use super::*;

/// Answers with the request line and headers it got, sorted.
async fn mirror() -> Backend {
    Backend::start(|request| async move {
        let mut lines: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        let line = format!("{} {} {:?}", request.method(), request.uri(), request.version());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body = format!("{line}\n{}\n\n{}", lines.join("\n"), String::from_utf8_lossy(&body));
        let mut response = Response::new(Full::from(body));
        response.headers_mut().insert("keep-alive", "timeout=5".parse().unwrap());
        response.headers_mut().insert("x-custom", "kept".parse().unwrap());
        response
    })
    .await
}

async fn start(backend: &Backend) -> (Running, SocketAddr) {
    let running = Running::start();
    let address = running.apply(simple(vec![target("t", backend.address)])).await;
    (running, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwarded_headers_are_added_and_connection_headers_removed() {
    let backend = mirror().await;
    let (_running, address) = start(&backend).await;
    let request = "GET /a?b HTTP/1.1\r\nHost: example.com\r\nConnection: close, X-Private\r\nX-Private: 1\r\n\
                   Keep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: x\r\nX-Forwarded-For: 192.0.2.1\r\n\
                   X-Forwarded-Proto: https\r\nX-Kept: 1\r\n\r\n";
    let answer = raw(address, request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body = regex_free_trace(body);
    let port = address.port();
    assert_eq!(
        body.trim_end(),
        format!(
            "GET /a?b HTTP/1.1\nhost: example.com\nx-amzn-trace-id: Root=…\n\
             x-forwarded-for: 192.0.2.1, 127.0.0.1\nx-forwarded-port: {port}\nx-forwarded-proto: http\nx-kept: 1"
        )
    );
    assert!(head.contains("x-custom: kept") && !head.contains("keep-alive"), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_may_have_a_policy_for_headers() {
    let backend = mirror().await;
    let running = Running::start();
    let with = |policy: HeaderPolicy| {
        let mut table = simple(vec![target("t", backend.address)]);
        table.listeners[0].headers = policy;
        table
    };
    let address = running.apply(with(HeaderPolicy::default())).await;
    let request =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: 192.0.2.1\r\nX_Odd: 1\r\n\r\n";
    let answer = raw(address, request).await;
    assert!(
        answer.contains("x-forwarded-for: 192.0.2.1, 127.0.0.1\n") && answer.contains("x_odd: 1"),
        "{answer}"
    );

    let client_port = HeaderPolicy { client_port: true, drop_invalid: true, ..HeaderPolicy::default() };
    running.apply(with(client_port)).await;
    let answer = raw(address, request).await;
    assert!(
        answer.contains("x-forwarded-for: 192.0.2.1, 127.0.0.1:") && !answer.contains("x_odd"),
        "{answer}"
    );

    let preserve = HeaderPolicy { forwarded_for: ForwardedFor::Preserve, ..HeaderPolicy::default() };
    running.apply(with(preserve)).await;
    let answer = raw(address, request).await;
    assert!(answer.contains("x-forwarded-for: 192.0.2.1\n"), "{answer}");

    let response = vec![("x-custom".parse().unwrap(), "replaced".parse().unwrap())];
    let forwarded_for = ForwardedFor::Remove;
    let rest = HeaderPolicy { forwarded_for, hide_server: true, response, ..HeaderPolicy::default() };
    running.apply(with(rest)).await;
    let answer = raw(address, request).await;
    assert!(!answer.contains("x-forwarded-for"), "{answer}");
    assert!(answer.contains("x-custom: replaced\r\n") && !answer.contains("x-custom: kept"), "{answer}");
    // Also on what the balancer says itself.
    let own = raw(address, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(own.contains("x-custom: replaced\r\n") && !own.contains("server:"), "{own}");
}

fn regex_free_trace(body: &str) -> String {
    let lines = body.lines().map(|line| match line.split_once("Root=1-") {
        Some((start, rest)) if rest.len() == 33 => format!("{start}Root=…"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_and_odd_requests() {
    let backend = mirror().await;
    let (_running, address) = start(&backend).await;
    let old = raw(address, "GET / HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200") && old.contains(&format!("host: {address}")), "{old}");
    let hostless = raw(address, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(hostless.starts_with("HTTP/1.1 400"), "{hostless}");
    let two_hosts = raw(address, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n").await;
    assert!(two_hosts.starts_with("HTTP/1.1 400"), "{two_hosts}");
    let absolute =
        raw(address, "GET http://real.com/x HTTP/1.1\r\nHost: fake\r\nConnection: close\r\n\r\n").await;
    assert!(absolute.contains("GET /x HTTP/1.1") && absolute.contains("host: real.com"), "{absolute}");
    let trace = raw(address, "TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(trace.starts_with("HTTP/1.1 405"), "{trace}");
    let head = raw(address, "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let (head, body) = head.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: ") && !head.contains("content-length: 0"), "{head}");
    assert_eq!(body, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_two_lengths_cannot_smuggle_another() {
    let backend = mirror().await;
    let (_running, address) = start(&backend).await;
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for order in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked", smuggled.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}", smuggled.len()),
    ] {
        let answer = raw(address, &format!("POST / HTTP/1.1\r\nHost: a\r\n{order}\r\n\r\n{smuggled}")).await;
        // RFC 9112 section 6.3: read as chunked, passed on without the length, and the connection is closed, so
        // that nothing after it is taken for a request.
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
        assert!(!answer.contains("smuggled") && !answer.contains("content-length: 5"), "{answer}");
    }
    for bad in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Content-Length : 5",
    ] {
        let answer = raw(address, &format!("POST / HTTP/1.1\r\nHost: a\r\n{bad}\r\n\r\nhello")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{bad}: {answer}");
    }
    assert_eq!(backend.hits(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_order() {
    let backend = mirror().await;
    let (_running, address) = start(&backend).await;
    let answer = raw(
        address,
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwo\
         GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    let order: Vec<_> =
        ["GET /1", "POST /2", "GET /3"].iter().map(|line| answer.find(line).unwrap()).collect();
    assert!(order.is_sorted() && answer.contains("\n\ntwo"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expect_continue_is_answered_by_the_balancer() {
    let backend = mirror().await;
    let (_running, address) = start(&backend).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("\n\nbody") && !answer.contains("expect"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_targets_are_kept() {
    let backend = mirror().await;
    let (running, address) = start(&backend).await;
    let mut client = Client::connect(address).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status, 200);
    }
    let metrics = running.balancer.metrics().await;
    assert_eq!(metrics.listeners[0].connections, 1);
    assert_eq!((metrics.targets[0].requests, metrics.targets[0].responses[2]), (20, 20));
    assert_eq!(metrics.targets[0].connection_errors, 0);
}
