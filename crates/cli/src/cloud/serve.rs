//! `pipeline cloud serve`: the embedded cloud in this process, until it is told to stop.

use std::path::Path;

use pipeline_local_cloud::{Cloud, CloudOptions, RuntimeChoice};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{CloudCommandError, CloudRecord, take_lock};
use crate::arguments::{Runtime, Serving};

/// Serves until SIGINT or SIGTERM.
pub(super) async fn serve(folder: &Path, serving: &Serving) -> Result<(), CloudCommandError> {
    if serving.detached {
        // A session of its own, so that closing the terminal does not end it.
        let _ = rustix::process::setsid();
    }
    start_log();
    let _lock = take_lock(folder, serving)?;
    let cloud = Cloud::start(CloudOptions {
        directory: Some(folder.to_owned()),
        port: serving.options.port,
        speed: serving.options.speed,
        inert: serving.options.inert,
        runtime: match serving.options.runtime {
            Runtime::Auto => RuntimeChoice::Detect,
            Runtime::Docker => RuntimeChoice::Docker,
            Runtime::Process => RuntimeChoice::Process,
            Runtime::Simulated => RuntimeChoice::Simulated,
        },
    })
    .await?;
    let record = CloudRecord {
        pid: std::process::id(),
        endpoint: format!("http://{}", cloud.endpoint()),
        options: serving.options.clone(),
    };
    record.write(folder).map_err(|source| CloudCommandError::File { path: folder.to_owned(), source })?;
    if !serving.detached {
        println!("listening on {}; Ctrl-C stops", record.endpoint);
    }
    told_to_stop().await?;
    Ok(cloud.stop().await?)
}

fn start_log() {
    let filter = EnvFilter::try_from_env("PIPELINE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

async fn told_to_stop() -> Result<(), CloudCommandError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(CloudCommandError::Spawn)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CloudCommandError::Spawn)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
