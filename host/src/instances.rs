//! Instances of the component on one core: handed a request each, reused while they are sound, replaced when they are not.
//!
//! An instance serves one request at a time, so that a trap, a memory limit or an endless loop hits the request that caused it
//! and no other. A request is driven by the task of its own connection: no queue and no wake-up lies between the two, and
//! dropping the response, as happens when a client leaves, drops the instance with everything it holds, its transaction
//! included.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime::{Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::clocks::{WasiClocksCtx, WasiClocksCtxView};
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::bindings::Serving;
use crate::database::{Pool, Session, View};
use crate::hooks::Hooks;
use crate::runtime::{Runtime, one_line};
use crate::telemetry::Counters;

/// What the host keeps for one instance.
pub struct State {
    pub(crate) table: ResourceTable,
    pub(crate) limits: StoreLimits,
    http: WasiHttpCtx,
    hooks: Hooks,
    clocks: WasiClocksCtx,
    /// Seeded on first use: most components never ask.
    random: Option<WasiRandomCtx>,
    session: Session,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl State {
    pub(crate) fn new(session: Session, memory: usize) -> Self {
        Self {
            table: ResourceTable::new(),
            // Growing past the limit is a trap rather than a failed `memory.grow`, so that the log can name the cause.
            limits: StoreLimitsBuilder::new()
                .memory_size(memory)
                .trap_on_grow_failure(true)
                .build(),
            http: WasiHttpCtx::new(),
            hooks: Hooks,
            clocks: WasiClocksCtx::default(),
            random: None,
            session,
        }
    }

    pub(crate) fn clocks(&mut self) -> WasiClocksCtxView<'_> {
        WasiClocksCtxView {
            ctx: &mut self.clocks,
            table: &mut self.table,
        }
    }

    pub(crate) fn random(&mut self) -> &mut WasiRandomCtx {
        self.random.get_or_insert_default()
    }

    pub(crate) fn database(&mut self) -> View<'_> {
        View {
            session: &mut self.session,
            table: &mut self.table,
        }
    }

    /// What limits the database calls of this instance.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// How instances are used.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests an instance serves before it is replaced; 1 gives every request a fresh one.
    pub reuse: u32,
    /// Linear memory of an instance, in bytes.
    pub memory: usize,
    /// Requests in flight on one core. Further ones wait for their turn, for half of their deadline at most.
    pub in_flight: usize,
    /// From the request's arrival to the guest's return.
    pub deadline: Duration,
}

/// The instances of one core.
#[derive(Debug)]
pub struct Instances {
    runtime: Arc<Runtime>,
    pool: Pool,
    limits: Limits,
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Instance>>,
    counters: Arc<Counters>,
}

/// One sound instance between two requests.
struct Instance {
    store: Store<State>,
    serving: Serving,
    served: u32,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("served", &self.served)
            .finish_non_exhaustive()
    }
}

/// Why a request got no answer of the guest's own. None of it is the client's fault.
#[derive(Debug)]
pub enum CallError {
    /// No turn came while there was time to use it.
    Busy,
    /// The guest did not answer before the deadline, and was ended.
    Deadline,
    /// The guest trapped, ran out of memory, or returned without an answer. The text is for the log.
    Guest(String),
    /// The host could not instantiate the component. The text is for the log.
    Host(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("no instance came free in half of the request's deadline"),
            Self::Deadline => {
                f.write_str("the request's deadline passed and its instance was ended")
            }
            Self::Guest(text) => write!(f, "the component failed: {text}"),
            Self::Host(text) => write!(f, "the component could not be instantiated: {text}"),
        }
    }
}

impl std::error::Error for CallError {}

/// Clock ticks a guest may run before it lets its core serve others.
const TICKS: u64 = 2;

type Answer = Result<Response<HyperOutgoingBody>, ErrorCode>;

