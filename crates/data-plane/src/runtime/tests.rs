//! What every runtime must do, tried on each of them.

use std::net::SocketAddr;

use super::bench::{Bench, ask, get};
use super::*;

const GRACE: Duration = Duration::from_secs(1);

/// Tries `check` on the runtimes that run real programs. What needs Docker has `docker_` in its name, and is skipped by
/// that where no daemon answers.
macro_rules! on_each_runtime {
    ($($name:ident: $check:ident;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn as_processes() {
                $check(RuntimeKind::Process).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn as_docker_containers() {
                $check(RuntimeKind::Docker).await;
            }
        }
    )*};
}

on_each_runtime! {
    an_image_runs: runs_an_image;
    containers_of_a_task_share_its_address: shares_an_address;
    tasks_are_found_again_after_a_restart: finds_tasks_again;
    failures_are_told_in_the_words_of_ecs: tells_failures;
    health_checks_run_inside: checks_health_inside;
}

async fn runs_an_image(kind: RuntimeKind) {
    let mut bench = Bench::new();
    let runtime = open(kind, bench.options.clone()).await.unwrap();
    let task = bench.task("one", vec![bench.container("app", 8080)]);
    let other = bench.task("two", vec![bench.container("app", 8080)]);
    let started = runtime.start(&task).await.unwrap();
    runtime.start(&other).await.unwrap();
    assert!(started.containers[0].image_digest.is_some());
    // As root, or in a container, the program sees its image only.
    assert_eq!(get(task.address, 8080, "/").await, "/srv/app hello", "{kind:?}");
    assert_eq!(get(other.address, 8080, "/").await, "/srv/app hello");
    assert_eq!(runtime.list().await.unwrap(), ["one", "two"]);

    let _ = ask(SocketAddr::from((task.address, 8080)), "/exit");
    let exit = bench.exit().await;
    assert_eq!((exit.task.as_str(), exit.container.as_str(), exit.exit_code), ("one", "app", Some(3)));
    let lines = bench.log.all();
    for line in ["listening on 8080", "with [\"from\", \"image\"]", "asked to end"] {
        assert!(lines.iter().any(|other| other == line), "{kind:?}: {line} is not in {lines:?}");
    }
    runtime.stop("one", GRACE).await.unwrap();
    runtime.stop("two", GRACE).await.unwrap();
    let exit = bench.exit().await;
    assert_eq!(
        (exit.task.as_str(), exit.exit_code.is_some_and(|code| code > 128)),
        ("two", true),
        "{exit:?}"
    );
    assert!(runtime.list().await.unwrap().is_empty());
    runtime.stop("two", GRACE).await.unwrap();
    runtime.remove_all().await.unwrap();
}

async fn shares_an_address(kind: RuntimeKind) {
    let bench = Bench::new();
    let runtime = open(kind, bench.options.clone()).await.unwrap();
    let mut side = bench.container("side", 9000);
    side.essential = false;
    let task = bench.task("one", vec![side, bench.container("app", 8080)]);
    let started = runtime.start(&task).await.unwrap();
    let names: Vec<&str> = started.containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["side", "app"]);
    get(task.address, 8080, "/").await;
    get(task.address, 9000, "/").await;
    runtime.remove_all().await.unwrap();
    assert!(ask(SocketAddr::from((task.address, 8080)), "/").is_err(), "{kind:?}");
    assert!(runtime.list().await.unwrap().is_empty());
}

async fn finds_tasks_again(kind: RuntimeKind) {
    let mut bench = Bench::new();
    let runtime = open(kind, bench.options.clone()).await.unwrap();
    let kept = bench.task("kept", vec![bench.container("app", 8080)]);
    // What it prints after the restart is nobody's, so it would blur the count below.
    let silent = ContainerSpec { log: None, ..bench.container("app", 8080) };
    let orphan = bench.task("orphan", vec![silent]);
    let lost = bench.task("lost", vec![bench.container("app", 8080)]);
    runtime.start(&kept).await.unwrap();
    runtime.start(&orphan).await.unwrap();
    get(kept.address, 8080, "/").await;
    get(orphan.address, 8080, "/").await;
    drop(runtime);

    let runtime = open(kind, bench.options.clone()).await.unwrap();
    assert_eq!(runtime.adopt(&[kept.clone(), lost]).await.unwrap(), ["kept"]);
    assert!(ask(SocketAddr::from((orphan.address, 8080)), "/").is_err(), "{kind:?}: the orphan runs");
    get(kept.address, 8080, "/").await;
    let _ = ask(SocketAddr::from((kept.address, 8080)), "/exit");
    let exit = bench.exit().await;
    // Only Docker knows the exit code of what it did not start in this life.
    let code = (kind == RuntimeKind::Docker).then_some(3);
    assert_eq!((exit.task.as_str(), exit.exit_code), ("kept", code));
    let lines = bench.log.all();
    assert_eq!(lines.iter().filter(|line| *line == "asked to end").count(), 1, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| *line == "listening on 8080").count(), 1, "{lines:?}");
    runtime.remove_all().await.unwrap();
}

