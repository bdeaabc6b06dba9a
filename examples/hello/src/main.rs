//! The sample app: a small, fast HTTP server that says which version it is.
//!
//! Everything is configured by the environment, as a container's is:
//!
//! | variable | default | meaning |
//! | --- | --- | --- |
//! | `HOST` | `0.0.0.0` | address to listen on; a task that runs as a process gets a loopback address of its own |
//! | `PORT` | `8080` | port to listen on |
//! | `VERSION` | `0` | what `/` answers and the header `x-version` says |
//! | `HEALTHY` | `true` | `false` makes `/health-check` answer 500: a broken version |

mod response;

use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::response::App;

/// One thread answers far more requests than a load test of a deployment sends, and leaves the
/// other cores to what is being tested.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let host: IpAddr = variable("HOST", "0.0.0.0").parse().map_err(|_| "HOST is not an IP address")?;
    let port: u16 = variable("PORT", "8080").parse().map_err(|_| "PORT is not a port number")?;
    let app = App::new(&variable("VERSION", "0"), variable("HEALTHY", "true") != "false");
    let listener = TcpListener::bind(SocketAddr::new(host, port)).await?;
    eprintln!("version {} listens on {}", app.version(), listener.local_addr()?);
    serve(listener, Arc::new(app)).await
}

fn variable(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Serves until SIGTERM or SIGINT, then takes no new connections and finishes the requests that are
/// in flight. There is no limit of its own: whoever stops a container kills it when it takes too long.
async fn serve(listener: TcpListener, app: Arc<App>) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let graceful = GracefulShutdown::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // A request's answer must not wait for the acknowledgement of the one before.
                    let _ = stream.set_nodelay(true);
                    let app = Arc::clone(&app);
                    let service = service_fn(move |request| {
                        let app = Arc::clone(&app);
                        async move { Ok::<_, Infallible>(app.answer(&request).await) }
                    });
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service);
                    tokio::spawn(graceful.watch(connection));
                }
                // Out of file descriptors, or a client that gave up: the next one may fare better.
                Err(error) => {
                    eprintln!("cannot accept a connection: {error}");
                    tokio::task::yield_now().await;
                }
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    drop(listener);
    eprintln!("version {} finishes {} connections and stops", app.version(), graceful.count());
    graceful.shutdown().await;
    Ok(())
}
