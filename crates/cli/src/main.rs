//! The `pipeline` command: arguments, rendering, exit codes.

mod arguments;
mod cloud;
mod exit;
mod history;
mod host;
mod lock;
mod look;
mod manifest;
mod plugin;
mod private;
mod render;
mod run;
mod state;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

/// A run with nothing to do is short and allocates much, on several threads, for each of which the system's
/// allocator grows a heap page by page.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The one TLS provider of the process. It can only be refused because it is set already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(async {
            let exit = dispatch(arguments).await;
            // What has to be durable is by now, so nobody has to wait until the runtime is taken apart.
            std::process::exit(exit.code().into())
        }),
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            exit::Exit::Failed.into()
        }
    }
}

async fn dispatch(arguments: Arguments) -> exit::Exit {
    match arguments.command {
        Command::Plan(options) => run::plan(options).await,
        Command::Run(options) => run::run(options).await,
        Command::Apply(options) => run::apply(options).await,
        Command::Destroy(options) => run::destroy(options).await,
        Command::Rollback(options) => run::rollback(options).await,
        Command::Status(options) => history::status(options).await,
        Command::History(options) => history::history(options).await,
        Command::Check(options) => look::check(&options),
        Command::Outputs(options) => look::outputs(&options).await,
        Command::Stages(options) => look::stages(&options),
        Command::Plugin(command) => plugin::run(command).await,
        Command::PluginHost { library } => plugin::host(&library),
        Command::Lock(command) => lock::run(command).await,
        Command::Cloud(command) => cloud::run(command).await,
    }
}
