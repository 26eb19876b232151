//! Limits the processor time of guests, measured while they run and not while they wait.
//!
//! A thread of the engine's advances a coarse clock and interrupts the running guests with each
//! tick ([`clock`]). The tick charges a guest for its time and, unless it has only begun to run,
//! yields its core. A guest that has used more than [`FREE`] is *busy*: while other requests run,
//! all busy guests of a core together get one tick in each [`PERIOD`], which delays one request in
//! sixty by as much. On a core without other requests, busy guests run without pauses.
//!
//! Each KiB that a client reads of a streamed response credits its guest with [`CREDIT_PER_KIB`],
//! so that a list of any length can be produced while its client reads.
//!
//! If a request waits and a core has no permit left, the busy guest that has used most is ended
//! ([`evict`]).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::RuntimeFlavor;
use wasmtime::{EngineWeak, UpdateDeadline};

use super::time_slice;
use super::turns::{Ticket, Turns};

/// The clock's tick while no guest has run for a tick. A tick interrupts the running guests.
const TICK: Duration = Duration::from_millis(5);

/// The clock's tick for a second after a guest has used up a turn, and the slice of a busy guest.
const FAST_TICK: Duration = Duration::from_micros(250);

/// The processor time after which a guest computes for long, so that it yields with each tick. One
/// that does not yields if it has run for a whole tick, so that a tick in the course of a short run
/// makes no request wait for the turns of others.
const LONG: Duration = Duration::from_millis(1);

/// A guest that has run for less than this since it was resumed goes on in any case.
const SHORTEST_TURN: Duration = Duration::from_micros(50);

/// The processor time after which a guest is busy: ten times that of the service's most expensive
/// usual request.
const FREE: Duration = Duration::from_millis(50);

/// The period in which all busy guests of a core together get one slice beside other requests.
const PERIOD: Duration = FAST_TICK.saturating_mul(64);

/// How long a guest is busy before it may be evicted; it may end by itself until then.
const GRACE: Duration = Duration::from_secs(1);

/// Busy guests need not pause on a core where no other guest has run for so long.
const ALONE: Duration = Duration::from_millis(100);

/// The credit in microseconds for each KiB read: several times what the service's lists take. A
/// guest whose credit is to cover its whole time needs a client that reads 20 MB/s.
const CREDIT_PER_KIB: u64 = 50;

/// The bytes read of a streamed response after which the limit on processor time starts anew.
const PROGRESS: u64 = 64 << 10;

/// Ticks a guest may run before it lets its core serve others for the first time.
pub(crate) const TICKS: u64 = 2;

/// The coarse clock, in microseconds since the first engine was started, and until when it ticks at
/// the shorter interval.
static NOW: AtomicU64 = AtomicU64::new(0);
static FAST_UNTIL: AtomicU64 = AtomicU64::new(0);

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Advances the clock and interrupts the guests of an engine, until the engine is dropped.
pub(crate) fn clock(engine: &EngineWeak) {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let began = *BEGAN.get_or_init(Instant::now);
    // On a busy machine one tick in a hundred came 5 ms late.
    time_slice::shorten();
    while let Some(engine) = engine.upgrade() {
        let now = micros(began.elapsed());
        // Several engines share the clock.
        NOW.fetch_max(now, Relaxed);
        engine.increment_epoch();
        drop(engine);
        std::thread::sleep(if now < FAST_UNTIL.load(Relaxed) {
            FAST_TICK
        } else {
            TICK
        });
    }
}

/// The guests of one core.
#[derive(Debug, Default)]
struct Core {
    /// When the running guest was resumed, and until when its time has been charged.
    resumed: Cell<Option<Instant>>,
    charged: Cell<Option<Instant>>,
    /// Whether the running guest is busy.
    is_busy: Cell<bool>,
    /// When a guest that is not busy last ran.
    others_ran: Cell<u64>,
    /// When the next free slice begins.
    next_slice: Cell<u64>,
    busy: RefCell<Vec<Weak<Busy>>>,
    turns: Turns,
}

impl Core {
    /// The time of the running guest since it was last charged, and since it was resumed.
    fn charge(&self) -> (Duration, Duration) {
        let now = Instant::now();
        let since = |then: Option<Instant>| {
            then.map_or(Duration::ZERO, |then| now.saturating_duration_since(then))
        };
        (
            since(self.charged.replace(Some(now))),
            since(self.resumed.get()),
        )
    }
}

thread_local! {
    static CORE: Core = const {
        Core {
            resumed: Cell::new(None),
            charged: Cell::new(None),
            is_busy: Cell::new(false),
            others_ran: Cell::new(0),
            next_slice: Cell::new(0),
            busy: RefCell::new(Vec::new()),
            turns: Turns::new(),
        }
    };
}

/// Polls a guest and notes when it ran.
pub(crate) fn resume<F: Future + ?Sized>(
    guest: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    CORE.with(|core| {
        let now = Some(Instant::now());
        core.resumed.set(now);
        core.charged.set(now);
    });
    let poll = guest.poll(cx);
    CORE.with(|core| {
        if !core.is_busy.replace(false) {
            core.others_ran.set(NOW.load(Relaxed));
        }
        core.turns.next();
    });
    poll
}

/// The processor time of one request.
#[derive(Debug, Default)]
pub(crate) struct Processor {
    /// The time used less the credit for bytes read, in microseconds.
    used: u64,
    /// The time used since [`PROGRESS`] bytes were last read, in microseconds.
    since_progress: u64,
    /// `None` outside a request, where a tick only yields.
    limit: Option<u64>,
    busy: Option<Arc<Busy>>,
    /// The bytes read of a streamed response, and how many of them have been credited.
    bytes_read: Option<Arc<AtomicU64>>,
    credited: u64,
}

