//! One runtime with a thread per core, one listener, one pool. Over TLS it is served as axum's
//! example `low-level-rustls` does.

use std::net::SocketAddr;

use axum::Router;
use axum::serve::ListenerExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::file_pool::FilePool;
use super::memory::Memory;
use super::store::Store;
use super::{Database, Transport, announce, pool, routes, tls};
use crate::Error;

/// Serves until the process is ended.
pub(super) fn serve(
    listen: SocketAddr,
    transport: &Transport,
    database: Database,
) -> Result<(), Error> {
    let tls = tls::acceptor(transport)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            match database {
                Database::Postgres(config) => run(listen, tls, pool::open(*config).await?).await,
                Database::Memory => run(listen, tls, Memory::open()?).await,
                Database::File(path) => run(listen, tls, FilePool::open(&path)?).await,
            }
        })
}

async fn run(listen: SocketAddr, tls: Option<TlsAcceptor>, store: impl Store) -> Result<(), Error> {
    let listener = TcpListener::bind(listen).await?;
    announce(listener.local_addr()?);
    if let Some(tls) = tls {
        return accept(listener, tls, routes::router(store)).await;
    }
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("a connection sends with delay: {error}");
        }
    });
    Ok(axum::serve(listener, routes::router(store)).await?)
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, app: Router) -> Result<(), Error> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, app) = (tls.clone(), app.clone());
        tokio::spawn(async move {
            // A client that disconnects is not worth a log line.
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let served = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
                .await;
            drop(served);
        });
    }
}
