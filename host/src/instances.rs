//! Instances of the component on one core: handed a request each, reused while they are sound, replaced when they are not.
//!
//! An instance serves one request at a time, so that a trap, a memory limit or an endless loop hits the request that caused it
//! and no other. A request is driven by the task of its own connection: no queue and no wake-up lies between the two, and
//! dropping the response, as happens when a client leaves, drops the instance with everything it holds, its transaction
//! included.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime::{Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::clocks::{WasiClocksCtx, WasiClocksCtxView};
use wasmtime_wasi::random::WasiRandomCtx;

use crate::bindings::Serving;
use crate::bindings::whole::Whole;
use crate::database::{Pool, Session, View};
use crate::exchange;
use crate::exchange::body::Pipe;
use crate::exchange::request::IncomingRequest;
use crate::exchange::response::{Answer, ResponseOutparam, Slot, Source};
use crate::exchange::whole;
use crate::runtime::{Runtime, one_line};
use crate::telemetry::Counters;

/// What the host keeps for one instance.
pub struct State {
    pub(crate) table: ResourceTable,
    pub(crate) limits: StoreLimits,
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
            clocks: WasiClocksCtx::default(),
            random: None,
            session,
        }
    }

    pub(crate) fn exchange(&mut self) -> exchange::View<'_> {
        exchange::View {
            table: &mut self.table,
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

/// How instances are used.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests an instance serves before it is replaced; 1 gives every request a fresh one.
    pub reuse: u32,
    /// Linear memory of an instance, in bytes.
    pub memory: usize,
    /// Requests in flight on one core. Further ones wait for their turn, for half of their deadline at most.
    pub in_flight: usize,
    /// From the request's arrival to its answer; and of an answer that is streamed, from each time the connection takes something of
    /// it to the next.
    pub deadline: Duration,
    /// Whether a component that takes requests whole gets them so, or through `wasi:http/incoming-handler` as in other hosts.
    pub whole: bool,
}

/// The instances of one core.
#[derive(Debug)]
pub struct Instances {
    runtime: Arc<Runtime>,
    pool: Pool,
    limits: Limits,
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Instance>>,
    /// Guests that are still at work after an answer that was whole.
    lingering: Mutex<JoinSet<Result<(), CallError>>>,
    /// The header fields the component looks at, where it takes requests whole.
    wanted: OnceLock<Vec<whole::Wanted>>,
    counters: Arc<Counters>,
}

/// One sound instance between two requests.
struct Instance {
    store: Store<State>,
    component: wasmtime::component::Instance,
    whole: Option<Whole>,
    /// Loaded when it is first needed.
    serving: Option<Serving>,
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
            lingering: Mutex::default(),
            wanted: OnceLock::new(),
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
        let slot = Slot::default();
        let (set, answer) = (Arc::clone(self), slot.clone());
        let work = Box::pin(async move { set.serve(request, answer, deadline, permit).await });
        let mut run = Run {
            work,
            timer: None,
            deadline,
            read: None,
        };
        let (answer, returned) = std::future::poll_fn(|cx| run.poll_answer(&slot, cx)).await?;
        let answer = answer
            .map_err(|code| CallError::Guest(format!("it answered with the error {code:?}")))?;
        let body = match answer.source {
            // What the guest still does after an answer without a body is nobody's concern, and is not cut off.
            Source::Whole(bytes) => {
                if !returned {
                    self.linger(run);
                }
                GuestBody::Whole(Some(bytes))
            }
            Source::Pipe(pipe) => match returned.then(|| pipe.whole()).flatten() {
                Some(whole) => GuestBody::Whole(Some(whole)),
                None => {
                    run.read = Some((pipe.clone(), self.limits.deadline));
                    GuestBody::Streaming {
                        pipe,
                        guest: (!returned).then(|| Guest(tokio::spawn(run))),
                    }
                }
            },
        };
        let mut response = Response::new(body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }

    fn linger(&self, run: Run) {
        let mut lingering = self.lingering();
        while lingering.try_join_next().is_some() {}
        lingering.spawn(run);
    }

    fn lingering(&self) -> std::sync::MutexGuard<'_, JoinSet<Result<(), CallError>>> {
        self.lingering
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no guest is at work.
    pub(crate) async fn at_rest(&self) {
        let all = u32::try_from(self.limits.in_flight).unwrap_or(u32::MAX);
        drop(self.turns.acquire_many(all).await);
    }

    /// Ends those that nobody reads from any more.
    pub(crate) async fn end(&self) {
        self.lingering().abort_all();
        self.at_rest().await;
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
        slot: Slot,
        deadline: Instant,
        _permit: OwnedSemaphorePermit,
    ) -> Result<(), CallError> {
        let mut instance = self.take().await?;
        let store = &mut instance.store;
        store.set_epoch_deadline(TICKS);
        store.data_mut().session.set_deadline(deadline.into_std());
        let fault = |error: wasmtime::Error| CallError::Guest(one_line(&error));
        if let (Some(handler), Some(wanted)) = (&instance.whole, self.wanted.get()) {
            let response = whole::handle(handler, store, &request, wanted).await;
            if let Some(response) = response.map_err(fault)? {
                instance.served += 1;
                self.give_back(instance);
                slot.put(Ok(response));
                return Ok(());
            }
        }
        Box::pin(self.stream(instance, request, slot)).await
    }