/// A guest that has used more than [`FREE`].
#[derive(Debug, Default)]
struct Busy {
    /// When it became busy.
    since: u64,
    used: AtomicU64,
    is_evicted: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// Why a guest is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It has used all the processor time of a request.
    OutOfTime(Duration),
    /// Other requests wait for its permit, and it has used most.
    Evicted(Duration),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfTime(used) => write!(
                f,
                "the request used {used:?} of processor time, all that one has (--cpu-time), \
                 and its instance was ended"
            ),
            Self::Evicted(used) => write!(
                f,
                "the request used {used:?} of processor time, \
                 and its instance was ended to make room for others"
            ),
        }
    }
}

impl std::error::Error for Ended {}

impl Processor {
    /// Begins a request with this limit.
    pub(crate) fn begin(&mut self, limit: Duration) {
        *self = Self {
            limit: Some(micros(limit)),
            ..Self::default()
        };
    }

    /// The counter of the bytes read of the request's streamed response.
    pub(crate) fn bytes_read(&mut self) -> Arc<AtomicU64> {
        Arc::clone(self.bytes_read.get_or_insert_default())
    }

    /// Credits the bytes read since the last call, if they are enough.
    fn credit_reads(&mut self) {
        let Some(bytes_read) = &self.bytes_read else {
            return;
        };
        let fresh = bytes_read.load(Relaxed).saturating_sub(self.credited);
        if fresh < PROGRESS {
            return;
        }
        self.credited += fresh;
        self.since_progress = 0;
        let credit = (fresh >> 10).saturating_mul(CREDIT_PER_KIB);
        self.used = self.used.saturating_sub(credit);
        if self.used < micros(FREE) {
            self.busy = None;
        }
    }

    /// Charges the running guest when the clock ticks, and decides whether it yields, pauses or
    /// ends.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let Some(limit) = self.limit else {
            return Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            ));
        };
        let (ran, turn) = CORE.with(Core::charge);
        let ran = micros(ran);
        self.used += ran;
        self.since_progress += ran;
        self.credit_reads();
        let used = Duration::from_micros(self.used);
        if self.since_progress >= limit {
            let used = Duration::from_micros(self.since_progress);
            return Err(Ended::OutOfTime(used).into());
        }
        let shortest = if used < LONG {
            FAST_TICK
        } else {
            SHORTEST_TURN
        };
        if turn < shortest {
            return Ok(UpdateDeadline::Continue(1));
        }
        let fast_until = NOW.load(Relaxed) + micros(Duration::from_secs(1));
        FAST_UNTIL.fetch_max(fast_until, Relaxed);
        if used < FREE {
            // The tasks of the tests' runtimes may go on on another thread.
            let runtime = tokio::runtime::Handle::try_current();
            let is_one_core = runtime
                .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::CurrentThread);
            let turn: Pin<Box<dyn Future<Output = ()> + Send>> = if is_one_core {
                Box::pin(Turn::default())
            } else {
                Box::pin(tokio::task::yield_now())
            };
            return Ok(UpdateDeadline::YieldCustom(1, turn));
        }
        let busy = self.busy.get_or_insert_with(register);
        busy.used.store(self.used, Relaxed);
        if busy.is_evicted.load(Relaxed) {
            return Err(Ended::Evicted(used).into());
        }
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(SlicePause::new(Arc::clone(busy))),
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

/// Evicts the guest of this core that has used most, of those busy for [`GRACE`], unless an
/// eviction is under way.
pub(crate) fn evict() {
    let most = CORE.with(|core| {
        let all = core.busy.borrow();
        let running: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
        // One at a time: the permit of an evicted guest is about to become available.
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

/// The turn of a guest on its core.
#[derive(Debug, Default)]
struct Turn(Option<Ticket>);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        CORE.with(|core| core.turns.poll(&mut self.0, cx))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(ticket) = self.0.take() {
            CORE.with(|core| core.turns.leave(ticket));
        }
    }
}

/// Ready when a busy guest may run its next slice.
struct SlicePause {
    busy: Arc<Busy>,
    stage: Stage,
}

enum Stage {
    /// Other tasks may run first.
    Yielding(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// Others ran within [`ALONE`], so the guest waits for its slice, or until they stop.
    Waiting {
        slice: u64,
        window: Pin<Box<tokio::time::Sleep>>,
    },
}

impl SlicePause {
    fn new(busy: Arc<Busy>) -> Self {
        Self {
            busy,
            stage: Stage::Yielding(Box::pin(tokio::task::yield_now())),
        }
    }
}

/// Reserves the next free slice.
fn slice(core: &Core, now: u64) -> u64 {
    // Guests that end before their slice leave it reserved. So the next slice is at most as far off
    // as one period for each busy guest.
    let furthest = now + micros(PERIOD) * core.busy.borrow().len() as u64;
    let slice = core.next_slice.get().clamp(now, furthest);
    core.next_slice.set(slice + micros(PERIOD));
    slice
}

impl Future for SlicePause {
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
                        // `evict` wakes it.
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
                let wait = Duration::from_micros(slice - now).clamp(FAST_TICK, ALONE);
                this.stage = Stage::Waiting {
                    slice,
                    window: Box::pin(tokio::time::sleep(wait)),
                };
            }
        })
    }
}
