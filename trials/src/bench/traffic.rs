//! Requests that fail while the sample is deployed: in every way of shifting traffic, and in a
//! deployment that fails.

use std::path::PathBuf;
use std::time::Duration;

use pipeline_tests::load::{self, LoadOptions};
use pipeline_tests::{Load, LoadSummary};

use super::Bench;
use super::deployed::{Deployed, sample};
use super::table::{Bound, NONE, Row, Section, figures};
use xtask::shell::{self, StepError};

/// Requests per second that are kept on the load balancer.
const RATE: u32 = 1_200;

/// Load before the deployment starts and after it has ended.
const AROUND: Duration = Duration::from_secs(1);

/// The line of the sample that says how traffic moves, as it is there.
const SAMPLE: &str = "traffic = { canary = { percent = 10, minutes = 5 } }";

/// The ways to shift traffic: what it is called, and the line that says so.
const WAYS: [(&str, &str); 3] = [
    ("canary", SAMPLE),
    ("linear", "traffic = { linear = { percent = 10, minutes = 1 } }"),
    ("all at once", "traffic = \"all_at_once\""),
];

/// What `pipeline run` ends with.
const SUCCEEDED: i32 = 0;
const ROLLED_BACK: i32 = 3;

/// Fills `section`.
pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    let deployed = Deployed::start(bench)?;
    let site = site(&deployed)?;
    for (number, (name, line)) in WAYS.into_iter().enumerate() {
        let file = variant(bench, name, line)?;
        let mut command = deployed.command(&file, &(number + 2).to_string());
        section.rows.push(during(&site, name, SUCCEEDED, || shell::exit_code(&mut command)).await?);
    }
    let mut command = deployed.command(&sample(), "9");
    command.args(["--var", "healthy=false"]);
    let name = "one that fails and is rolled back";
    section.rows.push(during(&site, name, ROLLED_BACK, || shell::exit_code(&mut command)).await?);
    section.notes.push(format!(
        "{RATE} requests/s over HTTPS were asked for, on kept and on new connections, from a second before \
         each deployment to a second after it; waits sixty times as fast as real time, tasks as processes."
    ));
    Ok(())
}

/// The sample's HTTPS listener.
fn site(deployed: &Deployed) -> Result<LoadOptions, StepError> {
    let address = deployed.cloud.listener("hello-local", 443).map_err(StepError::Other)?;
    let status = deployed.cloud.status().map_err(StepError::Other)?;
    let authority = status["certificate_authority"].as_str().unwrap_or_default();
    let tls = load::trusting(authority).map_err(StepError::Other)?;
    Ok(LoadOptions { tls: Some(tls), ..LoadOptions::new(address, "hello-local.pipeline.test", RATE) })
}

/// The sample with another way to shift traffic.
fn variant(bench: &Bench, name: &str, line: &str) -> Result<PathBuf, StepError> {
    let original = std::fs::read_to_string(sample()).map_err(StepError::file(sample()))?;
    let app = shell::root().join("examples/hello");
    let context = ("context = \"examples/hello\"", format!("context = \"{}\"", app.display()));
    if !original.contains(SAMPLE) || !original.contains(context.0) {
        return Err(StepError::Other(format!(
            "pipeline.toml has not the lines `{SAMPLE}` and `{}`",
            context.0
        )));
    }
    let text = original.replace(SAMPLE, line).replace(context.0, &context.1);
    let path = bench.folder.join(format!("{}.toml", name.replace(' ', "-")));
    std::fs::write(&path, text).map_err(StepError::file(&path))?;
    Ok(path)
}

async fn during(
    site: &LoadOptions,
    name: &str,
    wanted: i32,
    work: impl FnOnce() -> Result<i32, StepError>,
) -> Result<Row, StepError> {
    let load = Load::start(site);
    tokio::time::sleep(AROUND).await;
    let code = tokio::task::block_in_place(work);
    tokio::time::sleep(AROUND).await;
    let summary = load.stop().await;
    let code = code?;
    if code != wanted {
        return Err(StepError::Other(format!("{name}: exit code {code} instead of {wanted}")));
    }
    println!("{name}: {} of {} requests failed {:?}", summary.failed, summary.requests, summary.failures);
    Ok(row(name, &summary))
}

fn row(name: &str, summary: &LoadSummary) -> Row {
    let ms = |duration: Duration| figures(duration.as_secs_f64() * 1000.0);
    let (requests, rate, latency) = (summary.requests, summary.rate(), summary.latency);
    let ours = format!(
        "{requests} requests, {rate:.0}/s, p50 {} ms, p99 {} ms, max {} ms",
        ms(latency.p50),
        ms(latency.p99),
        ms(latency.max)
    );
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
    let failed = summary.failed as f64;
    Row::new(name, ours, NONE).judged(failed, Bound::AtMost(0.0), " failed")
}
