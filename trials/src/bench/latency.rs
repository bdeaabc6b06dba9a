//! A cloud that is far away: what a plan and a first run take when every call takes longer.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use pipeline_tests::{LocalCloud, LocalCloudOptions};
use xtask::shell::{self, StepError};

use super::Bench;
use super::deployed::{Deployed, through};
use super::recorder::Recorder;
use super::table::{Bound, NONE, Row, Section, figures, median};

/// What is added to every call.
const DELAY: Duration = Duration::from_millis(50);

/// A second delay, to tell what the calls take from all that takes the same time without them.
const LONGER: Duration = Duration::from_millis(150);

/// Round trips that a plan with nothing changed may take, and what it may take besides.
const ROUND_TRIPS: f64 = 3.0;
const BESIDES: f64 = 100.0;

/// Fills `section`.
pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    unchanged(bench, section).await?;
    first(bench, section).await?;
    let (delay, longer) = (DELAY.as_millis(), LONGER.as_millis());
    section.notes.push(format!(
        "{delay} ms are added to every call by a proxy, which answers any number at once; {} rounds, medians. How \
         many calls follow each other is the time that {longer} ms a call take more than {delay} ms do, divided by \
         the difference.",
        bench.rounds
    ));
    Ok(())
}

/// `pipeline plan` of the sample as it is deployed.
async fn unchanged(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    let deployed = Deployed::start(bench)?;
    let (endpoint, state) = (deployed.endpoint()?, deployed.state_through()?);
    let (mut plans, mut longer, mut calls) = (Vec::new(), Vec::new(), 0);
    for _ in 0..bench.rounds {
        for (delay, taken) in [(DELAY, &mut plans), (LONGER, &mut longer)] {
            let far = Far::start(endpoint, delay).await?;
            let mut command = deployed.subcommand("plan", &far.file, "1");
            command.env("PIPELINE_STATE", state.path());
            let took = tokio::task::block_in_place(|| timed(&mut command))?;
            taken.push(took);
            calls = far.proxy.messages().len();
        }
    }
    let (took, chain) = (median(plans.iter().copied()), chain(&plans, &longer));
    let allowed = ROUND_TRIPS * DELAY.as_millis() as f64 + BESIDES;
    let said = format!("{} ms: {calls} calls, {} after each other", figures(took), figures(chain));
    section.rows.push(Row::new("a plan with nothing changed", said, NONE).judged(
        took,
        Bound::AtMost(allowed),
        " ms",
    ));
    Ok(())
}

/// `pipeline run` of the sample on an empty cloud whose own waits take next to nothing.
async fn first(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    let (mut runs, mut longer, mut calls) = (Vec::new(), Vec::new(), 0);
    for _ in 0..bench.rounds {
        for (delay, taken) in [(DELAY, &mut runs), (LONGER, &mut longer)] {
            let options = LocalCloudOptions { runtime: "simulated", speed: 600.0, inert: false };
            let cloud = LocalCloud::start_by(bench.program.clone(), &options).map_err(StepError::Other)?;
            let deployed = Deployed::on(cloud, bench)?;
            let far = Far::start(deployed.endpoint()?, delay).await?;
            let mut command = deployed.command(&far.file, "1");
            let took = tokio::task::block_in_place(|| timed(&mut command))?;
            taken.push(took);
            calls = far.proxy.messages().len();
        }
    }
    let (took, chain) = (median(runs.iter().copied()), chain(&runs, &longer));
    let path = chain * DELAY.as_secs_f64() * 1000.0;
    let said = format!("{} ms: {calls} calls, {} after each other", figures(took), figures(chain));
    section.rows.push(
        Row::new("a first run, of its critical path in calls", said, format!("{} ms", figures(path))).judged(
            took / path,
            Bound::AtMost(1.3),
            "×",
        ),
    );
    Ok(())
}

/// How many calls follow each other, by what a longer delay makes of a run.
fn chain(runs: &[f64], longer: &[f64]) -> f64 {
    let more = median(longer.iter().copied()) - median(runs.iter().copied());
    more / ((LONGER - DELAY).as_secs_f64() * 1000.0)
}

/// A cloud that is reached through a proxy which takes its time, and a file that names it.
struct Far {
    proxy: Recorder,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Far {
    async fn start(endpoint: SocketAddr, delay: Duration) -> Result<Self, StepError> {
        let proxy = Recorder::delaying(endpoint, delay).await?;
        let folder = tempfile::tempdir().map_err(StepError::file(std::env::temp_dir()))?;
        let file = through(folder.path(), proxy.address)?;
        Ok(Self { proxy, file, _folder: folder })
    }
}

/// Runs a command; the milliseconds that it took.
fn timed(command: &mut Command) -> Result<f64, StepError> {
    let began = Instant::now();
    shell::quiet(command)?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}
