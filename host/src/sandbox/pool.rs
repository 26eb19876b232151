//! Instances of the component on one core: handed a request each, reused while they are sound, replaced when they are not.
//!
//! An instance serves one request at a time, so that a trap, a memory limit or an endless loop hits the request that caused it
//! and no other. A request is driven by the task of its own connection: no queue and no wake-up lies between the two, and
//! dropping the response, as happens when a client leaves, drops the instance with everything it holds, its transaction
//! included.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wasmtime::Store;

use super::admission::{Turn, Turns};
use super::bindings::Serving;
use super::body::GuestBody;
use super::call::{Deadline, Guest, Run};
use super::component::Runtime;
use super::config::Config;
use super::error::{CallError, one_line};
use super::state::{State, StoreLimits};
use super::{processor, report};
use crate::database::Pool;
use crate::memory::{self, HostCharge, HostMemory};
use crate::telemetry::Counters;
use crate::telemetry::log::{excerpt, excerpt_debug};
use crate::wasi_http::bindings::whole::Whole;
use crate::wasi_http::request::IncomingRequest;
use crate::wasi_http::response::{ResponseOutparam, Slot, Source};
use crate::wasi_http::{buffered, head};

/// How instances are used.
#[derive(Clone, Debug)]
pub struct Limits {
    config: Config,
    /// What the host may hold for all requests; clones share it.
    pub(crate) host_memory: HostMemory,
    /// Requests in flight on one core. Further ones wait for their turn, for half of their deadline at most.
    in_flight: usize,
    /// Whether a component that takes requests whole gets them so, or through `wasi:http/incoming-handler` as in other hosts.
    pub whole: bool,
}

impl Limits {
    /// What one instance may take of the host.
    pub fn store(&self) -> StoreLimits {
        StoreLimits {
            memory: self.config.instance_memory,
            request_memory: self.config.request_memory,
            host_memory: self.host_memory.clone(),
        }
    }
}

impl Config {
    /// These limits, with so many requests in flight on one core.
    pub fn limits(&self, in_flight: usize) -> Limits {
        Limits {
            config: self.clone(),
            host_memory: HostMemory::new(self.host_memory),
            in_flight,
            whole: true,
        }
    }
}