impl Instances {
    /// An empty set; instances are made when requests need them.
    pub fn new(
        runtime: Arc<Runtime>,
        pool: Pool,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            pool,
            limits,
            turns: Arc::new(Semaphore::new(limits.in_flight)),
            idle: Mutex::new(Vec::new()),
            counters,
        })
    }

    /// Hands the guest one request and gives its response, whose body may still be produced while it is read.
    ///
    /// # Errors
    /// See [`CallError`]. After an answer has begun, an error of the guest ends the response's body with an error instead.
    pub async fn call(
        self: &Arc<Self>,
        request: Request<Bytes>,
    ) -> Result<Response<GuestBody>, CallError> {
        let arrival = Instant::now();
        let deadline = arrival + self.limits.deadline;
        let permit = match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.turn(arrival + self.limits.deadline / 2).await?,
        };
        let (sender, receiver) = oneshot::channel();
        let set = Arc::clone(self);
        let work = Box::pin(async move { set.serve(request, sender, deadline, permit).await });
        let mut call = Call {
            run: Some(Run {
                work,
                timer: None,
                deadline,
            }),
            receiver,
        };
        let response = std::future::poll_fn(|cx| call.poll_answer(cx)).await?;
        let run = call.run.take();
        Ok(response.map(|inner| GuestBody { inner, run }))
    }

    /// Waits for a turn, in the order of arrival. A turn that comes too late is passed on: starting the guest with no time left
    /// would only take time from requests that still have some.
    async fn turn(&self, latest: Instant) -> Result<OwnedSemaphorePermit, CallError> {
        let permit = tokio::time::timeout_at(latest, Arc::clone(&self.turns).acquire_owned())
            .await
            .map_err(|_| CallError::Busy)?
            .map_err(|error| CallError::Host(error.to_string()))?;
        if Instant::now() < latest {
            Ok(permit)
        } else {
            Err(CallError::Busy)
        }
    }

    /// The guest's whole work on one request, its instance taken and, where that is sound, given back.
    async fn serve(
        self: Arc<Self>,
        request: Request<Bytes>,
        sender: oneshot::Sender<Answer>,
        deadline: Instant,
        _permit: OwnedSemaphorePermit,
    ) -> Result<(), CallError> {
        let mut instance = self.take().await?;
        let store = &mut instance.store;
        store.set_epoch_deadline(TICKS);
        store.data_mut().session.set_deadline(deadline.into_std());
        let fault = |error: wasmtime::Error| CallError::Guest(one_line(&error));
        let body = request.map(|body| {
            Full::new(body).map_err(|never| -> wasmtime_wasi_http::Error { match never {} })
        });
        let request = store
            .data_mut()
            .http()
            .new_incoming_request(Scheme::Http, body)
            .map_err(fault)?;
        let out = store
            .data_mut()
            .http()
            .new_response_outparam(sender)
            .map_err(fault)?;
        instance
            .serving
            .wasi_http_incoming_handler()
            .call_handle(&mut *store, request, out)
            .await
            .map_err(fault)?;
        instance.served += 1;
        self.give_back(instance);
        Ok(())
    }

    async fn take(&self) -> Result<Instance, CallError> {
        let idle = self.idle().pop();
        if let Some(instance) = idle {
            return Ok(instance);
        }
        let mut store = self.runtime.store(self.pool.session(), self.limits.memory);
        let serving = self
            .runtime
            .pre
            .instantiate_async(&mut store)
            .await
            .map_err(|error| CallError::Host(one_line(&error)))?;
        self.counters.instantiated();
        Ok(Instance {
            store,
            serving,
            served: 0,
        })
    }

    /// Uncontended in service, where every core has a set of its own; a panic elsewhere leaves the list whole.
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an instance for the next request, unless it has served its share or still holds something of this one: dropping
    /// it then drops that too.
    fn give_back(&self, mut instance: Instance) {
        let state = instance.store.data_mut();
        let clean = state.session.reset() && state.table.is_empty();
        if clean && instance.served < self.limits.reuse {
            self.idle().push(instance);
        }
    }
}

/// A guest at work, with its deadline.
struct Run {
    work: Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>,
    /// Armed only once the guest has to wait: most requests over memory never do.
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
    deadline: Instant,
}

impl Run {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        // Asked before the guest is: where many guests run long, each turn costs the others a tick or two.
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(CallError::Deadline));
        }
        if let Poll::Ready(result) = self.work.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        if self.timer.is_some() {
            return Poll::Pending;
        }
        let timer = self
            .timer
            .insert(Box::pin(tokio::time::sleep_until(self.deadline)));
        timer.as_mut().poll(cx).map(|()| Err(CallError::Deadline))
    }
}

/// A request whose answer has not begun.
struct Call {
    run: Option<Run>,
    receiver: oneshot::Receiver<Answer>,
}

impl Call {
    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<HyperOutgoingBody>, CallError>> {
        let finished = match &mut self.run {
            Some(run) => match run.poll(cx) {
                Poll::Ready(result) => {
                    self.run = None;
                    Some(result)
                }
                Poll::Pending => None,
            },
            None => Some(Ok(())),
        };
        match (self.receiver.try_recv(), finished) {
            (Ok(Ok(response)), None | Some(Ok(()))) => Poll::Ready(Ok(response)),
            (Ok(Err(code)), _) => Poll::Ready(Err(CallError::Guest(format!(
                "it answered with the error {code:?}"
            )))),
            (_, Some(Err(error))) => Poll::Ready(Err(error)),
            (Err(_), Some(Ok(()))) => Poll::Ready(Err(CallError::Guest(
                "it returned without an answer".into(),
            ))),
            // Setting the answer happens inside `run`, whose waker is registered: there is nothing else to wait for.
            (Err(_), None) => Poll::Pending,
        }
    }
}

/// A response body of the guest's, which keeps the guest going while it is read.
pub struct GuestBody {
    inner: HyperOutgoingBody,
    run: Option<Run>,
}

impl fmt::Debug for GuestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestBody")
            .field("running", &self.run.is_some())
            .finish_non_exhaustive()
    }
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Some(run) = &mut this.run
            && let Poll::Ready(result) = run.poll(cx)
        {
            this.run = None;
            if let Err(error) = result {
                tracing::error!("a response was cut short: {error}");
                return Poll::Ready(Some(Err(error.into())));
            }
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            // The guest closes its body before it returns; what it still does after that must not be cut off.
            Poll::Ready(None) if this.run.is_some() => Poll::Pending,
            frame => frame.map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.run.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
