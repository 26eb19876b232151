//! The instance pool of one core: calls the component for each request and reuses its instances.
//!
//! An instance serves one request at a time, so that a trap, a memory limit or an endless loop
//! affects only the request that caused it. The task of a connection drives its request, with no
//! queue between them. When a client disconnects, its response is dropped, and with it the instance
//! and its transaction. Only a clean instance returns to the pool.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::ResourceTable;

use super::admission::{Admission, Permit};
use super::bindings::Serving;
use super::body::GuestBody;
use super::call::{Deadline, GuestTask, RunningCall};
use super::component::Runtime;
use super::config::Config;
use super::error::{CallError, one_line};
use super::state::{State, StoreLimits};
use super::{processor, report, unmap};
use crate::database::tape::Tape;
use crate::database::{Database, Pool};
use crate::memory::{self, HostCharge, HostMemory};
use crate::telemetry::log::{excerpt, excerpt_debug};
use crate::telemetry::{Counters, RequestInfo};
use crate::wasi_http::bindings::buffered::Buffered;
use crate::wasi_http::request::IncomingRequest;
use crate::wasi_http::response::{BodySource, ResponseOutparam, Slot};
use crate::wasi_http::{buffered, head};

/// How instances are used.
#[derive(Clone, Debug)]
pub struct Limits {
    config: Config,
    /// The memory that the host may hold for all requests; clones share it.
    pub(crate) host_memory: HostMemory,
    /// Requests in flight on one core. Further ones wait for a permit, at most half their deadline.
    in_flight: usize,
    /// Whether `buffered-handler` is used if the component exports it. If not, all requests go
    /// through `wasi:http/incoming-handler`, as in other hosts.
    pub buffered: bool,
}

impl Limits {
    /// The limits of one instance.
    pub fn store(&self) -> StoreLimits {
        StoreLimits {
            memory: self.config.instance_memory,
            request_memory: self.config.request_memory,
            host_memory: self.host_memory.clone(),
        }
    }
}

impl Config {
    /// These limits, with at most `in_flight` requests in flight on one core.
    pub fn limits(&self, in_flight: usize) -> Limits {
        Limits {
            config: self.clone(),
            host_memory: HostMemory::new(self.host_memory),
            in_flight,
            buffered: true,
        }
    }
}

/// The instance pool of one core.
#[derive(Debug)]
pub struct Instances {
    runtime: Arc<Runtime>,
    pool: Pool,
    limits: Limits,
    admission: Arc<Admission>,
    #[expect(
        clippy::vec_box,
        reason = "a request moves its instance some ten times"
    )]
    idle: Mutex<Vec<Box<Instance>>>,
    /// Guests that still run after a response that was complete at once.
    lingering: Mutex<JoinSet<Result<(), CallError>>>,
    /// The header fields that the component requests with a buffered request.
    requested_fields: OnceLock<buffered::RequestedFields>,
    counters: Arc<Counters>,
    /// Whether another component has taken the place of this one.
    is_replaced: AtomicBool,
}

/// A clean instance between two requests.
struct Instance {
    store: Store<State>,
    component: wasmtime::component::Instance,
    buffered: Option<Buffered>,
    /// Loaded on first use.
    serving: Option<Serving>,
    served: u32,
}

impl Instance {
    /// Drops an instance that serves no other request.
    fn discard(mut self: Box<Self>) {
        let state = self.store.data_mut();
        if !state.linear_memory.is_slow_to_unmap() {
            return;
        }
        // What belongs to this thread, such as a transaction.
        state.table = ResourceTable::new();
        unmap::drop_on_another_thread(self);
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("served", &self.served)
            .finish_non_exhaustive()
    }
}

/// A body, and the charge for it.
struct ChargedBody(
    Bytes,
    #[expect(dead_code, reason = "dropped with the body")] HostCharge,
);