/// The instances of one core.
#[derive(Debug)]
pub struct Instances {
    runtime: Arc<Runtime>,
    pool: Pool,
    limits: Limits,
    turns: Arc<Turns>,
    #[expect(clippy::vec_box, reason = "each is moved some ten times for a request")]
    idle: Mutex<Vec<Box<Instance>>>,
    /// Guests that are still at work after an answer that was whole.
    lingering: Mutex<JoinSet<Result<(), CallError>>>,
    /// The header fields the component looks at, where it takes requests whole.
    wanted: OnceLock<Vec<buffered::Wanted>>,
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

/// A body, and what it is counted as.
struct Held(
    Bytes,
    #[expect(dead_code, reason = "dropped with the body")] HostCharge,
);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What came of handing a request over whole.
enum Taken {
    Answered(Response<Bytes>),
    /// The guest has done nothing, and wants it through `wasi:http/incoming-handler`.
    Wanting(Box<Instance>),
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn guest(error: wasmtime::Error) -> CallError {
    CallError::Guest(excerpt(one_line(&error)))
}

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
            turns: Turns::new(limits.in_flight),
            limits,
            idle: Mutex::new(Vec::new()),
            lingering: Mutex::default(),
            wanted: OnceLock::new(),
            counters,
        })
    }

    /// Hands the guest one request, or all that it takes of it, and gives its response, whose body may still be produced while it is read.
    ///
    /// # Errors
    /// See [`CallError`]. After an answer has begun, an error of the guest ends the response's body with an error instead.
    pub async fn call(
        self: &Arc<Self>,
        request: &mut Request<Bytes>,
    ) -> Result<Response<GuestBody>, CallError> {
        let arrival = Instant::now();
        let mut deadline = Deadline::new(arrival + self.limits.config.request_timeout);
        let turn = match self.turns.at_once(arrival) {
            Some(turn) => turn,
            None => {
                let latest = arrival + self.limits.config.request_timeout / 2;
                self.turns.wait(latest).await.ok_or(CallError::Busy)?
            }
        };
        // Boxed, so that its place is one that was used a moment ago, rather than the connection's own: where there are many connections,
        // what belongs to one of them is out of the processor's cache.
        let taken = Box::pin(self.whole(request, &mut deadline)).await?;
        match taken {
            Taken::Answered(answer) if answer.body().len() > memory::FREE => self.large(answer),
            Taken::Answered(answer) => Ok(answer.map(|body| GuestBody::Whole(Some(body)))),
            Taken::Wanting(instance) => {
                let request = std::mem::take(request);
                Box::pin(self.stream(instance, request, deadline, turn)).await
            }
        }
    }

    /// An answer that is counted until it is written.
    #[cold]
    fn large(&self, answer: Response<Bytes>) -> Result<Response<GuestBody>, CallError> {
        let (head, body) = answer.into_parts();
        let (bytes, most) = (body.len(), self.limits.config.max_response);
        if bytes > most {
            return Err(CallError::Guest(format!(
                "it answered with {bytes} bytes in one piece, more than {most} (--max-response)"
            )));
        }
        let charge = self.limits.host_memory.hold(bytes);
        let charge = charge.map_err(|over| CallError::Memory(over.to_string()))?;
        let body = Bytes::from_owner(Held(body, charge));
        Ok(Response::from_parts(head, GuestBody::Whole(Some(body))))
    }

    /// Has a request answered in one call, where the component takes it so, and before the deadline.
    async fn whole(
        &self,
        request: &mut Request<Bytes>,
        deadline: &mut Deadline,
    ) -> Result<Taken, CallError> {
        let mut work = pin!(self.try_whole(request, deadline.at()));
        std::future::poll_fn(|cx| deadline.poll(work.as_mut(), cx)).await?
    }

    async fn try_whole(
        &self,
        request: &mut Request<Bytes>,
        deadline: Instant,
    ) -> Result<Taken, CallError> {
        let mut instance = self.take().await?;
        let store = &mut instance.store;
        store.set_epoch_deadline(processor::TICKS);
        store
            .data_mut()
            .processor
            .begin(self.limits.config.cpu_time);
        store.data_mut().gate.set_deadline(deadline.into_std());
        if let (Some(handler), Some(wanted)) = (&instance.whole, self.wanted.get()) {
            let answer = buffered::handle(handler, &mut *store, request, wanted).await;
            let failed = store.data().gate.last_failure();
            if let Some(answer) = answer.map_err(|error| report::failure(error, failed))? {
                report::answered(answer.status(), request.method(), failed);
                instance.served += 1;
                self.give_back(instance);
                return Ok(Taken::Answered(answer));
            }
        }
        Ok(Taken::Wanting(instance))
    }

    /// The same for a component that wants resources and streams.
    async fn stream(
        self: &Arc<Self>,
        mut instance: Box<Instance>,
        request: Request<Bytes>,
        deadline: Deadline,
        turn: Turn,
    ) -> Result<Response<GuestBody>, CallError> {
        let slot = Slot::default();
        let method = request.method().clone();
        let failed = instance.store.data().gate.last_failure().clone();
        let taken = instance.store.data_mut().processor.taken();
        let (set, answer) = (Arc::clone(self), slot.clone());
        let work = async move {
            let done = set.handle(instance, request, answer).await;
            drop(turn);
            done
        };
        let mut run = Run::new(work, deadline);
        let (answer, returned) = std::future::poll_fn(|cx| run.poll_answer(&slot, cx)).await?;
        let answer = answer.map_err(|code| {
            CallError::Guest(format!(
                "it answered with the error {}",
                excerpt_debug(&code)
            ))
        })?;
        report::answered(answer.status, &method, &failed);
        let mut headers = answer.headers;
        let mut agree = |body: Option<usize>| {
            if body.is_some() {
                head::without_trailers(&mut headers);
            }
            head::agree(&method, answer.status, &mut headers, answer.promised, body)
                .map_err(|unsound| CallError::Guest(unsound.to_string()))
        };
        let body = match answer.source {
            // What the guest still does after an answer without a body is nobody's concern, and is not cut off at once.
            Source::Whole(bytes) => {
                agree(Some(bytes.len()))?;
                if !returned {
                    run.ends_after(self.limits.config.after_answer);
                    self.linger(run);
                }
                GuestBody::Whole(Some(bytes))
            }
            Source::Pipe(pipe) => match returned.then(|| pipe.whole()).flatten() {
                Some(whole) => {
                    agree(Some(whole.len()))?;
                    GuestBody::Whole(Some(whole))
                }
                None => {
                    agree(None)?;
                    pipe.count(taken);
                    run.is_read(
                        pipe.clone(),
                        self.limits.config.request_timeout,
                        self.limits.config.after_answer,
                    );
                    GuestBody::Streaming {
                        pipe,
                        guest: (!returned).then(|| Guest::start(run)),
                    }
                }
            },
        };
        let mut response = Response::new(body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// The guest's whole work on a request, its instance given back where that is sound.
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
        serving
            .wasi_http_incoming_handler()
            .call_handle(&mut *store, request, out)
            .await
            .map_err(|error| report::failure(error, store.data().gate.last_failure()))?;
        instance.serving = Some(serving);
        instance.served += 1;
        self.give_back(instance);
        Ok(())
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
        self.turns.at_rest().await;
    }

    /// Ends those that nobody reads from any more.
    pub(crate) async fn end(&self) {
        self.lingering().abort_all();
        self.at_rest().await;
    }

    async fn take(&self) -> Result<Box<Instance>, CallError> {
        let idle = self.idle().pop();
        if let Some(instance) = idle {
            return Ok(instance);
        }
        Box::pin(self.make()).await
    }

    async fn make(&self) -> Result<Box<Instance>, CallError> {
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
        let whole = match &self.runtime.whole {
            Some(indices) if self.limits.whole => {
                Some(indices.load(&mut store, &instance).map_err(failed)?)
            }
            _ => None,
        };
        if let Some(whole) = &whole
            && self.wanted.get().is_none()
        {
            let wanted = buffered::wanted(whole, &mut store).await.map_err(failed)?;
            // Instances that are made at the same time come to the same result.
            self.wanted.get_or_init(|| wanted);
        }
        self.counters.instantiated();
        Ok(Box::new(Instance {
            store,
            component: instance,
            whole,
            serving: None,
            served: 0,
        }))
    }

    /// Uncontended in service, where every core has a set of its own; a panic elsewhere leaves the list whole.
    #[expect(clippy::vec_box, reason = "as it is kept")]
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Box<Instance>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an instance for the next request, unless it has served its share or still holds something of this one: dropping
    /// it then drops that too.
    fn give_back(&self, mut instance: Box<Instance>) {
        let state = instance.store.data_mut();
        let clean = state.gate.reset() && state.table.is_empty() && !state.growth.is_large();
        // What a client has not read yet is none of the next request's.
        if state.memory.used() > 0 {
            state.memory = self
                .limits
                .host_memory
                .request(self.limits.config.request_memory);
            state.gate.set_memory(state.memory.clone());
        }
        if clean && instance.served < self.limits.config.instance_reuse.get() {
            self.idle().push(instance);
        }
    }
}
