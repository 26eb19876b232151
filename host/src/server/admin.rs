//! The operators' listener: liveness, readiness and metrics.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::body::Body;
use super::clients::Clients;
use super::descriptors::AcceptBackoff;
use super::error_body::json;
use super::exposition::exposition;
use super::listener::Listener;
use super::replacement::AllCounters;
use super::watch::Heartbeat;
use crate::database::{Database, OpenError};
use crate::memory::HostMemory;
use crate::telemetry::counters::Counts;
use crate::telemetry::process::Process;

/// The state that the operators' listener reports.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(super) counters: AllCounters,
    pub(crate) database: Database,
    pub(crate) draining: Arc<AtomicBool>,
    pub(crate) cores: Vec<Heartbeat>,
    pub(crate) memory: HostMemory,
    pub(super) clients: Clients,
}

/// Serves operators for as long as the process lives.
pub(super) async fn serve(listener: Listener, view: View) {
    let mut backoff = AcceptBackoff::default();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                backoff.wait(&error).await;
                continue;
            }
        };
        backoff.reset();
        let socket = match stream.register() {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!("an operator's connection could not be served: {error}");
                continue;
            }
        };
        let view = view.clone();
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(10))
            .serve_connection(
                TokioIo::new(socket),
                service_fn(move |request| {
                    let view = view.clone();
                    async move { Ok::<_, Infallible>(respond(&request, &view).await) }
                }),
            );
        tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::debug!("an operator's connection ended early: {error}");
            }
        });
    }
}

async fn respond(request: &Request<Incoming>, view: &View) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return json(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    }
    match request.uri().path() {
        "/live" => json(StatusCode::OK, "alive"),
        "/ready" if view.draining.load(Relaxed) => {
            json(StatusCode::SERVICE_UNAVAILABLE, "draining")
        }
        "/ready" if view.cores.iter().any(Heartbeat::is_stuck) => json(
            StatusCode::SERVICE_UNAVAILABLE,
            "a core does not turn: see the log",
        ),
        "/ready" => match view.database.check().await {
            Ok(()) => json(StatusCode::OK, "ready"),
            Err(error) => {
                tracing::warn!("not ready: {error}");
                let why = match error {
                    OpenError::ReadOnly { .. } => "the database takes no writes",
                    _ => "the database cannot be reached",
                };
                json(StatusCode::SERVICE_UNAVAILABLE, why)
            }
        },
        "/metrics" => {
            let text = exposition(
                &Counts::of(&view.counters.all()),
                &view.database.totals(),
                view.memory.used(),
                view.clients.refused(),
                &Process::read(),
            );
            let mut response = Response::new(Body::full(Bytes::from(text)));
            let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, plain);
            response
        }
        _ => json(StatusCode::NOT_FOUND, "Not Found"),
    }
}
