//! The HTTP library alone: the same response to every request, with a runtime and a listener per
//! core.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::announce;
use super::best::{bind, new_runtime};
use crate::Error;

/// A user as JSON.
const USER: &[u8] = br#"{"id":1,"name":"User 1","email":"user.1@example.com"}"#;

/// Serves until the process is ended.
pub(super) fn serve(mut listen: SocketAddr) -> Result<(), Error> {
    let mut cores = Vec::new();
    for _ in 0..std::thread::available_parallelism()?.get() {
        let runtime = new_runtime()?;
        let listener = runtime.block_on(async { bind(listen) })?;
        listen = listener.local_addr()?;
        cores.push((runtime, listener));
    }
    announce(listen);
    std::thread::scope(|scope| {
        for (runtime, listener) in cores {
            scope.spawn(move || runtime.block_on(accept(listener)));
        }
    });
    Ok(())
}

async fn accept(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream));
            }
            Err(error) => {
                eprintln!("cannot accept: {error}");
                return;
            }
        }
    }
}

async fn connection(stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        eprintln!("a connection sends with delay: {error}");
    }
    let served = http1::Builder::new()
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    // A client that disconnects is not worth a log line.
    drop(served.await);
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(USER)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ETAG, HeaderValue::from_static("\"1\""));
    Ok(response)
}
