//! Which action, which group, which target.

use super::*;
use std::collections::HashMap;

async fn shares(address: SocketAddr, requests: u32) -> HashMap<String, u32> {
    let mut client = Client::connect(address).await;
    let mut shares = HashMap::new();
    for _ in 0..requests {
        *shares.entry(client.get("/").await.body).or_default() += 1;
    }
    shares
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_share_the_traffic_and_zero_gets_nothing() {
    let (blue, green, idle) =
        (Backend::named("blue").await, Backend::named("green").await, Backend::named("idle").await);
    let running = Running::start();
    let groups = || {
        vec![
            group("blue", vec![target("b", blue.address)]),
            group("green", vec![target("g", green.address)]),
            group("idle", vec![target("i", idle.address)]),
        ]
    };
    let canary = table(forward(&[("blue", 90), ("green", 10), ("idle", 0)]), groups());
    let address = running.apply(canary).await;
    let counts = shares(address, 1000).await;
    assert!((90..=110).contains(&counts["green"]), "{counts:?}");
    assert_eq!(idle.hits(), 0);

    let nothing = table(forward(&[("blue", 0), ("green", 0)]), groups());
    assert_eq!(running.apply(nothing).await, address, "the socket stays");
    assert_eq!(Client::connect(address).await.get("/").await.status, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn round_robin_is_even() {
    let (a, b, c) = (Backend::named("a").await, Backend::named("b").await, Backend::named("c").await);
    let running = Running::start();
    let targets = vec![target("a", a.address), target("b", b.address), target("c", c.address)];
    let counts = shares(running.apply(simple(targets)).await, 300).await;
    assert!(counts.values().all(|count| *count == 100), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn least_outstanding_requests_avoids_the_busy_target() {
    let slow = Backend::start(|_| std::future::pending()).await;
    let quick = Backend::named("quick").await;
    let running = Running::start();
    let targets = vec![target("slow", slow.address), target("quick", quick.address)];
    let groups = vec![TargetGroup { algorithm: Algorithm::LeastOutstandingRequests, ..group("g", targets) }];
    let address = running.apply(table(forward(&[("g", 1)]), groups)).await;
    // Requests come one by one until one of them hangs at the slow target.
    let mut stuck = Vec::new();
    while slow.hits() == 0 {
        assert!(stuck.len() < 2, "the slow target is never asked");
        let request = async move { Client::connect(address).await.try_send(get("/")).await.is_ok() };
        stuck.push(tokio::spawn(request));
        let last = stuck.len() - 1;
        eventually("the request is answered or hangs", || {
            let done = slow.hits() == 1 || stuck[last].is_finished();
            async move { done }
        })
        .await;
    }
    assert_eq!(slow.hits(), 1);
    for _ in 0..20 {
        // A request counts until its response has left; with one at each target either may be next.
        eventually("the quick target is idle", async || running.target("quick").await.outstanding == 0).await;
        assert_eq!(Client::connect(address).await.get("/").await.body, "quick");
    }
    assert_eq!(slow.hits(), 1);
    stuck.into_iter().for_each(|task| task.abort());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lowest_matching_priority_wins() {
    let backend = Backend::named("target").await;
    let running = Running::start();
    let fixed = |body: &str| Action::FixedResponse { status: 200, content_type: None, body: body.into() };
    let mut table = table(forward(&[("g", 1)]), vec![group("g", vec![target("t", backend.address)])]);
    table.listeners[0].rules = vec![
        Rule {
            priority: 20,
            conditions: vec![Condition::PathPattern(vec!["/a*".into()])],
            action: fixed("20"),
        },
        Rule {
            priority: 10,
            conditions: vec![
                Condition::PathPattern(vec!["/a*".into()]),
                Condition::HttpRequestMethod(vec!["POST".into()]),
            ],
            action: fixed("10"),
        },
    ];
    let mut client = Client::connect(running.apply(table).await).await;
    assert_eq!(client.get("/abc").await.body, "20");
    let mut post = get("/abc");
    *post.method_mut() = http::Method::POST;
    assert_eq!(client.send(post).await.body, "10");
    assert_eq!(client.get("/b").await.body, "target");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_and_fixed_responses() {
    let running = Running::start();
    let to_https =
        Redirect { protocol: "HTTPS".into(), port: "443".into(), status: 301, ..Redirect::default() };
    let address = running.apply(table(Action::Redirect(to_https), vec![])).await;
    let answer = Client::connect(address).await.get("/a?b=c").await;
    assert_eq!(answer.status, 301);
    assert_eq!(answer.headers["location"], "https://example.com:443/a?b=c");

    let teapot = Action::FixedResponse {
        status: 503,
        content_type: Some("application/json".into()),
        body: r#"{"closed":true}"#.into(),
    };
    running.apply(table(teapot, vec![])).await;
    let answer = Client::connect(address).await.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (503, r#"{"closed":true}"#));
    assert_eq!(answer.headers["content-type"], "application/json");
    let metrics = running.balancer.metrics().await;
    assert_eq!((metrics.listeners[0].own_responses[3], metrics.listeners[0].own_responses[5]), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sticky_clients_come_back() {
    let (a, b) = (Backend::named("a").await, Backend::named("b").await);
    let running = Running::start();
    let day = Some(Duration::from_secs(86_400));
    let sticky = |id: &str, targets| TargetGroup { stickiness: day, ..group(id, targets) };
    let groups = vec![
        sticky("one", vec![target("a", a.address), target("b", b.address)]),
        sticky("two", vec![target("a", a.address), target("b", b.address)]),
    ];
    let action = Action::Forward { groups: vec![("one".into(), 1), ("two".into(), 1)], stickiness: day };
    let mut client = Client::connect(running.apply(table(action, groups)).await).await;
    let first = client.get("/").await;
    let cookies: Vec<_> =
        first.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap()).collect();
    let sent: Vec<_> = cookies.iter().map(|cookie| cookie.split(';').next().unwrap()).collect();
    assert!(sent[0].starts_with("AWSALBTG=") && sent[1].starts_with("AWSALB="), "{cookies:?}");
    for _ in 0..20 {
        let mut request = get("/");
        request.headers_mut().insert("cookie", sent.join("; ").parse().unwrap());
        assert_eq!(client.send(request).await.body, first.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_start_gives_a_new_target_little_at_first() {
    let (old, new) = (Backend::named("old").await, Backend::named("new").await);
    let running = Running::start();
    let slow = |targets, seconds| {
        let slow_start = Duration::from_secs(seconds);
        table(forward(&[("g", 1)]), vec![TargetGroup { slow_start, ..group("g", targets) }])
    };
    let alone = slow(vec![target("old", old.address)], 1);
    let address = running.apply(alone).await;
    let started = std::time::Instant::now();
    eventually("the old target has its full share", || async {
        started.elapsed() > Duration::from_millis(1100)
    })
    .await;
    running.apply(slow(vec![target("old", old.address), target("new", new.address)], 1)).await;
    let counts = shares(address, 50).await;
    assert!(counts.get("new").copied().unwrap_or(0) < 20, "{counts:?}");
    eventually("the new target catches up", || async {
        let counts = shares(address, 20).await;
        counts.get("new").copied().unwrap_or(0) >= 8
    })
    .await;
}
