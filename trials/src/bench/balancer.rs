//! The embedded cloud's load balancer against haproxy: the same app, the same load.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use pipeline_tests::cloud::eventually;
use pipeline_tests::{LocalCloud, LocalCloudOptions};

use super::Bench;
use super::aws::{self, Call, element, elements};
use super::table::{Bound, NONE, Row, Section, figures, median};
use super::tools::{self, Background, free_address};
use super::wrk::{Throughput, Wrk};
use xtask::shell::StepError;

/// Connections that `wrk` keeps open.
const CONNECTIONS: u32 = 64;

/// The listener's port; one that needs no privileges.
const PORT: u16 = 8080;

const NAME: &str = "bench";

/// Fills `section`.
pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    let found = Wrk::find(CONNECTIONS, bench.seconds).and_then(|wrk| Ok((wrk, tools::ensure("haproxy")?)));
    let (wrk, haproxy) = match found {
        Ok(found) => found,
        Err(missing) => {
            section.missing = Some(missing);
            return Ok(());
        }
    };
    let apps = [App::start(bench)?, App::start(bench)?];
    let targets = [apps[0].address, apps[1].address];
    let cloud = cloud(bench, targets).await?;
    let other = Haproxy::start(bench, &haproxy, targets)?;
    let url = |address: SocketAddr| format!("http://{address}/");
    let (ours, theirs) = (url(cloud.listener(NAME, PORT).map_err(StepError::Other)?), url(other.address));

    // Connections to the app are opened, routes are warm.
    wrk.run(&ours, None)?;
    wrk.run(&theirs, None)?;
    let mut pairs = Vec::new();
    for round in 0..bench.rounds {
        // Who is first changes, so that drift of the machine favours neither.
        let pair = if round % 2 == 0 {
            let first = wrk.run(&ours, None)?;
            (first, wrk.run(&theirs, None)?)
        } else {
            let first = wrk.run(&theirs, None)?;
            (wrk.run(&ours, None)?, first)
        };
        println!("round {}: {:.0} and {:.0} requests/s", round + 1, pair.0.rate, pair.1.rate);
        pairs.push(pair);
    }
    let alone = wrk.run(&url(apps[0].address), None)?;
    show(section, &pairs, alone);
    section.notes.push(format!(
        "{}, {} rounds in turns, two instances of the sample app behind each. The ratio is the \
         median of the rounds' ratios.",
        wrk.describe(),
        bench.rounds
    ));
    Ok(())
}

fn show(section: &mut Section, pairs: &[(Throughput, Throughput)], alone: Throughput) {
    let of = |pick: fn(&Throughput) -> f64| {
        let ours = median(pairs.iter().map(|pair| pick(&pair.0)));
        let theirs = median(pairs.iter().map(|pair| pick(&pair.1)));
        let ratio = median(pairs.iter().map(|pair| pick(&pair.0) / pick(&pair.1)));
        (ours, theirs, ratio)
    };
    let (ours, theirs, ratio) = of(|run| run.rate);
    section.rows.push(Row::new("requests/s", figures(ours), figures(theirs)).judged(
        ratio,
        Bound::AtLeast(0.6),
        "×",
    ));
    let (ours, theirs, ratio) = of(|run| run.p99);
    let ms = |value: f64| format!("{} ms", figures(value));
    section.rows.push(Row::new("p99 of the latency", ms(ours), ms(theirs)).judged(
        ratio,
        Bound::AtMost(2.0),
        "×",
    ));
    let alone = format!("requests/s of one app without a balancer: {}", figures(alone.rate));
    section.rows.push(Row::new(alone, NONE, NONE));
}

/// One instance of the sample app.
struct App {
    address: SocketAddr,
    _process: Background,
}

impl App {
    fn start(bench: &Bench) -> Result<Self, StepError> {
        let address = free_address()?;
        let mut command = Command::new(&bench.hello);
        command.env("HOST", address.ip().to_string()).env("PORT", address.port().to_string());
        let mut process = Background::start(command.env("VERSION", "1"))?;
        process.listens(address)?;
        Ok(Self { address, _process: process })
    }
}

