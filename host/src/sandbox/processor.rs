//! Processor time of guests: it is measured while they run, not while they wait, and who has used much of it gets few turns.
//!
//! A thread of the engine's moves a coarse clock on and interrupts guests with each tick ([`clock`]). A guest that has run since it was
//! last resumed is charged for it and lets its core serve others. Beyond [`FREE`] it is *busy*: beside other requests all busy guests of
//! a core together get one [`SLICE`] in each [`PERIOD`], so that they delay one request in sixty by a millisecond. Where nobody else
//! asks for anything, they run as if they were alone.
//!
//! What a reader takes of a streamed answer pays for it: a list of any length is made for whoever reads
//! it, however much processor time that takes in all.
//!
//! A core that has no permit left for a request that waits ends the busy guest that has used most ([`evict`]).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use wasmtime::{EngineWeak, UpdateDeadline};

/// How often running guests are interrupted to let others run, as long as none has run for so long.
const TICK: Duration = Duration::from_millis(5);

/// The same while there are guests that have.
const SLICE: Duration = Duration::from_millis(1);

/// The processor time after which a guest is busy. Ten times what the dearest of the service's usual requests takes.
const FREE: Duration = Duration::from_millis(50);

/// In each of these, all busy guests of a core together get one slice beside other requests.
const PERIOD: Duration = Duration::from_millis(64);

/// A guest that has been busy for so long may have to make room for others. Before that it may just be about to end.
const GRACE: Duration = Duration::from_secs(1);

/// A core on which nobody else has run for so long is the busy guests' alone.
const ALONE: Duration = Duration::from_millis(100);

/// What each KiB that a reader takes of a streamed answer pays for, in microseconds: several times what
/// the service's lists take. Paying for less than a tick of it needs 20 MB/s that somebody really reads.
const PAID_PER_KIB: u64 = 50;

/// Of a streamed answer, the limit on processor time counts from when so many bytes were last taken.
const PROGRESS: u64 = 64 << 10;

/// Ticks a guest may run before it lets its core serve others for the first time.
pub(crate) const TICKS: u64 = 2;

/// The coarse clock, in microseconds since the first engine was started; and until when it ticks fast.
static NOW: AtomicU64 = AtomicU64::new(0);
static FAST_UNTIL: AtomicU64 = AtomicU64::new(0);

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Moves the clock on and interrupts what runs on an engine, until the engine is gone.
pub(crate) fn clock(engine: &EngineWeak) {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let began = *BEGAN.get_or_init(Instant::now);
    while let Some(engine) = engine.upgrade() {
        let now = micros(began.elapsed());
        // The clocks of several engines are the same.
        NOW.fetch_max(now, Relaxed);
        engine.increment_epoch();
        drop(engine);
        std::thread::sleep(if now < FAST_UNTIL.load(Relaxed) {
            SLICE
        } else {
            TICK
        });
    }
}

/// What one core knows of those that run on it.
#[derive(Debug, Default)]
struct Core {
    /// When what runs now was resumed.
    resumed: Cell<u64>,
    /// Whether what was just resumed is busy.
    is_busy: Cell<bool>,
    /// When a guest last ran that is not.
    others_ran: Cell<u64>,
    /// From when on the next slice is free.
    next_slice: Cell<u64>,
    busy: RefCell<Vec<Weak<Busy>>>,
}

thread_local! {
    static CORE: Core = const {
        Core {
            resumed: Cell::new(0),
            is_busy: Cell::new(false),
            others_ran: Cell::new(0),
            next_slice: Cell::new(0),
            busy: RefCell::new(Vec::new()),
        }
    };
}

/// Resumes a guest, and measures how long it runs.
pub(crate) fn resume<F: Future + ?Sized>(
    guest: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    CORE.with(|core| core.resumed.set(NOW.load(Relaxed)));
    let poll = guest.poll(cx);
    CORE.with(|core| {
        if !core.is_busy.replace(false) {
            core.others_ran.set(core.resumed.get());
        }
    });
    poll
}

/// The processor time of one request.
#[derive(Debug, Default)]
pub(crate) struct Processor {
    /// What it has used and nobody paid for, in microseconds.
    used: u64,
    /// What it has used since its reader last took [`PROGRESS`] bytes, in microseconds.
    since_progress: u64,
    /// None for what is no request: it only lets others run.
    limit: Option<u64>,
    busy: Option<Arc<Busy>>,
    /// Of a streamed answer, the bytes that its reader has taken, and how many of these have paid.
    taken: Option<Arc<AtomicU64>>,
    paid: u64,
}

/// A guest that has used its free time.
#[derive(Debug, Default)]
struct Busy {
    /// Since when it is.
    since: u64,
    used: AtomicU64,
    is_evicted: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// Why a guest may run no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It has used all the time a request has.
    OutOfTime(Duration),
    /// Others wait for its place, and it has used most.
    Evicted(Duration),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfTime(used) => write!(
                f,
                "the request used {used:?} of processor time, all that one has (--cpu-time), and its instance was ended"
            ),
            Self::Evicted(used) => write!(
                f,
                "the request used {used:?} of processor time, and its instance was ended to make room for others"
            ),
        }
    }
}

impl std::error::Error for Ended {}

impl Processor {
    /// Begins a request, which has so much time.
    pub(crate) fn begin(&mut self, limit: Duration) {
        *self = Self {
            limit: Some(micros(limit)),
            ..Self::default()
        };
    }

