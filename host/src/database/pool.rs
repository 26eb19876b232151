//! What the gates of one core share: the back end's connections, and the statements that were checked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use foldhash::fast::RandomState;
use tokio::sync::Semaphore;

use super::backend::BackendPool;
use super::config::Config;
use super::declared::Declared;
use super::failure;
use super::metrics::Metrics;
use super::policy::Policy;
use super::statement::{Caller, Effect, Statement};
use super::types::{Error, SqlDialect};

/// What the gates of one core share.
#[derive(Debug)]
pub(super) struct PoolInner {
    pub(super) config: Arc<Config>,
    policy: &'static Policy,
    pub(super) connections: Box<dyn BackendPool>,
    pub(super) metrics: Arc<Metrics>,
    /// Statements of requests already checked, by their text: a service runs the same few all the time.
    checked: Mutex<Checked>,
    /// Those of migrations, which may run more.
    checked_for_migrations: Mutex<Checked>,
    /// What the component declares, where it may run nothing else. All of it that may run is in `checked` from the beginning.
    declared: Option<Arc<Declared>>,
}

/// Statements by their text.
type Checked = HashMap<Box<str>, Arc<Statement>, RandomState>;

/// Checked statements that are remembered. A guest that makes up texts without end starts over, and costs only itself.
const REMEMBERED: usize = 1024;

/// Who may check a long statement: one at a time, so that what checks take of the machine is bounded, however many statements
/// guests make up.
static LONG_CHECKS: Semaphore = Semaphore::const_new(1);

impl PoolInner {
    pub(super) fn new(
        config: Arc<Config>,
        policy: &'static Policy,
        connections: Box<dyn BackendPool>,
        metrics: Arc<Metrics>,
        declared: Option<Arc<Declared>>,
    ) -> Self {
        let known = |caller| {
            let declared = declared.iter().flat_map(|all| all.statements(caller));
            let checked: Checked = declared
                .filter(|(_, effect)| !is_refused(*effect, &config))
                .map(|(text, effect)| (text.into(), Statement::new(text.to_owned(), effect)))
                .collect();
            Mutex::new(checked)
        };
        Self {
            checked: known(Caller::Request),
            checked_for_migrations: known(Caller::Migrations),
            config,
            policy,
            connections,
            metrics,
            declared,
        }
    }

    /// The SQL that the database speaks.
    pub(super) fn dialect(&self) -> SqlDialect {
        self.policy.dialect
    }

    fn checked(&self, caller: Caller) -> MutexGuard<'_, Checked> {
        let checked = match caller {
            Caller::Request => &self.checked,
            Caller::Migrations => &self.checked_for_migrations,
        };
        checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The statement with this text, if it is known already.
    pub(super) fn known(&self, text: &str, caller: Caller) -> Option<Arc<Statement>> {
        self.checked(caller).get(text).cloned()
    }

    /// The statement with this text, which is not known yet.
    ///
    /// Checking one takes longer the longer it is. What takes long is done by another thread, and the time it has is the call's.
    pub(super) async fn learned(
        &self,
        text: String,
        caller: Caller,
        deadline: Instant,
    ) -> Result<Arc<Statement>, Error> {
        if let Some(declared) = &self.declared {
            return Err(declared.refusal(&text, caller));
        }
        let limit = self.config.max_statement_bytes;
        if text.len() > limit {
            return Err(failure::invalid(format!(
                "the statement has {} bytes, over the limit of {limit}",
                text.len()
            )));
        }
        let policy = self.policy;
        let (text, effect) = if text.len() <= policy.short {
            let effect = policy.check(&text, caller, &self.config.allowed)?;
            (text, effect)
        } else {
            let config = Arc::clone(&self.config);
            let work = async {
                let permit = LONG_CHECKS.acquire().await;
                let checked = tokio::task::spawn_blocking(move || {
                    let effect = policy.check(&text, caller, &config.allowed);
                    effect.map(|effect| (text, effect))
                });
                let checked = checked.await;
                drop(permit);
                checked
            };
            match tokio::time::timeout_at(deadline.into(), work).await {
                Ok(Ok(checked)) => checked?,
                // A panic, which is a fault of the host's, and not for the guest to know about.
                Ok(Err(error)) => {
                    tracing::error!("checking a statement failed: {error}");
                    return Err(failure::denied("the host cannot check this statement"));
                }
                Err(_) => return Err(Error::Timeout),
            }
        };
        if is_refused(effect, &self.config) {
            return Err(failure::denied("this database is open for reading only"));
        }
        let statement = Statement::new(text, effect);
        let mut checked = self.checked(caller);
        if checked.len() >= REMEMBERED {
            checked.clear();
        }
        checked.insert(statement.text.clone(), Arc::clone(&statement));
        Ok(statement)
    }
}

/// Whether a statement changes something in a database that is open for reading only.
fn is_refused(effect: Effect, config: &Config) -> bool {
    config.read_only && matches!(effect, Effect::Changes | Effect::Writes)
}
