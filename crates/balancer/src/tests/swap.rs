//! Deployments: targets come and go under load, and no request is lost.

use super::*;
use std::sync::atomic::AtomicBool;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_target_finishes_what_it_has() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let behind = gate.clone();
    let old = Backend::start(move |_| {
        let behind = behind.clone();
        async move {
            behind.acquire().await.unwrap().forget();
            Response::new(Full::from("old"))
        }
    })
    .await;
    let new = Backend::named("new").await;
    let running = Running::start();
    let address = running.apply(simple(vec![target("old", old.address)])).await;
    let busy = tokio::spawn(async move { Client::connect(address).await.get("/").await.body });
    eventually("the request is in flight", || async { old.hits() == 1 }).await;
    running.apply(simple(vec![draining("old", old.address), target("new", new.address)])).await;
    let mut client = Client::connect(address).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.body, "new");
    }
    assert_eq!(running.target("old").await.outstanding, 1);
    gate.add_permits(1);
    assert_eq!(busy.await.unwrap(), "old");
    eventually("it is drained", || async { running.target("old").await.outstanding == 0 }).await;

    running.apply(simple(vec![draining("new", new.address)])).await;
    assert_eq!(client.get("/").await.status, 503, "draining targets are no way out");
}

/// A load loop on one connection; counts answers, and fails on anything but a 200 with the right body.
async fn load(address: SocketAddr, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) {
    let mut client = Client::connect(address).await;
    for number in 0u32.. {
        if stop.load(SeqCst) {
            return;
        }
        let mut request = get("/");
        if number % 4 == 3 {
            *request.method_mut() = http::Method::POST;
            *request.body_mut() = Full::from("a body");
        }
        let answer = client.try_send(request).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "version"));
        answered.fetch_add(1, SeqCst);
        if number % 50 == 49 {
            client = Client::connect(address).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployments_under_load_lose_nothing() {
    let running = Running::start();
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut current = vec![Backend::named("version").await, Backend::named("version").await];
    let ids = |round: usize| [format!("{round}-a"), format!("{round}-b")];
    let targets = |round: usize, backends: &[Backend], state: TargetState| -> Vec<Target> {
        let both = ids(round).into_iter().zip(backends);
        both.map(|(id, backend)| Target { id: TargetId::from(id), address: backend.address, state }).collect()
    };
    // Blue and green swap roles, as the groups of a blue/green deployment do.
    let table_of = |blue: Vec<Target>, green: Vec<Target>, weights: (u32, u32)| {
        let groups = vec![group("blue", blue), group("green", green)];
        table(forward(&[("blue", weights.0), ("green", weights.1)]), groups)
    };
    let address = running.apply(table_of(targets(0, &current, TargetState::Active), vec![], (100, 0))).await;
    let clients: Vec<_> =
        (0..8).map(|_| tokio::spawn(load(address, stop.clone(), answered.clone()))).collect();
    for round in 1..=12 {
        let next = vec![Backend::named("version").await, Backend::named("version").await];
        let flip = |old: Vec<Target>, new: Vec<Target>, (old_weight, new_weight): (u32, u32)| {
            if round % 2 == 1 {
                table_of(old, new, (old_weight, new_weight))
            } else {
                table_of(new, old, (new_weight, old_weight))
            }
        };
        for weight in [10, 50, 100] {
            let old = targets(round - 1, &current, TargetState::Active);
            let new = targets(round, &next, TargetState::Active);
            running.apply(flip(old, new, (100 - weight, weight))).await;
            let reached = answered.load(SeqCst) + 100;
            eventually("requests go on", || async { answered.load(SeqCst) >= reached }).await;
        }
        let old = targets(round - 1, &current, TargetState::Draining);
        running.apply(flip(old, targets(round, &next, TargetState::Active), (0, 100))).await;
        for id in ids(round - 1) {
            eventually("drained", || async { running.target(&id).await.outstanding == 0 }).await;
        }
        for backend in std::mem::replace(&mut current, next) {
            backend.stop().await;
        }
        running.apply(flip(vec![], targets(round, &current, TargetState::Active), (0, 100))).await;
    }
    stop.store(true, SeqCst);
    for client in clients {
        client.await.expect("a request failed");
    }
    assert!(answered.load(SeqCst) > 3000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_stop_without_notice_lose_nothing() {
    let running = Running::start();
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let stable = Backend::named("version").await;
    let mut leaving = Backend::named("version").await;
    let two = |leaving: &Backend, round: u32| {
        simple(vec![target("stable", stable.address), target(&format!("leaving-{round}"), leaving.address)])
    };
    let address = running.apply(two(&leaving, 0)).await;
    let clients: Vec<_> =
        (0..4).map(|_| tokio::spawn(load_of_gets(address, stop.clone(), answered.clone()))).collect();
    for round in 1..=20 {
        let next = Backend::named("version").await;
        // It stops while it is still in the table: connections are refused until the next table.
        std::mem::replace(&mut leaving, next).stop().await;
        running.apply(two(&leaving, round)).await;
        let reached = answered.load(SeqCst) + 100;
        eventually("requests go on", || async { answered.load(SeqCst) >= reached }).await;
    }
    stop.store(true, SeqCst);
    for client in clients {
        client.await.expect("a request failed");
    }
}

async fn load_of_gets(address: SocketAddr, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) {
    let mut client = Client::connect(address).await;
    while !stop.load(SeqCst) {
        assert_eq!(client.get("/").await.body, "version");
        answered.fetch_add(1, SeqCst);
    }
}