async fn tells_failures(kind: RuntimeKind) {
    let bench = Bench::new();
    let runtime = open(kind, bench.options.clone()).await.unwrap();
    let fail = |change: fn(&mut ContainerSpec)| {
        let mut container = bench.container("app", 8080);
        change(&mut container);
        let task = bench.task("one", vec![container]);
        let runtime = Arc::clone(&runtime);
        async move { runtime.start(&task).await.unwrap_err() }
    };
    let error = fail(|container| container.image = "127.0.0.1:4580/hello:v9".to_owned()).await;
    assert_eq!(
        error.to_string(),
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref \
         127.0.0.1:4580/hello:v9: 127.0.0.1:4580/hello:v9: not found"
    );
    assert!(!error.is_retryable());
    let error = fail(|container| container.image = "127.0.0.1:4580/other:v1".to_owned()).await;
    assert!(error.to_string().contains("'other' does not exist in the registry"), "{error}");
    let error = fail(|container| container.entry_point = Some(vec!["nothing".to_owned()])).await;
    let text = error.to_string();
    assert!(text.starts_with("CannotStartContainerError") && text.contains("\"nothing\""), "{kind:?} {text}");
    assert_eq!(error.container(), Some("app"));
    assert!(runtime.list().await.unwrap().is_empty());

    let task = bench.task("one", vec![bench.container("app", 8080)]);
    let _taken = std::net::TcpListener::bind((task.address, 8080)).unwrap();
    let error = runtime.start(&task).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Address { .. }), "{kind:?} {error}");
    runtime.remove_all().await.unwrap();
}

async fn checks_health_inside(kind: RuntimeKind) {
    let mut bench = Bench::new();
    let runtime = open(kind, bench.options.clone()).await.unwrap();
    let check = |program: &str| HealthCheck {
        command: vec!["CMD".to_owned(), program.to_owned(), "check".to_owned()],
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        retries: 2,
        start_period: Duration::ZERO,
    };
    for (program, expected) in [("server", true), ("nothing", false)] {
        let mut container = bench.container("app", 8080);
        container.health_check = Some(check(program));
        let task = bench.task("one", vec![container]);
        runtime.start(&task).await.unwrap();
        let TaskEvent::Health { healthy, .. } = bench.event().await else { panic!("{kind:?}: it ended") };
        assert_eq!(healthy, expected, "{kind:?} {program}");
        runtime.stop("one", GRACE).await.unwrap();
        bench.exit().await;
    }
    runtime.remove_all().await.unwrap();
}

#[tokio::test]
async fn simulated_tasks_answer_as_told() {
    let mut bench = Bench::new();
    let runtime = open(RuntimeKind::Simulated, bench.options.clone()).await.unwrap();
    let mut container = bench.container("app", 8080);
    container.environment.insert("SIMULATE_HEALTH_STATUS".to_owned(), "503".to_owned());
    let task = bench.task("one", vec![container]);
    runtime.start(&task).await.unwrap();
    let address = SocketAddr::from((task.address, 8080));
    let answer = tokio::task::spawn_blocking(move || ask(address, "/any")).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("x-version: v1\r\n") && answer.contains("\"task\":\"one\""), "{answer}");
    runtime.stop("one", GRACE).await.unwrap();
    assert_eq!(bench.exit().await.exit_code, Some(143));
    assert!(ask(address, "/").is_err());

    let mut container = bench.container("app", 8080);
    container.environment.insert("SIMULATE_EXIT_AFTER_MS".to_owned(), "20".to_owned());
    let crashing = bench.task("two", vec![container]);
    assert_eq!(runtime.adopt(std::slice::from_ref(&crashing)).await.unwrap(), ["two"]);
    let exit = bench.exit().await;
    assert_eq!((exit.task.as_str(), exit.exit_code), ("two", Some(1)));
    assert!(runtime.list().await.unwrap().is_empty());
    runtime.start(&task).await.unwrap();
    let error = SimulatedRuntime::new(bench.options.clone()).start(&task).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Address { .. }), "{error}");
    runtime.remove_all().await.unwrap();
    assert!(bench.dir.path().exists());
}
