//! Runs an embedded cloud in the foreground until it is interrupted.
//!
//! `cargo run -p pipeline-local-cloud --example serve -- --port 4580 --speed 60`

use std::path::PathBuf;
use std::process::ExitCode;

use pipeline_local_cloud::{Cloud, CloudOptions, RuntimeChoice};

const USAGE: &str =
    "usage: serve [--port N] [--speed N] [--runtime detect|docker|process|simulated] [--inert] [--dir PATH]";

fn options() -> Result<CloudOptions, String> {
    let mut options = CloudOptions {
        directory: None,
        port: 4580,
        speed: 1.0,
        inert: false,
        runtime: RuntimeChoice::Detect,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--inert" {
            options.inert = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let wrong = || format!("{value} is no value of {name}");
        match name.as_str() {
            "--port" => options.port = value.parse().map_err(|_| wrong())?,
            "--speed" => options.speed = value.parse().map_err(|_| wrong())?,
            "--dir" => options.directory = Some(PathBuf::from(value)),
            "--runtime" => {
                options.runtime = match value.as_str() {
                    "detect" => RuntimeChoice::Detect,
                    "docker" => RuntimeChoice::Docker,
                    "process" => RuntimeChoice::Process,
                    "simulated" => RuntimeChoice::Simulated,
                    _ => return Err(wrong()),
                };
            }
            _ => return Err(format!("{name} is not known")),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let ended = async {
        let cloud = Cloud::start(options).await?;
        println!("http://{}", cloud.endpoint());
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("cannot wait for an interrupt: {error}");
        }
        cloud.stop().await
    };
    match ended.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