    /// Where the bytes are counted that a reader takes of the request's streamed answer.
    pub(crate) fn taken(&mut self) -> Arc<AtomicU64> {
        Arc::clone(self.taken.get_or_insert_default())
    }

    /// Takes what was read meanwhile into account.
    fn pay(&mut self) {
        let Some(taken) = &self.taken else {
            return;
        };
        let fresh = taken.load(Relaxed).saturating_sub(self.paid);
        if fresh < PROGRESS {
            return;
        }
        self.paid += fresh;
        self.since_progress = 0;
        let pays = (fresh >> 10).saturating_mul(PAID_PER_KIB);
        self.used = self.used.saturating_sub(pays);
        if self.used < micros(FREE) {
            self.busy = None;
        }
    }

    /// What happens to a guest that runs when the clock ticks.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let Some(limit) = self.limit else {
            return Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            ));
        };
        let now = NOW.load(Relaxed);
        let ran = CORE.with(|core| now.saturating_sub(core.resumed.replace(now)));
        if ran == 0 {
            // The tick came while it waited.
            return Ok(UpdateDeadline::Continue(1));
        }
        self.used += ran;
        self.since_progress += ran;
        self.pay();
        let used = Duration::from_micros(self.used);
        if self.since_progress >= limit {
            let used = Duration::from_micros(self.since_progress);
            return Err(Ended::OutOfTime(used).into());
        }
        FAST_UNTIL.fetch_max(now + micros(Duration::from_secs(1)), Relaxed);
        if used < FREE {
            // It waits as a task does that yields: behind whatever its core has heard of meanwhile. One that only asked to be polled
            // again would keep it from listening, for as many ticks as tasks are polled between two looks at the outside.
            return Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            ));
        }
        let busy = self.busy.get_or_insert_with(register);
        busy.used.store(self.used, Relaxed);
        if busy.is_evicted.load(Relaxed) {
            return Err(Ended::Evicted(used).into());
        }
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(Rest::new(Arc::clone(busy))),
        ))
    }
}

fn register() -> Arc<Busy> {
    let busy = Arc::new(Busy {
        since: NOW.load(Relaxed),
        ..Busy::default()
    });
    CORE.with(|core| {
        let mut all = core.busy.borrow_mut();
        all.retain(|busy| busy.strong_count() > 0);
        all.push(Arc::downgrade(&busy));
    });
    busy
}

/// Ends the busy guest of this core that has used most, if there is one that has been busy for [`GRACE`] and none is about to end.
pub(crate) fn evict() {
    let most = CORE.with(|core| {
        let all = core.busy.borrow();
        let running: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
        // One at a time: the place of one that was told to end is about to come free.
        if running.iter().any(|busy| busy.is_evicted.load(Relaxed)) {
            return None;
        }
        let now = NOW.load(Relaxed);
        let may_go = |busy: &Arc<Busy>| now.saturating_sub(busy.since) >= micros(GRACE);
        let used = |busy: &Arc<Busy>| busy.used.load(Relaxed);
        running.into_iter().filter(may_go).max_by_key(used)
    });
    if let Some(busy) = most {
        busy.is_evicted.store(true, Relaxed);
        let waker = busy
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The time between two slices of a busy guest.
struct Rest {
    busy: Arc<Busy>,
    stage: Stage,
}

enum Stage {
    /// Others may run first, if there are any.
    Yielding(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// Others ran of late, so that it waits until its slice, or until they are gone.
    Waiting {
        slice: u64,
        window: Pin<Box<tokio::time::Sleep>>,
    },
}

impl Rest {
    fn new(busy: Arc<Busy>) -> Self {
        Self {
            busy,
            stage: Stage::Yielding(Box::pin(tokio::task::yield_now())),
        }
    }
}

/// Takes the next slice that is free.
fn slice(core: &Core, now: u64) -> u64 {
    // Guests that ended before their slice leave it unused: so it is never further away than all of a core's would be.
    let furthest = now + micros(PERIOD) * core.busy.borrow().len() as u64;
    let slice = core.next_slice.get().clamp(now, furthest);
    core.next_slice.set(slice + micros(PERIOD));
    slice
}

impl Future for Rest {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        CORE.with(|core| {
            core.is_busy.set(true);
            loop {
                if this.busy.is_evicted.load(Relaxed) {
                    return Poll::Ready(());
                }
                match &mut this.stage {
                    Stage::Yielding(others) => {
                        std::task::ready!(others.as_mut().poll(cx));
                    }
                    Stage::Waiting { window, .. } => {
                        // Kept for who evicts it.
                        *this
                            .busy
                            .waker
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
                        std::task::ready!(window.as_mut().poll(cx));
                    }
                }
                let now = NOW.load(Relaxed);
                if now.saturating_sub(core.others_ran.get()) >= micros(ALONE) {
                    return Poll::Ready(());
                }
                let slice = match this.stage {
                    Stage::Yielding(_) => slice(core, now),
                    Stage::Waiting { slice, .. } if slice <= now => return Poll::Ready(()),
                    Stage::Waiting { slice, .. } => slice,
                };
                let wait = Duration::from_micros(slice - now).clamp(SLICE, ALONE);
                this.stage = Stage::Waiting {
                    slice,
                    window: Box::pin(tokio::time::sleep(wait)),
                };
            }
        })
    }
}
