//! The time and the random numbers that a test chooses, for components that import them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::clocks::HostWallClock;
use wasmtime_wasi::random::Deterministic;

/// How many random bytes an instance gets before they repeat.
const RANDOM_BYTES: usize = 64 << 10;

/// A clock that stands until it is moved. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Mutex<Duration>>);

impl Clock {
    /// A clock that stands at this time. One before 1970 is the beginning of 1970.
    #[must_use]
    pub fn at(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        Self(Arc::new(Mutex::new(since.unwrap_or_default())))
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        let mut time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *time = time.saturating_add(by);
    }
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What takes the place of the machine's clock and of its random numbers: by default nothing does.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    clock: Option<Clock>,
    random: Option<Random>,
}

#[derive(Clone, Debug)]
struct Random {
    seed: u64,
    /// How many instances have begun, of which each has numbers of its own.
    instances: Arc<AtomicU64>,
}

impl Overrides {
    /// Chooses `wasi:clocks/wall-clock`. The monotonic clock goes on, since calls wait by it.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Chooses all of `wasi:random`: the same seed gives the same numbers to the first instance,
    /// others to the second one, and so on.
    #[must_use]
    pub fn random_seed(mut self, seed: u64) -> Self {
        self.random = Some(Random {
            seed,
            instances: Arc::default(),
        });
        self
    }

    /// The context of a new instance, if anything is overridden.
    pub(crate) fn context(&self) -> Option<Box<WasiCtx>> {
        if self.clock.is_none() && self.random.is_none() {
            return None;
        }
        let mut context = WasiCtx::builder();
        if let Some(clock) = &self.clock {
            context.wall_clock(clock.clone());
        }
        if let Some(random) = &self.random {
            let instance = random.instances.fetch_add(1, Relaxed);
            let mut numbers = split_mix(random.seed ^ instance.rotate_left(32));
            let bytes: Vec<u8> = (&mut numbers)
                .flat_map(u64::to_le_bytes)
                .take(RANDOM_BYTES)
                .collect();
            let seed = numbers.next().unwrap_or_default();
            context.insecure_random(Deterministic::new(bytes.clone()));
            context.secure_random(Deterministic::new(bytes));
            context.insecure_random_seed(seed.into());
        }
        Some(Box::new(context.build()))
    }
}

/// The numbers of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014).
fn split_mix(mut state: u64) -> impl Iterator<Item = u64> {
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_split_mix() {
        // The first numbers of the reference implementation for this seed.
        let numbers: Vec<u64> = split_mix(1_234_567).take(3).collect();
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }
}