    /// The same for a component that wants resources and streams.
    async fn stream(
        &self,
        mut instance: Instance,
        request: Request<Bytes>,
        slot: Slot,
    ) -> Result<(), CallError> {
        let store = &mut instance.store;
        let fault = |error: wasmtime::Error| CallError::Guest(one_line(&error));
        let serving = match instance.serving.take() {
            Some(serving) => serving,
            None => self
                .runtime
                .serving
                .load(&mut *store, &instance.component)
                .map_err(fault)?,
        };
        let table = &mut store.data_mut().table;
        let request = table
            .push(IncomingRequest::new(request))
            .map_err(|error| fault(error.into()))?;
        let out = table
            .push(ResponseOutparam(slot))
            .map_err(|error| fault(error.into()))?;
        serving
            .wasi_http_incoming_handler()
            .call_handle(&mut *store, request, out)
            .await
            .map_err(fault)?;
        instance.serving = Some(serving);
        instance.served += 1;
        self.give_back(instance);
        Ok(())
    }

    async fn take(&self) -> Result<Instance, CallError> {
        let idle = self.idle().pop();
        if let Some(instance) = idle {
            return Ok(instance);
        }
        Box::pin(self.make()).await
    }

    async fn make(&self) -> Result<Instance, CallError> {
        let mut store = self.runtime.store(self.pool.session(), self.limits.memory);
        let failed = |error: wasmtime::Error| CallError::Host(one_line(&error));
        let instance = self
            .runtime
            .pre
            .instantiate_async(&mut store)
            .await
            .map_err(failed)?;
        let whole = match &self.runtime.whole {
            Some(indices) if self.limits.whole => {
                Some(indices.load(&mut store, &instance).map_err(failed)?)
            }
            _ => None,
        };
        if let Some(whole) = &whole
            && self.wanted.get().is_none()
        {
            let wanted = whole::wanted(whole, &mut store).await.map_err(failed)?;
            // Instances that are made at the same time come to the same result.
            self.wanted.get_or_init(|| wanted);
        }
        self.counters.instantiated();
        Ok(Instance {
            store,
            component: instance,
            whole,
            serving: None,
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
    /// The answer that is streamed, and how long the guest may go on after something was taken of it.
    read: Option<(Pipe, Duration)>,
}

impl Run {
    /// The answer as soon as there is one, and whether the guest has returned by then.
    fn poll_answer(
        &mut self,
        slot: &Slot,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Answer, bool), CallError>> {
        let returned = Pin::new(&mut *self).poll(cx)?.is_ready();
        match slot.take() {
            Some(answer) => Poll::Ready(Ok((answer, returned))),
            None if returned => Poll::Ready(Err(CallError::Guest(
                "it returned without an answer".into(),
            ))),
            None => Poll::Pending,
        }
    }
}

impl Future for Run {
    type Output = Result<(), CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Asked before the guest is: where many guests run long, each turn costs the others a tick or two.
        while let Some(timer) = &mut this.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            let Some(later) = this.read.as_ref().and_then(later) else {
                return Poll::Ready(Err(CallError::Deadline));
            };
            timer.as_mut().reset(later);
        }
        if let Poll::Ready(result) = this.work.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        if this.timer.is_some() {
            return Poll::Pending;
        }
        let timer = this
            .timer
            .insert(Box::pin(tokio::time::sleep_until(this.deadline)));
        timer.as_mut().poll(cx).map(|()| Err(CallError::Deadline))
    }
}

/// The deadline of a guest whose answer is being read, where that is yet to come. A list of any length is given in any time, as long as
/// somebody reads it; and who stops reading holds an instance and a connection no longer than who asks for something slow.
fn later((pipe, after): &(Pipe, Duration)) -> Option<Instant> {
    let later = pipe.taken()? + *after;
    (later > Instant::now()).then_some(later)
}

/// A guest that is still at work after its answer has begun, on a task of its own: a client that does not read must not keep it
/// from being ended at its deadline.
#[derive(Debug)]
pub struct Guest(JoinHandle<Result<(), CallError>>);

impl Drop for Guest {
    /// A client that leaves takes the guest with it. One that has returned is beyond that.
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A response body of the guest's.
#[derive(Debug)]
pub enum GuestBody {
    /// Written when the guest returned, as nearly all are.
    Whole(Option<Bytes>),
    /// Written while it is read.
    Streaming {
        /// Where it comes from.
        pipe: Pipe,
        /// Who writes it, unless the guest had returned before anything was read.
        guest: Option<Guest>,
    },
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let (pipe, guest) = match &mut *self {
            Self::Whole(bytes) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                return Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Streaming { pipe, guest } => (pipe, guest),
        };
        match std::task::ready!(pipe.poll_frame(cx)) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            // The guest closes its body before it returns. What it still does after that must not be cut off, and where it
            // fails after all, nobody may take the response for a whole one.
            end => {
                if let Some(Err(incomplete)) = &end {
                    tracing::error!("a response was cut short: {incomplete}");
                }
                if let Some(running) = guest {
                    let outcome = std::task::ready!(Pin::new(&mut running.0).poll(cx));
                    *guest = None;
                    let failed = match outcome {
                        Ok(Ok(())) => None,
                        Ok(Err(error)) => Some(error.into()),
                        Err(error) => Some(error.into()),
                    };
                    if let Some(error) = failed {
                        let error: Self::Error = error;
                        tracing::error!("a response was cut short: {error}");
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Poll::Ready(end.map(|incomplete| incomplete.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.as_ref().is_none_or(Bytes::is_empty))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Streaming { .. } => SizeHint::default(),
        }
    }
}