impl AsRef<[u8]> for ChargedBody {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The outcome of passing a buffered request.
enum BufferedOutcome {
    Returned(Response<Bytes>),
    /// The guest has done nothing; the request must go through `wasi:http/incoming-handler`.
    Fallback(Box<Instance>),
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` passes it")]
fn guest(error: wasmtime::Error) -> CallError {
    CallError::Guest(excerpt(one_line(&error)))
}

impl Instances {
    /// An empty pool; instances are created on demand.
    pub fn new(
        runtime: Arc<Runtime>,
        pool: Pool,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        let admission = Admission::new(limits.in_flight, Arc::clone(&counters));
        Self::admitting(admission, runtime, pool, limits, counters)
    }

    fn admitting(
        admission: Arc<Admission>,
        runtime: Arc<Runtime>,
        pool: Pool,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            pool,
            limits,
            admission,
            idle: Mutex::new(Vec::new()),
            lingering: Mutex::default(),
            requested_fields: OnceLock::new(),
            counters,
            is_replaced: AtomicBool::new(false),
        })
    }

    /// A pool for the component that takes the place of this one's, which finishes its requests and
    /// keeps no instance. Both share the permits, so that together they have no more instances than
    /// one may have.
    pub(crate) fn replace(
        &self,
        runtime: Arc<Runtime>,
        database: &Database,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        self.is_replaced.store(true, Relaxed);
        self.idle().clear();
        let admission = Arc::clone(&self.admission);
        let pool = database.share(&self.pool);
        Self::admitting(admission, runtime, pool, self.limits.clone(), counters)
    }

    /// Makes an instance and drops it.
    ///
    /// # Errors
    /// If the component cannot be instantiated, or does not say which headers it reads.
    pub(crate) async fn probe(&self) -> Result<(), CallError> {
        let mut instantiated = pin!(self.instantiate());
        // Or its time would be counted from whatever ran on this thread before.
        let done = std::future::poll_fn(|cx| processor::resume(instantiated.as_mut(), cx));
        done.await.map(drop)
    }

    /// The memory that the host may hold for all requests.
    pub(crate) fn host_memory(&self) -> &HostMemory {
        &self.limits.host_memory
    }

    /// The component.
    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// The counters of the requests to this component.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Calls the guest with one request, whose time began then, and returns its response. The guest
    /// may still be writing the body while it is read. A tape notes its calls on the database.
    ///
    /// # Errors
    /// See [`CallError`]. If the guest fails after its response has begun, the body ends with an
    /// error.
    pub async fn call(
        self: &Arc<Self>,
        request: &mut Request<Bytes>,
        info: &Arc<RequestInfo>,
        tape: Option<&Arc<Tape>>,
        began: std::time::Instant,
    ) -> Result<Response<GuestBody>, CallError> {
        let arrival = Instant::from_std(began);
        let mut deadline = Deadline::new(arrival + self.limits.config.request_timeout, info);
        let permit = match self.admission.try_acquire(arrival) {
            Some(permit) => permit,
            None => {
                let latest = arrival + self.limits.config.request_timeout / 2;
                self.admission
                    .acquire(latest)
                    .await
                    .ok_or(CallError::Busy)?
            }
        };
        // Boxed, so that the future is in memory that was used a moment ago. With many connections,
        // the memory of a connection's task is out of the processor's cache.
        match Box::pin(self.call_buffered(request, info, tape, &mut deadline)).await? {
            BufferedOutcome::Returned(response) if response.body().len() > memory::FREE => {
                self.charge_large(response)
            }
            BufferedOutcome::Returned(response) => {
                Ok(response.map(|body| GuestBody::Buffered(Some(body))))
            }
            BufferedOutcome::Fallback(instance) => {
                let request = std::mem::take(request);
                Box::pin(self.call_streaming(instance, request, info, deadline, permit)).await
            }
        }
    }

    /// Charges a large response until it is written.
    #[cold]
    fn charge_large(&self, response: Response<Bytes>) -> Result<Response<GuestBody>, CallError> {
        let (head, body) = response.into_parts();
        let (bytes, most) = (body.len(), self.limits.config.max_response);
        if bytes > most {
            return Err(CallError::Guest(format!(
                "it answered with {bytes} bytes in one piece, more than {most} (--max-response)"
            )));
        }
        let charge = self.limits.host_memory.hold(bytes);
        let charge = charge.map_err(|over| CallError::Memory(over.to_string()))?;
        let body = Bytes::from_owner(ChargedBody(body, charge));
        Ok(Response::from_parts(head, GuestBody::Buffered(Some(body))))
    }

    /// Passes a buffered request if the component exports `buffered-handler`, until the deadline.
    async fn call_buffered(
        &self,
        request: &mut Request<Bytes>,
        info: &Arc<RequestInfo>,
        tape: Option<&Arc<Tape>>,
        deadline: &mut Deadline,
    ) -> Result<BufferedOutcome, CallError> {
        let mut work = pin!(self.try_buffered(request, info, tape, deadline.at()));
        std::future::poll_fn(|cx| deadline.poll(work.as_mut(), cx)).await?
    }

    async fn try_buffered(
        &self,
        request: &mut Request<Bytes>,
        info: &Arc<RequestInfo>,
        tape: Option<&Arc<Tape>>,
        deadline: Instant,
    ) -> Result<BufferedOutcome, CallError> {
        let mut instance = self.take().await?;
        let store = &mut instance.store;
        store.set_epoch_deadline(processor::TICKS);
        store
            .data_mut()
            .processor
            .begin(self.limits.config.cpu_time);
        store.data_mut().begin_request(info);
        let gate = &mut store.data_mut().gate;
        gate.begin_request(Arc::clone(info), deadline.into_std(), tape);
        if let (Some(handler), Some(requested_fields)) =
            (&instance.buffered, self.requested_fields.get())
        {
            let response = buffered::handle(handler, &mut *store, request, requested_fields).await;
            let failed = store.data().gate.last_failure();
            match response.map_err(|error| report::failure(error, failed)) {
                Ok(Some(response)) => {
                    report::server_error(response.status(), info, failed);
                    instance.served += 1;
                    self.recycle(instance);
                    return Ok(BufferedOutcome::Returned(response));
                }
                Ok(None) => {}
                Err(error) => {
                    instance.discard();
                    return Err(error);
                }
            }
        }
        Ok(BufferedOutcome::Fallback(instance))
    }

    /// Passes a request through `wasi:http/incoming-handler`.
    async fn call_streaming(
        self: &Arc<Self>,
        mut instance: Box<Instance>,
        request: Request<Bytes>,
        info: &Arc<RequestInfo>,
        deadline: Deadline,
        permit: Permit,
    ) -> Result<Response<GuestBody>, CallError> {
        let slot = Slot::default();
        let method = request.method().clone();
        let failed = instance.store.data().gate.last_failure().clone();
        let bytes_read = instance.store.data_mut().processor.bytes_read();
        let (pool, guest_slot) = (Arc::clone(self), slot.clone());
        let work = async move {
            let done = pool.handle(instance, request, guest_slot).await;
            drop(permit);
            done
        };
        let mut call = RunningCall::new(work, deadline);
        let (response, returned) = std::future::poll_fn(|cx| call.poll_response(&slot, cx)).await?;
        let guest_response = response.map_err(|code| {
            CallError::Guest(format!(
                "it answered with the error {}",
                excerpt_debug(&code)
            ))
        })?;
        let status = guest_response.status;
        report::server_error(status, info, &failed);
        let mut headers = guest_response.headers;
        let mut reconcile = |body: Option<usize>| {
            if body.is_some() {
                head::without_trailers(&mut headers);
            }
            let content_length = guest_response.content_length;
            head::reconcile(&method, status, &mut headers, content_length, body)
                .map_err(|invalid| CallError::Guest(invalid.to_string()))
        };
        let body = match guest_response.source {
            // The guest may go on for `after_answer`; its outcome changes nothing for the client.
            BodySource::Buffered(bytes) => {
                reconcile(Some(bytes.len()))?;
                if !returned {
                    call.end_within(self.limits.config.after_answer);
                    self.linger(call);
                }
                GuestBody::Buffered(Some(bytes))
            }
            BodySource::Pipe(pipe) => match returned.then(|| pipe.take_complete()).flatten() {
                Some(body) => {
                    reconcile(Some(body.len()))?;
                    GuestBody::Buffered(Some(body))
                }
                None => {
                    reconcile(None)?;
                    pipe.count_read(bytes_read);
                    call.stream(
                        pipe.clone(),
                        self.limits.config.request_timeout,
                        self.limits.config.after_answer,
                    );
                    GuestBody::Streaming {
                        pipe,
                        guest: (!returned).then(|| GuestTask::start(call)),
                        request: Arc::clone(info),
                        is_complete: false,
                    }
                }
            },
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// Calls the guest's streaming handler, and recycles the instance when it returns.
    async fn handle(
        &self,
        mut instance: Box<Instance>,
        request: Request<Bytes>,
        slot: Slot,
    ) -> Result<(), CallError> {
        let store = &mut instance.store;
        let serving = match instance.serving.take() {
            Some(serving) => serving,
            None => self
                .runtime
                .serving
                .load(&mut *store, &instance.component)
                .map_err(guest)?,
        };
        let table = &mut store.data_mut().table;
        let request = table
            .push(IncomingRequest::new(request))
            .map_err(|error| guest(error.into()))?;
        let out = table
            .push(ResponseOutparam(slot))
            .map_err(|error| guest(error.into()))?;
        let handler = serving.wasi_http_incoming_handler();
        if let Err(error) = handler.call_handle(&mut *store, request, out).await {
            let error = report::failure(error, store.data().gate.last_failure());
            instance.discard();
            return Err(error);
        }
        instance.serving = Some(serving);
        instance.served += 1;
        self.recycle(instance);
        Ok(())
    }

    fn linger(&self, call: RunningCall) {
        let mut lingering = self.lingering();
        while lingering.try_join_next().is_some() {}
        lingering.spawn(call);
    }

    fn lingering(&self) -> std::sync::MutexGuard<'_, JoinSet<Result<(), CallError>>> {
        self.lingering
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no request is in flight.
    pub(crate) async fn wait_until_idle(&self) {
        self.admission.wait_until_idle().await;
    }

    /// Ends the guests that run after their response, and waits until no request is in flight.
    pub(crate) async fn end(&self) {
        self.lingering().abort_all();
        self.wait_until_idle().await;
    }

    async fn take(&self) -> Result<Box<Instance>, CallError> {
        let idle = self.idle().pop();
        if let Some(instance) = idle {
            return Ok(instance);
        }
        Box::pin(self.instantiate()).await
    }

    async fn instantiate(&self) -> Result<Box<Instance>, CallError> {
        let mut store = self.runtime.store(self.pool.gate(), &self.limits.store());
        store
            .data_mut()
            .processor
            .begin(self.limits.config.cpu_time);
        let failed = |error: wasmtime::Error| CallError::Host(excerpt(one_line(&error)));
        let instance = self
            .runtime
            .pre
            .instantiate_async(&mut store)
            .await
            .map_err(failed)?;
        store.data_mut().linear_memory.begin();
        let buffered = match &self.runtime.buffered {
            Some(indices) if self.limits.buffered => {
                Some(indices.load(&mut store, &instance).map_err(failed)?)
            }
            _ => None,
        };
        if let Some(buffered) = &buffered
            && self.requested_fields.get().is_none()
        {
            let requested_fields = buffered::requested_fields(buffered, &mut store)
                .await
                .map_err(failed)?;
            // Instances that are created at the same time get the same result.
            self.requested_fields.get_or_init(|| requested_fields);
        }
        self.counters.instantiated();
        Ok(Box::new(Instance {
            store,
            component: instance,
            buffered,
            serving: None,
            served: 0,
        }))
    }

    /// The lock is uncontended, since every core has a pool of its own. A panic cannot leave the
    /// list inconsistent.
    #[expect(clippy::vec_box, reason = "as in the struct")]
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Box<Instance>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an instance for the next request, unless it has served `instance_reuse` requests, its
    /// component is replaced, or it still holds resources of this one, which are dropped with it.
    fn recycle(&self, mut instance: Box<Instance>) {
        let state = instance.store.data_mut();
        let clean = state.gate.reset() && state.end_request() && !state.linear_memory.is_large();
        // Bytes that the client has not read yet stay charged to the old request.
        if state.memory.used() > 0 {
            state.memory = self
                .limits
                .host_memory
                .request(self.limits.config.request_memory);
            state.gate.set_memory(state.memory.clone());
        }
        let is_worn = instance.served >= self.limits.config.instance_reuse.get();
        if clean && !is_worn && !self.is_replaced.load(Relaxed) {
            self.idle().push(instance);
        } else {
            instance.discard();
        }
    }
}
