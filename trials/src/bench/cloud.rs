//! The embedded cloud against moto's server: the same calls on the same resources.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use super::Bench;
use super::aws::{self, Call};
use super::table::{Bound, Row, Section, figures, median};
use super::tools::{Background, free_address};
use super::wrk::Wrk;
use xtask::shell::StepError;

/// Connections that `wrk` keeps open. More do not make moto faster.
const CONNECTIONS: u32 = 8;

/// How often each side is started to see how long it takes.
const STARTS: u32 = 5;

/// How many calls to make before memory is read again.
const CALLS: u32 = 400;

/// Fills `section`.
pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    throughput(bench, section).await?;
    starts(bench, section).await?;
    memory(bench, section).await
}

/// Who answers.
#[derive(Clone, Copy)]
enum Side {
    Ours,
    Moto,
}

/// A process that answers AWS calls.
struct Server {
    address: SocketAddr,
    process: Background,
    _folder: TempDir,
}

impl Server {
    fn start(bench: &Bench, side: Side) -> Result<Self, StepError> {
        let address = free_address()?;
        let port = address.port().to_string();
        let folder = tempfile::tempdir().map_err(StepError::file(std::env::temp_dir()))?;
        let mut command = match side {
            Side::Ours => {
                let mut command = Command::new(&bench.program);
                command.args(["cloud", "serve", "--runtime", "simulated", "--port", &port]);
                command.env("PIPELINE_CLOUD_DIR", folder.path());
                command
            }
            Side::Moto => {
                let mut command = Command::new(bench.python.join("moto_server"));
                command.args(["--host", "127.0.0.1", "--port", &port]);
                command
            }
        };
        let process = Background::start(&mut command)?;
        Ok(Self { address, process, _folder: folder })
    }

    fn listens(&mut self) -> Result<(), StepError> {
        self.process.listens(self.address)
    }

    /// A cluster and a load balancer, for the calls to find.
    async fn fill(&self) -> Result<(), StepError> {
        Call::ecs("CreateCluster", &json!({ "clusterName": "bench" }))?.send(self.address).await?;
        aws::create_load_balancer(self.address, "bench").await?;
        Ok(())
    }
}

/// The calls, one of each protocol that matters most.
fn calls() -> Result<[(&'static str, Call); 2], StepError> {
    Ok([
        ("DescribeClusters (JSON)", Call::ecs("DescribeClusters", &json!({ "clusters": ["bench"] }))?),
        ("DescribeLoadBalancers (query)", Call::elb("DescribeLoadBalancers", &[])?),
    ])
}

async fn throughput(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    let wrk = match Wrk::find(CONNECTIONS, bench.seconds) {
        Ok(wrk) => wrk,
        Err(missing) => {
            section.notes.push(format!("Calls per second were not measured: {missing}"));
            return Ok(());
        }
    };
    let (mut ours, mut moto) = (Server::start(bench, Side::Ours)?, Server::start(bench, Side::Moto)?);
    for server in [&mut ours, &mut moto] {
        server.listens()?;
        server.fill().await?;
    }
    for (number, (name, call)) in calls()?.into_iter().enumerate() {
        let script: PathBuf = call.script(&bench.folder.join(format!("call-{number}.lua")))?;
        let run = |server: &Server| wrk.run(&format!("http://{}/", server.address), Some(&script));
        let mut pairs = Vec::new();
        for _ in 0..bench.rounds {
            let pair = (run(&ours)?.rate, run(&moto)?.rate);
            println!("{name}: {:.0} and {:.0} calls/s", pair.0, pair.1);
            pairs.push(pair);
        }
        let ratio = median(pairs.iter().map(|(ours, moto)| ours / moto));
        let rate = |value: f64| format!("{}/s", figures(value));
        let ours = rate(median(pairs.iter().map(|pair| pair.0)));
        let moto = rate(median(pairs.iter().map(|pair| pair.1)));
        section.rows.push(Row::new(name, ours, moto).judged(ratio, Bound::AtLeast(20.0), "×"));
    }
    section.notes.push(format!("{}, {} rounds in turns.", wrk.describe(), bench.rounds));
    Ok(())
}

async fn starts(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    // Files come from the disk once.
    first_answer(bench, Side::Ours).await?;
    first_answer(bench, Side::Moto).await?;
    let (mut ours, mut moto) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        ours.push(first_answer(bench, Side::Ours).await?);
        moto.push(first_answer(bench, Side::Moto).await?);
    }
    let (ours, moto) = (median(ours), median(moto));
    let ms = |value: f64| format!("{} ms", figures(value));
    let row = Row::new("from the start to the first answer", ms(ours), ms(moto));
    section.rows.push(row.judged(ours, Bound::AtMost(150.0), " ms"));
    Ok(())
}

/// Milliseconds from the start of the process to its first answer to a call.
async fn first_answer(bench: &Bench, side: Side) -> Result<f64, StepError> {
    let [(_, call), _] = calls()?;
    let began = Instant::now();
    let mut server = Server::start(bench, side)?;
    while call.send(server.address).await.is_err() {
        server.process.check(began)?;
    }
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

async fn memory(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    let ours = held(bench, Side::Ours).await?;
    let moto = held(bench, Side::Moto).await?;
    let mb = |value: f64| format!("{} MB", figures(value));
    let after = format!("memory after {CALLS} calls");
    for (name, ours, moto) in [("memory, idle", ours.0, moto.0), (&after, ours.1, moto.1)] {
        section.rows.push(Row::new(name, mb(ours), mb(moto)).judged(ours, Bound::Below(40.0), " MB"));
    }
    Ok(())
}

/// Megabytes that a server holds before its first call, and after many.
async fn held(bench: &Bench, side: Side) -> Result<(f64, f64), StepError> {
    let mut server = Server::start(bench, side)?;
    server.listens()?;
    let idle = server.process.memory()?;
    server.fill().await?;
    let calls = calls()?;
    for number in 0..CALLS {
        let (_, call) = &calls[number as usize % calls.len()];
        call.send(server.address).await?;
    }
    Ok((idle, server.process.memory()?))
}
