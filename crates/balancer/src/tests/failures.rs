//! Targets that refuse, break, hang, or talk nonsense.

use super::*;

/// A port where nobody listens.
async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A server that treats each connection as the test says.
async fn scripted<F>(script: impl Fn(usize, TcpStream) -> F + Send + Sync + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = socket.accept().await.unwrap();
            tokio::spawn(script(number, stream));
        }
    });
    address
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_targets_is_503() {
    let running = Running::start();
    let answer = Client::connect(running.apply(simple(vec![])).await).await.get("/").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers["server"], "awselb/2.0");
    assert!(answer.body.contains("503 Service Unavailable"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_goes_to_another_target_and_else_is_502() {
    let good = Backend::named("good").await;
    let closed = closed_port().await;
    let running = Running::start();
    let address = running.apply(simple(vec![target("bad", closed), target("good", good.address)])).await;
    let mut client = Client::connect(address).await;
    for _ in 0..10 {
        let mut post = get("/");
        *post.method_mut() = http::Method::POST;
        *post.body_mut() = Full::from("something");
        assert_eq!(client.send(post).await.body, "good");
    }
    assert_eq!(good.hits(), 10);
    assert!(running.target("bad").await.connection_errors > 0);

    running.apply(simple(vec![target("bad", closed)])).await;
    assert_eq!(client.get("/").await.status, 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_breaks_off_is_502_for_what_cannot_be_sent_twice() {
    let requests = Arc::new(AtomicU64::new(0));
    let seen = requests.clone();
    let address = scripted(move |_, mut stream| {
        let seen = seen.clone();
        async move {
            let mut chunk = [0; 1024];
            let _ = stream.read(&mut chunk).await;
            seen.fetch_add(1, SeqCst);
        }
    })
    .await;
    let running = Running::start();
    let mut client = Client::connect(running.apply(simple(vec![target("t", address)])).await).await;
    let mut post = get("/");
    *post.method_mut() = http::Method::POST;
    assert_eq!(client.send(post).await.status, 502);
    assert_eq!(requests.load(SeqCst), 1, "a POST is sent once");
    assert_eq!(client.get("/").await.status, 502);
    assert_eq!(requests.load(SeqCst), 4, "a GET is tried three times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reused_connection_that_the_target_closes_is_replaced() {
    // Every connection is closed without a word when its second request arrives.
    let address = scripted(|_, mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        let mut chunk = [0; 1024];
        let _ = stream.read(&mut chunk).await;
    })
    .await;
    let running = Running::start();
    let mut client = Client::connect(running.apply(simple(vec![target("t", address)])).await).await;
    for _ in 0..50 {
        assert_eq!(client.get("/").await.body, "ok");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_closes_after_each_response_loses_nothing() {
    // Closes right after the response without announcing it: the close races with the next request.
    let address = scripted(|_, mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let running = Running::start();
    let balancer = running.apply(simple(vec![target("t", address)])).await;
    let clients = (0..8).map(|_| async move {
        let mut client = Client::connect(balancer).await;
        for _ in 0..100 {
            assert_eq!(client.get("/").await.body, "ok");
        }
    });
    futures::future::join_all(clients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_502() {
    let address = scripted(|_, mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let _ = stream.write_all(b"what?\r\n\r\n").await;
    })
    .await;
    let running = Running::start();
    let mut client = Client::connect(running.apply(simple(vec![target("t", address)])).await).await;
    assert_eq!(client.get("/").await.status, 502);
    let metrics = running.balancer.metrics().await;
    assert_eq!(metrics.listeners[0].own_responses[5], 1);
    assert_eq!(metrics.targets[0].responses[5], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_does_not_answer_is_504() {
    let hung = Backend::start(|_| std::future::pending()).await;
    let running = Running::start();
    let mut table = simple(vec![target("t", hung.address)]);
    table.listeners[0].idle_timeout = Duration::from_millis(300);
    let mut client = Client::connect(running.apply(table).await).await;
    assert_eq!(client.get("/").await.status, 504);
    assert_eq!(hung.hits(), 1, "a request that hangs is not sent again");
    assert_eq!(running.target("t").await.outstanding, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_client_is_disconnected() {
    let running = Running::start();
    let mut table = simple(vec![]);
    table.listeners[0].idle_timeout = Duration::from_millis(200);
    let mut stream = TcpStream::connect(running.apply(table).await).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: exam").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_deregistration_delay_ends_requests() {
    let hung = Backend::start(|_| std::future::pending()).await;
    let running = Running::start();
    let delayed = |target| {
        let deregistration_delay = Duration::from_millis(100);
        table(forward(&[("g", 1)]), vec![TargetGroup { deregistration_delay, ..group("g", vec![target]) }])
    };
    let address = running.apply(delayed(target("t", hung.address))).await;
    let request = tokio::spawn(async move { Client::connect(address).await.get("/").await.status });
    eventually("the request is in flight", || async { hung.hits() == 1 }).await;
    running.apply(delayed(draining("t", hung.address))).await;
    assert_eq!(request.await.unwrap(), 504);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_breaks_off_breaks_off_for_the_client() {
    let address = scripted(|_, mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    })
    .await;
    let running = Running::start();
    let balancer = running.apply(simple(vec![target("t", address)])).await;
    assert!(Client::connect(balancer).await.try_send(get("/")).await.is_err());
}
