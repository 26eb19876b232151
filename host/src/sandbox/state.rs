//! The state that the host keeps for one instance, in its store.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::cli::WasiCliCtxView;
use wasmtime_wasi::clocks::{WasiClocksCtx, WasiClocksCtxView};
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::sockets::WasiSocketsCtxView;

use super::linear_memory::LinearMemory;
use super::processor::Processor;
use crate::database::{self, Gate};
use crate::memory::{HostMemory, RequestMemory};
use crate::telemetry::RequestInfo;
use crate::wasi::{Context, Overrides, Values};
use crate::wasi_http;

/// The limits of one instance.
#[derive(Clone, Debug)]
pub struct StoreLimits {
    /// Linear memory, in bytes.
    pub(crate) memory: usize,
    /// The memory that the host may hold for one request, in bytes.
    pub(crate) request_memory: usize,
    /// The memory that the host may hold for all requests.
    pub(crate) host_memory: HostMemory,
}

/// Host resources that an instance may have at the same time. A request takes some fifteen.
const RESOURCES: usize = 1000;

/// The state that the host keeps for one instance.
pub struct State {
    pub(crate) table: ResourceTable,
    pub(crate) linear_memory: LinearMemory,
    /// The memory that the host holds for the current request.
    pub(super) memory: RequestMemory,
    pub(crate) processor: Processor,
    clocks: WasiClocksCtx,
    /// Seeded on first use; most components never use it.
    random: Option<WasiRandomCtx>,
    /// What a test has set in place of the two.
    overridden: Option<Box<WasiCtx>>,
    /// Only of components that import what needs it.
    wasi: Option<Box<Context>>,
    /// What the operator has set for the component.
    values: Arc<Values>,
    pub(super) gate: Gate,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl State {
    pub(crate) fn new(
        mut gate: Gate,
        limits: &StoreLimits,
        needs_context: bool,
        values: Arc<Values>,
        overrides: &Overrides,
    ) -> Self {
        let memory = limits.host_memory.request(limits.request_memory);
        gate.set_memory(memory.clone());
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Self {
            table,
            linear_memory: LinearMemory::new(limits.memory),
            memory,
            processor: Processor::default(),
            clocks: WasiClocksCtx::default(),
            random: None,
            overridden: overrides.context(),
            wasi: needs_context.then(|| Box::new(Context::new())),
            values,
            gate,
        }
    }

    pub(crate) fn http(&mut self) -> wasi_http::View<'_> {
        wasi_http::View {
            table: &mut self.table,
            memory: &self.memory,
        }
    }

    pub(crate) fn clocks(&mut self) -> WasiClocksCtxView<'_> {
        WasiClocksCtxView {
            ctx: match &mut self.overridden {
                Some(overridden) => overridden.clocks(),
                None => &mut self.clocks,
            },
            table: &mut self.table,
        }
    }

    pub(crate) fn cli(&mut self) -> WasiCliCtxView<'_> {
        let context = self.wasi.get_or_insert_with(|| Box::new(Context::new()));
        context.cli(&mut self.table)
    }

    pub(crate) fn filesystem(&mut self) -> WasiFilesystemCtxView<'_> {
        let context = self.wasi.get_or_insert_with(|| Box::new(Context::new()));
        context.filesystem(&mut self.table)
    }

    pub(crate) fn sockets(&mut self) -> WasiSocketsCtxView<'_> {
        let context = self.wasi.get_or_insert_with(|| Box::new(Context::new()));
        context.sockets(&mut self.table)
    }

    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// The request that is served, if any.
    pub(crate) fn request(&self) -> Option<&RequestInfo> {
        self.gate.request()
    }

    /// What the component prints from now on is of this request.
    pub(super) fn begin_request(&mut self, request: &Arc<RequestInfo>) {
        if let Some(context) = &self.wasi {
            context.begin_request(request);
        }
    }

    /// The request has ended. Returns whether the component kept none of its resources.
    pub(super) fn end_request(&mut self) -> bool {
        match &self.wasi {
            Some(context) => context.end_request(&mut self.table),
            None => self.table.is_empty(),
        }
    }

    pub(crate) fn random(&mut self) -> &mut WasiRandomCtx {
        match &mut self.overridden {
            Some(overridden) => overridden.random(),
            None => self.random.get_or_insert_default(),
        }
    }

    pub(crate) fn database(&mut self) -> database::View<'_> {
        database::View {
            gate: &mut self.gate,
            table: &mut self.table,
        }
    }

    /// The gate of the database calls of this instance.
    pub fn gate(&mut self) -> &mut Gate {
        &mut self.gate
    }
}
