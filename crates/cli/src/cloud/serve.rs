//! `pipeline cloud serve`: the embedded cloud in this process, until it is told to stop.

use std::path::Path;

use pipeline_local_cloud::{Cloud, CloudOptions, RuntimeChoice};
use tokio::signal::unix::{Signal, SignalKind, signal};
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
    // Heard from now on: whoever reads that it listens may tell it to stop at once.
    let signals = Signals::listen()?;
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
    signals.told_to_stop().await;
    Ok(cloud.stop().await?)
}

fn start_log() {
    let filter = EnvFilter::try_from_env("PIPELINE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, CloudCommandError> {
        let on = |kind| signal(kind).map_err(CloudCommandError::Spawn);
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    async fn told_to_stop(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
