//! Sockets, certificates, and listeners that come and go.

use super::*;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

fn certificate(name: &str) -> Certificate {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    Certificate { chain_pem: made.cert.pem(), key_pem: made.signing_key.serialize_pem() }
}

fn https(certificates: Vec<Certificate>, mut table: RoutingTable) -> RoutingTable {
    table.listeners[0].protocol = ListenerProtocol::Https { certificates };
    table
}

/// Connects and verifies against this certificate only.
async fn connect_tls(address: SocketAddr, name: &str, trusted: &Certificate) -> std::io::Result<Client> {
    use rustls_pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(rustls_pki_types::CertificateDer::from_pem_slice(trusted.chain_pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    Ok(Client::over(TlsConnector::from(Arc::new(config)).connect(name, stream).await?).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_chosen_by_name() {
    let backend = Backend::start(|request| async move {
        let proto = request.headers()["x-forwarded-proto"].to_str().unwrap().to_owned();
        Response::new(Full::from(proto))
    })
    .await;
    let (first, second) = (certificate("first.test"), certificate("*.second.test"));
    let running = Running::start();
    let plain = simple(vec![target("t", backend.address)]);
    let address = running.apply(https(vec![first.clone(), second.clone()], plain.clone())).await;
    let mut client = connect_tls(address, "first.test", &first).await.unwrap();
    assert_eq!(client.get("/").await.body, "https");
    connect_tls(address, "www.second.test", &second).await.unwrap();
    assert!(connect_tls(address, "www.second.test", &first).await.is_err());

    // Renewed while a client is connected.
    let renewed = certificate("first.test");
    running.apply(https(vec![renewed.clone()], plain)).await;
    assert_eq!(client.get("/").await.body, "https");
    assert!(connect_tls(address, "first.test", &first).await.is_err());
    connect_tls(address, "first.test", &renewed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_may_speak_tls() {
    let certificate = certificate("whatever");
    let front = Running::start();
    let back = Running::start();
    let inner = Action::FixedResponse { status: 200, content_type: None, body: "inside".into() };
    let inner = back.apply(https(vec![certificate], table(inner, vec![]))).await;
    let mut group = group("g", vec![target("t", inner)]);
    group.protocol = TargetProtocol::Https;
    let address = front.apply(table(forward(&[("g", 1)]), vec![group])).await;
    let mut client = Client::connect(address).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.body, "inside");
    }
    assert_eq!(back.balancer.metrics().await.listeners[0].connections, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_certificate_is_reported() {
    let running = Running::start();
    let mut bad = certificate("a.test");
    bad.key_pem = certificate("b.test").key_pem;
    let bound = running.balancer.apply(https(vec![bad], simple(vec![]))).await;
    assert!(matches!(bound[0].error, Some(BindError::Certificate(..))), "{bound:?}");
    assert_eq!(bound[0].actual, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_an_error_and_tried_again() {
    let running = Running::start();
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut table = simple(vec![]);
    table.listeners[0].port = other.local_addr().unwrap().port();
    let bound = running.balancer.apply(table.clone()).await;
    assert_eq!(bound[0].error, Some(BindError::AddressInUse(bound[0].asked)));
    drop(other);
    assert_eq!(running.apply(table).await, bound[0].asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_not_here_is_replaced() {
    let running = Running::start();
    let to_https = Redirect { protocol: "HTTPS".into(), port: "443".into(), ..Redirect::default() };
    let mut table = table(Action::Redirect(to_https), vec![]);
    table.listeners[0].address = [192, 0, 2, 1].into();
    table.listeners[0].port = 80;
    let mut second = table.listeners[0].clone();
    second.id = "https".into();
    second.port = 443;
    table.listeners.push(second);
    let bound = running.balancer.apply(table.clone()).await;
    let (http, https) = (bound[0].actual.unwrap(), bound[1].actual.unwrap());
    assert!(http.ip().is_loopback() && https.ip().is_loopback());
    let answer = Client::connect(http).await.get("/").await;
    let location = format!("https://example.com:{}/", https.port());
    assert_eq!(
        answer.headers["location"],
        location.as_str(),
        "redirects lead to where the other listener is"
    );
    let again = running.balancer.apply(table).await;
    assert_eq!((again[0].actual, again[1].actual), (Some(http), Some(https)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_listener_finishes_and_frees_its_port() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let behind = gate.clone();
    let backend = Backend::start(move |_| {
        let behind = behind.clone();
        async move {
            behind.acquire().await.unwrap().forget();
            Response::new(Full::from("finished"))
        }
    })
    .await;
    let running = Running::start();
    let table = simple(vec![target("t", backend.address)]);
    let address = running.apply(table.clone()).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let busy = tokio::spawn(async move { Client::connect(address).await.get("/").await.body });
    eventually("the request is in flight", || async { backend.hits() == 1 }).await;
    running.balancer.apply(RoutingTable::default()).await;
    assert!(TcpStream::connect(address).await.is_err(), "no new connections");
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0, "idle connections end");
    gate.add_permits(1);
    assert_eq!(busy.await.unwrap(), "finished");
    let mut same_port = table;
    same_port.listeners[0].port = address.port();
    assert_eq!(running.apply(same_port).await, address);
    running.balancer.shutdown(Duration::from_secs(5)).await;
    assert!(TcpStream::connect(address).await.is_err());
}
