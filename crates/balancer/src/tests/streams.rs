//! Large bodies, slow clients, upgrades.

use super::*;

const MEGABYTE: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_pass_both_ways_whole() {
    let echo = Backend::start(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(Full::from(body))
    })
    .await;
    let running = Running::start();
    let address = running.apply(simple(vec![target("t", echo.address)])).await;
    let mut client = Client::connect(address).await;
    let sent: String = (0..16 * MEGABYTE / 8).map(|number| format!("{number:08x}")).collect();
    for _ in 0..2 {
        let mut request = get("/");
        *request.method_mut() = http::Method::POST;
        *request.body_mut() = Full::from(sent.clone());
        let answer = client.send(request).await;
        assert!(answer.body == sent, "{} of {} bytes", answer.body.len(), sent.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_slows_the_target_down() {
    // The target counts what it could write; the client reads nothing at first.
    let written = Arc::new(AtomicU64::new(0));
    let counter = written.clone();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = socket.accept().await.unwrap();
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n").await.unwrap();
        let chunk = vec![b'x'; MEGABYTE];
        for _ in 0..64 {
            stream.write_all(&chunk).await.unwrap();
            counter.fetch_add(1, SeqCst);
        }
        let _ = stream.read(&mut [0]).await;
    });
    let running = Running::start();
    let address = running.apply(simple(vec![target("t", backend)])).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    // It stalls once the kernel's buffers are full, far before the end.
    let mut stalled = 0;
    let mut before = u64::MAX;
    eventually("the target stalls", || {
        let now = written.load(SeqCst);
        stalled = if now == before && now > 0 { stalled + 1 } else { 0 };
        before = now;
        let stalled = stalled;
        async move { stalled > 50 }
    })
    .await;
    assert!(written.load(SeqCst) < 32, "{} MiB were buffered", written.load(SeqCst));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() > 64 * MEGABYTE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_arrive_as_they_are_sent() {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = socket.accept().await.unwrap();
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        while let Some(chunk) = receiver.recv().await {
            let chunk = format!("{:x}\r\n{chunk}\r\n", chunk.len());
            stream.write_all(chunk.as_bytes()).await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        let _ = stream.read(&mut [0]).await;
    });
    let running = Running::start();
    let address = running.apply(simple(vec![target("t", backend)])).await;
    let mut client = Client::connect(address).await;
    client.sender.ready().await.unwrap();
    let mut response = client.sender.send_request(get("/")).await.unwrap();
    for chunk in ["one", "two", "three"] {
        sender.send(chunk).unwrap();
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), chunk);
    }
    drop(sender);
    assert!(response.body_mut().frame().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_becomes_a_tunnel() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = socket.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = socket.accept().await.unwrap();
            let head = read_until(&mut stream, "\r\n\r\n").await.to_lowercase();
            assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
            let answer =
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello";
            stream.write_all(answer.as_bytes()).await.unwrap();
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    });
    let running = Running::start();
    let address = running.apply(simple(vec![target("t", backend)])).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    let head = read_until(&mut stream, "hello").await.to_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: websocket"), "{head}");
    for word in ["ping", "pong"] {
        stream.write_all(word.as_bytes()).await.unwrap();
        read_until(&mut stream, word).await;
    }
    assert_eq!(running.target("t").await.outstanding, 1);
    drop(stream);
    eventually("the tunnel ends", || async { running.target("t").await.outstanding == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_the_target_declines_is_a_normal_response() {
    let backend = Backend::named("plain").await;
    let running = Running::start();
    let address = running.apply(simple(vec![target("t", backend.address)])).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n";
    let answer = raw(address, request).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("plain"), "{answer}");
}
