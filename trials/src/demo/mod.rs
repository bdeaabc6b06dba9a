//! `cargo xtask demo`: the main job on real input, without an AWS account.
//!
//! Everything it shows is done by the release binary on the embedded cloud, and every claim it
//! prints is checked: a demo that does not keep its word ends with an error.

mod stage;
mod traffic;

use std::time::{Duration, Instant};

use clap::Args;

use stage::Stage;
use xtask::shell::StepError;

/// What the exit codes of `pipeline run` have to be; `pipeline help` documents them.
const SUCCEEDED: i32 = 0;
const ROLLED_BACK: i32 = 3;

/// How the demo is run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What runs the tasks: `auto` takes Docker if its daemon answers, else processes.
    #[arg(long, default_value = "auto", value_parser = ["auto", "docker", "process"])]
    runtime: String,
    /// Requests per second to keep on the load balancer.
    #[arg(long, default_value_t = 1_200)]
    rate: u32,
    /// How many times faster than real time the cloud's waits pass.
    #[arg(long, default_value_t = 60.0)]
    speed: f64,
}

/// Shows.
pub(crate) fn run(options: &Options) -> Result<(), StepError> {
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| StepError::Other(error.to_string()))?;
    let stage = Stage::set(options)?;
    runtime.block_on(show(&stage, options))?;
    println!("\nThe demo took {:.0} s after the build.", began.elapsed().as_secs_f64());
    Ok(())
}

async fn show(stage: &Stage, options: &Options) -> Result<(), StepError> {
    title("1. From a Dockerfile to live traffic");
    println!("Tasks are {}.", how_tasks_run(&stage.runtime()?));
    stage.pipeline(&["run", "--var", "version=1"], SUCCEEDED)?;
    let site = stage.site()?;
    println!(
        "\n{} resolves to {} and answers: {}",
        site.host,
        site.address.ip(),
        site.get().await?.trim_end()
    );

    title(&format!("2. Version 2 as a canary, under {} requests/s", options.rate));
    traffic::during(&site, options.rate, Some("2"), || {
        stage.pipeline(&["run", "--var", "version=2"], SUCCEEDED)
    })
    .await?;

    title("3. Version 3 fails its health check");
    let broken = ["run", "--var", "version=3", "--var", "healthy=false"];
    traffic::during(&site, options.rate, None, || stage.pipeline(&broken, ROLLED_BACK)).await?;
    println!("`pipeline run` ended with exit code {ROLLED_BACK}: failed and rolled back.");

    title("4. Once more with nothing changed, then everything is removed");
    stage.unchanged(&["run", "--var", "version=2"])?;
    stage.pipeline(&["destroy", "--yes"], SUCCEEDED)?;
    stage.nothing_left()
}

fn how_tasks_run(runtime: &str) -> &'static str {
    if runtime == "docker" {
        "Docker containers; the image is built and pushed through the Docker API"
    } else {
        "processes in the unpacked image, which is put together without a Docker daemon"
    }
}

fn title(text: &str) {
    println!("\n\u{2500}\u{2500} {text} {}", "\u{2500}".repeat(76_usize.saturating_sub(text.len())));
}

/// How long a new version may need until its traffic is seen to settle.
const SETTLING: Duration = Duration::from_secs(1);
