//! A thread per core with its own runtime, listener and database connections. The kernel
//! distributes connections, and cores share nothing that a request touches.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;

use super::file_groups::FileGroups;
use super::memory::Memory;
use super::shared::{Shared, make_table};
use super::{CONNECTIONS, Database, Transport, announce, routes, tls};
use crate::Error;

/// How many connections may wait to be accepted, as in the standard library.
const BACKLOG: u32 = 1024;

/// Serves until the process is ended.
pub(super) fn serve(
    mut listen: SocketAddr,
    transport: &Transport,
    database: Database,
) -> Result<(), Error> {
    let tls = tls::acceptor(transport)?;
    let is_http2 = transport.http2;
    let runtime = new_runtime()?;
    let place = match database {
        Database::Postgres(config) => {
            runtime.block_on(make_table(&config))?;
            Place::Postgres(config)
        }
        Database::Memory => Place::Memory(Memory::open()?),
        Database::File(path) => Place::File(FileGroups::open(path)?),
    };
    let number = std::thread::available_parallelism()?.get();
    let mut cores = Vec::new();
    for _ in 0..number {
        let runtime = new_runtime()?;
        let app = match &place {
            Place::Postgres(config) => {
                routes::router(runtime.block_on(Shared::open(config, CONNECTIONS / number))?)
            }
            Place::Memory(memory) => routes::router(memory.clone()),
            Place::File(file) => routes::router(file.clone()),
        };
        let listener = runtime.block_on(async { bind(listen) })?;
        // With port 0, the other cores use the port that the first one got.
        listen = listener.local_addr()?;
        cores.push((runtime, listener, app));
    }
    announce(listen);
    let cores: Vec<JoinHandle<()>> = cores
        .into_iter()
        .map(|(runtime, listener, app)| {
            let tls = tls.clone();
            std::thread::spawn(move || runtime.block_on(accept(listener, tls, is_http2, app)))
        })
        .collect();
    for core in cores {
        core.join()
            .map_err(|_| "a thread that serves has panicked")?;
    }
    Ok(())
}

enum Place {
    Postgres(Box<tokio_postgres::Config>),
    Memory(Memory),
    File(FileGroups),
}

pub(super) fn new_runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

pub(super) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, is_http2: bool, app: Router) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let app = app.clone();
                match &tls {
                    Some(tls) => drop(tokio::spawn(handshake(stream, tls.clone(), app))),
                    None => drop(tokio::spawn(connection(stream, is_http2, app))),
                }
            }
            Err(error) => {
                eprintln!("cannot accept: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn handshake(stream: TcpStream, tls: TlsAcceptor, app: Router) {
    send_at_once(&stream);
    // A client that disconnects is not worth a log line.
    if let Ok(stream) = tls.accept(stream).await {
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        serve_http(stream, is_http2, app).await;
    }
}

async fn connection(stream: TcpStream, is_http2: bool, app: Router) {
    send_at_once(&stream);
    serve_http(stream, is_http2, app).await;
}

fn send_at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        eprintln!("a connection sends with delay: {error}");
    }
}

async fn serve_http<S>(stream: S, is_http2: bool, app: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, app) = (TokioIo::new(stream), TowerToHyperService::new(app));
    if is_http2 {
        let served = http2::Builder::new(TokioExecutor::new()).serve_connection(stream, app);
        drop(served.await);
    } else {
        let served = http1::Builder::new()
            .pipeline_flush(true)
            .serve_connection(stream, app);
        drop(served.await);
    }
}