/// haproxy with its defaults, and what the load balancer does too: round robin, kept connections on
/// both sides, the client's address as a header.
struct Haproxy {
    address: SocketAddr,
    _process: Background,
}

impl Haproxy {
    fn start(bench: &Bench, program: &std::path::Path, targets: [SocketAddr; 2]) -> Result<Self, StepError> {
        let address = free_address()?;
        let [first, second] = targets;
        let configuration = format!(
            "defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
  option forwardfor
frontend app
  bind {address}
  default_backend app
backend app
  balance roundrobin
  option httpchk GET /health-check
  server first {first} check inter 5s
  server second {second} check inter 5s
"
        );
        let path = bench.folder.join("haproxy.cfg");
        std::fs::write(&path, configuration).map_err(StepError::file(&path))?;
        let mut process = Background::start(Command::new(program).arg("-db").arg("-f").arg(&path))?;
        process.listens(address)?;
        Ok(Self { address, _process: process })
    }
}

/// A cloud with a load balancer in front of `targets`, which are healthy.
async fn cloud(bench: &Bench, targets: [SocketAddr; 2]) -> Result<LocalCloud, StepError> {
    let options = LocalCloudOptions { runtime: "simulated", speed: 60.0, inert: false };
    let cloud = LocalCloud::serve_by(bench.program.clone(), &options).map_err(StepError::Other)?;
    let endpoint = endpoint(&cloud)?;
    let group = target_group(endpoint, targets).await?;
    let balancer = aws::create_load_balancer(endpoint, NAME).await?;
    let port = PORT.to_string();
    let parameters = [
        ("LoadBalancerArn", balancer.as_str()),
        ("Protocol", "HTTP"),
        ("Port", &port),
        ("DefaultActions.member.1.Type", "forward"),
        ("DefaultActions.member.1.TargetGroupArn", &group),
    ];
    Call::elb("CreateListener", &parameters)?.send(endpoint).await?;
    healthy(endpoint, &group, targets.len()).await?;
    eventually(Duration::from_secs(10), || cloud.listener(NAME, PORT)).map_err(StepError::Other)?;
    Ok(cloud)
}

async fn target_group(endpoint: SocketAddr, targets: [SocketAddr; 2]) -> Result<String, StepError> {
    let vpc = aws::default_vpc(endpoint).await?;
    let parameters = [
        ("Name", NAME),
        ("Protocol", "HTTP"),
        ("Port", "8080"),
        ("VpcId", &vpc),
        ("TargetType", "ip"),
        ("HealthCheckPath", "/health-check"),
        ("HealthCheckIntervalSeconds", "5"),
        ("HealthCheckTimeoutSeconds", "2"),
        ("HealthyThresholdCount", "2"),
    ];
    let answer = Call::elb("CreateTargetGroup", &parameters)?.send(endpoint).await?;
    let group = element(&answer, "TargetGroupArn")?;
    let [first, second] = targets.map(|target| (target.ip().to_string(), target.port().to_string()));
    let parameters = [
        ("TargetGroupArn", group.as_str()),
        ("Targets.member.1.Id", &first.0),
        ("Targets.member.1.Port", &first.1),
        ("Targets.member.2.Id", &second.0),
        ("Targets.member.2.Port", &second.1),
    ];
    Call::elb("RegisterTargets", &parameters)?.send(endpoint).await?;
    Ok(group)
}

async fn healthy(endpoint: SocketAddr, group: &str, wanted: usize) -> Result<(), StepError> {
    let call = Call::elb("DescribeTargetHealth", &[("TargetGroupArn", group)])?;
    let waiting = async {
        loop {
            let answer = call.send(endpoint).await?;
            let healthy = elements(&answer, "State").into_iter().filter(|state| *state == "healthy");
            if healthy.count() == wanted {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .map_err(|_| StepError::Other("the targets do not become healthy".into()))?
}

/// Where the cloud answers AWS calls.
pub(super) fn endpoint(cloud: &LocalCloud) -> Result<SocketAddr, StepError> {
    let url = cloud.endpoint().map_err(StepError::Other)?;
    let address = url.strip_prefix("http://").and_then(|address| address.parse().ok());
    address.ok_or_else(|| StepError::Other(format!("`{url}` is no address")))
}
