//! What the gates of one core share: the back end's connections and the cached policy decisions.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use foldhash::fast::RandomState;
use tokio::sync::Semaphore;

use super::backend::BackendPool;
use super::budget::Budget;
use super::config::Config;
use super::declared::{Declared, Unfit};
use super::failure;
use super::metrics::Metrics;
use super::policy::Policy;
use super::statement::{Caller, Effect, Statement};
use super::types::{Error, Isolation, SqlDialect};
use crate::telemetry::{LogNames, RequestInfo};

/// What the gates of one core share.
#[derive(Debug)]
pub(super) struct PoolInner {
    pub(super) config: Arc<Config>,
    policy: &'static Policy,
    pub(super) connections: Arc<dyn BackendPool>,
    pub(super) metrics: Arc<Metrics>,
    /// The checked statements of requests: a service runs the same few all the time.
    requests: Mutex<Cache>,
    /// The checked statements of migrations, which may run more.
    migrations: Mutex<Cache>,
    /// Set if only declared statements may run. The caches hold all of them from the start.
    declared: Option<Arc<Declared>>,
}

impl Drop for PoolInner {
    fn drop(&mut self) {
        if let Some(declared) = &self.declared {
            declared.keep_durations(|caller, text| {
                self.cached(text, caller)
                    .map(|statement| statement.micros.load(Relaxed))
            });
        }
    }
}

/// Checked statements by their text.
type Cache = HashMap<Box<str>, Arc<Statement>, RandomState>;

/// A full cache is cleared: a guest that generates texts slows only itself.
const CACHE_CAPACITY: usize = 1024;

/// Long statements are checked one at a time, which bounds the processor time of checks.
static LONG_CHECKS: Semaphore = Semaphore::const_new(1);

impl PoolInner {
    pub(super) fn new(
        config: Arc<Config>,
        policy: &'static Policy,
        connections: Arc<dyn BackendPool>,
        metrics: Arc<Metrics>,
        declared: Option<Arc<Declared>>,
    ) -> Self {
        let cache = |caller| {
            let declared = declared.iter().flat_map(|all| all.statements(caller));
            let cache: Cache = declared
                .filter(|(_, effect)| !writes_read_only(*effect, &config))
                .map(|(statement, _)| (statement.text.clone(), statement))
                .collect();
            Mutex::new(cache)
        };
        Self {
            requests: cache(Caller::Request),
            migrations: cache(Caller::Migrations),
            config,
            policy,
            connections,
            metrics,
            declared,
        }
    }

    /// The database's SQL dialect.
    pub(super) fn dialect(&self) -> SqlDialect {
        self.policy.dialect
    }

    /// Whether only declared statements run, whose texts are constants of the component.
    pub(super) fn runs_declared_only(&self) -> bool {
        self.declared.is_some()
    }

    fn cache(&self, caller: Caller) -> MutexGuard<'_, Cache> {
        let cache = match caller {
            Caller::Request => &self.requests,
            Caller::Migrations => &self.migrations,
        };
        cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The statement with this text, if it is cached.
    pub(super) fn cached(&self, text: &str, caller: Caller) -> Option<Arc<Statement>> {
        self.cache(caller).get(text).cloned()
    }

