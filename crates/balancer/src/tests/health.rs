//! Health checks, and what follows from them.

use super::*;
use std::sync::atomic::AtomicU16;

fn checked(id: &str, targets: Vec<Target>) -> TargetGroup {
    let health_check = HealthCheck {
        path: "/health".into(),
        interval: Duration::from_millis(50),
        timeout: Duration::from_millis(100),
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        matcher: "200-204".into(),
        ..HealthCheck::default()
    };
    TargetGroup { health_check, ..group(id, targets) }
}

/// A backend whose health the test sets: a status code, or 0 to hang.
async fn patient(status: Arc<AtomicU16>) -> Backend {
    Backend::start(move |request| {
        let status = status.load(SeqCst);
        async move {
            if request.uri().path() != "/health" {
                return Response::new(Full::from("served"));
            }
            if status == 0 {
                std::future::pending::<()>().await;
            }
            assert_eq!(request.headers()["user-agent"], "ELB-HealthChecker/2.0");
            Response::builder().status(status).body(Full::default()).unwrap()
        }
    })
    .await
}

async fn next(running: &mut Running) -> (String, &'static str, Option<&'static str>, Option<String>) {
    let report =
        tokio::time::timeout(Duration::from_secs(10), running.reports.recv()).await.unwrap().unwrap();
    let health = report.health;
    (
        report.target.to_string(),
        health.state.as_str(),
        health.reason.map(HealthReason::as_str),
        health.description,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life() {
    let status = Arc::new(AtomicU16::new(200));
    let backend = patient(status.clone()).await;
    let mut running = Running::start();
    let with = |target| table(forward(&[("g", 1)]), vec![checked("g", vec![target])]);
    running.apply(with(target("t", backend.address))).await;
    let mut expect = async |state: &str, reason: Option<&str>, description: Option<&str>| {
        let (_, state_now, reason_now, description_now) = next(&mut running).await;
        assert_eq!((state_now, reason_now), (state, reason));
        if description.is_some() {
            assert_eq!(description_now.as_deref(), description);
        }
    };
    expect("initial", Some("Elb.RegistrationInProgress"), None).await;
    expect("initial", Some("Elb.InitialHealthChecking"), None).await;
    expect("healthy", None, None).await;
    status.store(404, SeqCst);
    let description = "Health checks failed with these codes: [404]";
    expect("unhealthy", Some("Target.ResponseCodeMismatch"), Some(description)).await;
    status.store(0, SeqCst);
    expect("unhealthy", Some("Target.Timeout"), Some("Request timed out")).await;
    status.store(204, SeqCst);
    expect("healthy", None, None).await;

    running.apply(with(draining("t", backend.address))).await;
    let report = next(&mut running).await;
    assert_eq!((report.1, report.2), ("draining", Some("Target.DeregistrationInProgress")));
    // Registered again, it starts from the beginning.
    running.apply(with(target("t", backend.address))).await;
    assert_eq!(next(&mut running).await.1, "initial");
    assert_eq!(next(&mut running).await.1, "initial");
    assert_eq!(next(&mut running).await.1, "healthy");
    let address = backend.address;
    backend.stop().await;
    assert_eq!(next(&mut running).await.2, Some("Target.FailedHealthChecks"));

    let mut detached = with(target("t", address));
    detached.listeners[0].default_action =
        Action::FixedResponse { status: 404, content_type: None, body: String::new() };
    running.apply(detached).await;
    let report = next(&mut running).await;
    assert_eq!((report.1, report.2), ("unused", Some("Target.NotInUse")));
}

async fn wait_for(running: &mut Running, target: &str, state: &str) {
    loop {
        let report = next(running).await;
        if (report.0.as_str(), report.1) == (target, state) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unhealthy_targets_get_nothing_until_all_are_unhealthy() {
    let (good, bad) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicU16::new(500)));
    let (one, two) = (patient(good.clone()).await, patient(bad).await);
    let mut running = Running::start();
    let targets = vec![target("one", one.address), target("two", two.address)];
    let address = running.apply(table(forward(&[("g", 1)]), vec![checked("g", targets)])).await;
    wait_for(&mut running, "one", "healthy").await;
    let mut client = Client::connect(address).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.body, "served");
    }
    assert_eq!(running.target("two").await.requests, 0);

    good.store(500, SeqCst);
    wait_for(&mut running, "one", "unhealthy").await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.body, "served");
    }
    assert_eq!(running.target("two").await.requests, 10, "fails open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_clock_checks_more_often() {
    let backend = patient(Arc::new(AtomicU16::new(200))).await;
    let mut running = Running::at_speed(600.0);
    let slow = HealthCheck { path: "/health".into(), ..HealthCheck::default() };
    let groups = vec![TargetGroup { health_check: slow, ..group("g", vec![target("t", backend.address)]) }];
    running.apply(table(forward(&[("g", 1)]), groups)).await;
    while next(&mut running).await.1 != "healthy" {}
    eventually("checks every 50 ms instead of 30 s", || async { backend.hits() >= 5 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_settings_keep_what_is_known() {
    let backend = patient(Arc::new(AtomicU16::new(200))).await;
    let mut running = Running::start();
    let mut group = checked("g", vec![target("t", backend.address)]);
    running.apply(table(forward(&[("g", 1)]), vec![group.clone()])).await;
    while next(&mut running).await.1 != "healthy" {}
    group.health_check.matcher = "201".into();
    running.apply(table(forward(&[("g", 1)]), vec![group])).await;
    assert_eq!(next(&mut running).await.2, Some("Target.ResponseCodeMismatch"), "not initial again");
}
