//! The interfaces of Spin, for one instance.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::WasiHttpCtx;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, OutgoingRequestConfig};
use wasmtime_wasi_http::p2::{HttpResult, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use crate::bindings::fermyon::spin::variables;
use crate::bindings::spin::postgres::postgres::{
    Error, Host, HostConnection, ParameterValue, RowSet,
};
use crate::client::{Client, Pools};

/// The component sends no requests.
struct NoRequests;

impl WasiHttpHooks for NoRequests {
    fn send_request(
        &mut self,
        _: hyper::Request<HyperOutgoingBody>,
        _: OutgoingRequestConfig,
    ) -> HttpResult<HostFutureIncomingResponse> {
        Err(ErrorCode::HttpRequestDenied.into())
    }
}

/// What an instance can reach.
pub struct Instance {
    pools: Arc<Pools>,
    variables: Arc<HashMap<String, String>>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoRequests,
    table: ResourceTable,
}

impl Instance {
    /// With standard error, and nothing else of its surroundings.
    pub fn new(pools: Arc<Pools>, variables: Arc<HashMap<String, String>>) -> Self {
        Self {
            pools,
            variables,
            wasi: WasiCtx::builder().inherit_stderr().build(),
            http: WasiHttpCtx::new(),
            hooks: NoRequests,
            table: ResourceTable::new(),
        }
    }

    fn client(&self, connection: &Resource<Client>) -> Result<Client, Error> {
        let client = self.table.get(connection).cloned();
        client.map_err(|_| Error::ConnectionFailed("no connection found".into()))
    }
}

impl WasiView for Instance {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Instance {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}

impl Host for Instance {}

impl HostConnection for Instance {
    async fn open(&mut self, address: String) -> Result<Resource<Client>, Error> {
        let client = self.pools.client(&address).await;
        let client = client.map_err(|error| Error::ConnectionFailed(format!("{error:?}")))?;
        self.table
            .push(client)
            .map_err(|_| Error::ConnectionFailed("too many connections".into()))
    }

    async fn query(
        &mut self,
        connection: Resource<Client>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<RowSet, Error> {
        self.client(&connection)?.query(&statement, &params).await
    }

    async fn execute(
        &mut self,
        connection: Resource<Client>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<u64, Error> {
        self.client(&connection)?.execute(&statement, &params).await
    }

    async fn drop(&mut self, connection: Resource<Client>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl variables::Host for Instance {
    async fn get(&mut self, name: String) -> Result<String, variables::Error> {
        let value = self.variables.get(&name).cloned();
        value.ok_or_else(|| variables::Error::Undefined(format!("no variable for {name}")))
    }
}