    /// Prepares the declared statements of requests on one connection, without running them.
    /// Returns the first that the database refuses.
    ///
    /// # Errors
    /// If the database cannot be asked.
    pub(super) async fn find_unfit(&self) -> Result<Option<Unfit>, Error> {
        let declared = self
            .declared
            .iter()
            .flat_map(|declared| declared.of_requests());
        let statements: Vec<_> = declared
            .filter_map(|(name, text)| Some((name, self.cached(text, Caller::Request)?)))
            .collect();
        let now = Instant::now();
        let deadline = now + self.config.statement_timeout;
        let budget = Budget::new(now, deadline, self.config.max_rows_bytes);
        let connections = &self.connections;
        let mut transaction = connections
            .begin(Isolation::ReadCommitted, true, &budget)
            .await?;
        let mut unfit = None;
        for (name, statement) in statements {
            match transaction.prepare(&statement, &budget).await {
                Ok(()) => {}
                Err(error @ (Error::Refused(_) | Error::Invalid(_) | Error::Denied(_))) => {
                    let (name, why) = (name.to_owned(), failure::message(error));
                    unfit = Some(Unfit { name, why });
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        transaction.rollback(&budget).await?;
        Ok(unfit)
    }

    /// Checks a text that is not cached, and caches the statement.
    ///
    /// A long text is checked on a separate thread, within the call's deadline. The request is the
    /// one that the statement is for, if it is for one.
    pub(super) async fn check(
        &self,
        text: String,
        caller: Caller,
        deadline: Instant,
        request: Option<&RequestInfo>,
    ) -> Result<Arc<Statement>, Error> {
        if let Some(declared) = &self.declared {
            return Err(declared.rejection(&text, caller));
        }
        let limit = self.config.max_statement_bytes;
        if text.len() > limit {
            return Err(failure::invalid(format!(
                "the statement has {} bytes, over the limit of {limit}",
                text.len()
            )));
        }
        let (text, effect) = if text.len() <= self.policy.short {
            let effect = self.policy.check(&text, caller, &self.config.allowed)?;
            (text, effect)
        } else {
            let checked = check_on_thread(self.policy, &self.config, text, caller, request);
            let checked = tokio::time::timeout_at(deadline.into(), checked).await;
            checked.map_err(|_| Error::Timeout)??
        };
        if writes_read_only(effect, &self.config) {
            return Err(failure::denied("this database is open for reading only"));
        }
        let statement = Statement::new(text, effect);
        let mut cache = self.cache(caller);
        if cache.len() >= CACHE_CAPACITY {
            cache.clear();
        }
        cache.insert(statement.text.clone(), Arc::clone(&statement));
        Ok(statement)
    }
}

/// Checks a long text on a separate thread, and returns it with its effect. Where the result is not
/// awaited any more, the thread keeps its permit until it is done.
async fn check_on_thread(
    policy: &'static Policy,
    config: &Arc<Config>,
    text: String,
    caller: Caller,
    request: Option<&RequestInfo>,
) -> Result<(String, Effect), Error> {
    let config = Arc::clone(config);
    let permit = LONG_CHECKS.acquire().await;
    let checked = tokio::task::spawn_blocking(move || {
        let effect = policy.check(&text, caller, &config.allowed);
        drop(permit);
        effect.map(|effect| (text, effect))
    });
    checked.await.unwrap_or_else(|error| {
        // The check panicked, a fault of the host. Only the log has the details.
        let LogNames {
            id,
            trace,
            method,
            route,
        } = RequestInfo::log_names(request);
        tracing::error!(
            id,
            trace,
            method,
            route,
            "checking a statement failed: {error}"
        );
        Err(failure::denied("the host cannot check this statement"))
    })
}

/// Whether a statement writes although the database is open for reading only.
fn writes_read_only(effect: Effect, config: &Config) -> bool {
    config.read_only && matches!(effect, Effect::Changes | Effect::Writes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::database::url::Url;

    #[tokio::test]
    async fn abandoned_check_of_a_long_statement_keeps_its_permit_until_it_ends() {
        static ENDS: Mutex<()> = Mutex::new(());
        static SLOW: Policy = Policy::new(SqlDialect::Sqlite, 0, |_, _, _| {
            drop(ENDS.lock());
            Ok(Effect::Reads)
        });
        let config = Arc::new(Config::new(Url::memory()));
        let held = ENDS.lock();
        let check = check_on_thread(&SLOW, &config, String::new(), Caller::Request, None);
        assert!(check.now_or_never().is_none(), "it waits for the thread");
        assert_eq!(LONG_CHECKS.available_permits(), 0);
        drop(held);
        let next = tokio::time::timeout(Duration::from_mins(1), LONG_CHECKS.acquire());
        assert!(next.await.is_ok(), "the thread has ended");
    }
}
