//! The context of one instance: nothing to read, nothing to reach, and the log to write to.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::cli::WasiCliCtxView;
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::sockets::WasiSocketsCtxView;

use super::output::{Name, Outputs};
use crate::telemetry::RequestInfo;

/// What the imports of one instance have. When it is dropped, a line that was begun is written.
pub(crate) struct Context {
    wasi: WasiCtx,
    outputs: Outputs,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

impl Context {
    pub(crate) fn new() -> Self {
        let outputs = Outputs::default();
        // The defaults of the builder have no environment, no arguments and no directory.
        let wasi = WasiCtx::builder()
            .stdin(outputs.input())
            .stdout(outputs.output(Name::Stdout))
            .stderr(outputs.output(Name::Stderr))
            // No socket of any kind is made, instead of one that can connect to nothing: it would
            // take a file descriptor of the server.
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Self { wasi, outputs }
    }

    /// What is printed from now on is of this request.
    pub(crate) fn begin_request(&self, request: &Arc<RequestInfo>) {
        self.outputs.begin(request);
    }

    /// The request has ended. Returns whether the component kept no resource beyond it, apart from
    /// its standard streams and what it uses to wait for them.
    pub(crate) fn end_request(&self, table: &mut ResourceTable) -> bool {
        self.outputs.end();
        // What a pollable waits for is in the table as long as the pollable is.
        let waited_for = table.iter_mut().filter(|entry| !entry.is::<DynPollable>());
        waited_for.count() == self.outputs.open_streams()
    }

    pub(crate) fn cli<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiCliCtxView<'a> {
        let ctx = self.wasi.cli();
        WasiCliCtxView { ctx, table }
    }

    pub(crate) fn filesystem<'a>(
        &'a mut self,
        table: &'a mut ResourceTable,
    ) -> WasiFilesystemCtxView<'a> {
        let ctx = self.wasi.filesystem();
        WasiFilesystemCtxView { ctx, table }
    }

    pub(crate) fn sockets<'a>(
        &'a mut self,
        table: &'a mut ResourceTable,
    ) -> WasiSocketsCtxView<'a> {
        let ctx = self.wasi.sockets();
        WasiSocketsCtxView { ctx, table }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.outputs.end();
    }
}
