//! Requests, each to an instance of its own.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::header::HOST;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::error::Context as _;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi_http::p2::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::bindings::Spin;
use crate::client::Pools;
use crate::host::Instance;

struct Server {
    component: ProxyPre<Instance>,
    pools: Arc<Pools>,
    variables: Arc<HashMap<String, String>>,
}

/// Serves until the process ends.
pub async fn serve(
    component: &str,
    address: &str,
    variables: HashMap<String, String>,
) -> wasmtime::Result<()> {
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(
        PoolingAllocationConfig::default(),
    ));
    let engine = Engine::new(&config)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi_http::p2::add_to_linker_async(&mut linker)?;
    Spin::add_to_linker::<_, HasSelf<Instance>>(&mut linker, |instance| instance)?;
    let component = Component::from_file(&engine, component)?;
    let server = Arc::new(Server {
        component: ProxyPre::new(linker.instantiate_pre(&component)?)?,
        pools: Arc::default(),
        variables: Arc::new(variables),
    });

    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let server = Arc::clone(&server);
                async move { server.respond(request).await }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                eprintln!("a connection failed: {error:?}");
            }
        });
    }
}

impl Server {
    /// As Spin, answers with an empty 500 if the component fails before it has responded.
    async fn respond(
        &self,
        request: Request<Incoming>,
    ) -> wasmtime::Result<Response<HyperOutgoingBody>> {
        self.handle(request).await.or_else(|error| {
            eprintln!("a request failed: {error:?}");
            let mut response = Response::new(HyperOutgoingBody::default());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Ok(response)
        })
    }

    async fn handle(
        &self,
        mut request: Request<Incoming>,
    ) -> wasmtime::Result<Response<HyperOutgoingBody>> {
        set_authority(&mut request)?;
        let instance = Instance::new(Arc::clone(&self.pools), Arc::clone(&self.variables));
        let mut store = Store::new(self.component.engine(), instance);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let request = store
            .data_mut()
            .http()
            .new_incoming_request(Scheme::Http, request)?;
        let out = store.data_mut().http().new_response_outparam(sender)?;
        let component = self.component.clone();
        // It goes on after it has sent the head of its response.
        let task = tokio::spawn(async move {
            let proxy = component.instantiate_async(&mut store).await?;
            let handler = proxy.wasi_http_incoming_handler();
            handler.call_handle(store, request, out).await
        });
        match receiver.await {
            Ok(response) => Ok(response?),
            Err(_) => {
                task.await??;
                wasmtime::bail!("the component returned without a response")
            }
        }
    }
}

/// Puts the `Host` header into the URI, from which the component reads it.
fn set_authority(request: &mut Request<Incoming>) -> wasmtime::Result<()> {
    let mut parts = request.uri().clone().into_parts();
    if parts.authority.is_none() {
        let host = request.headers().get(HOST).context("no Host header")?;
        parts.authority = Some(host.to_str()?.parse()?);
    }
    parts.scheme = Some(hyper::http::uri::Scheme::HTTP);
    *request.uri_mut() = Uri::from_parts(parts)?;
    Ok(())
}
