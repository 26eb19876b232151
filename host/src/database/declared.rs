//! The declared statements of a component, checked once for all cores.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::config::Allowed;
use super::failure;
use super::manifest::{Manifest, Purpose};
use super::policy::Policy;
use super::statement::{Caller, Effect, Statement};
use super::types::Error;

/// The only statements that may run.
#[derive(Debug)]
pub(super) struct Declared {
    statements: Vec<Checked>,
    /// Whether the component has a list at all.
    has_manifest: bool,
}

/// A declared statement that passed policy.
#[derive(Debug)]
struct Checked {
    name: String,
    caller: Caller,
    text: String,
    effect: Effect,
    /// How long it took in a pool that is closed, in microseconds; zero if it has not run. In a
    /// process with many databases a statement is not measured anew for each.
    micros: AtomicU32,
}

/// The checked statements of one component, so that a process with many databases, such as one that
/// runs tests, checks them once for each dialect.
#[derive(Debug, Default)]
pub struct CheckedStatements(Mutex<Vec<Known>>);

#[derive(Debug)]
struct Known {
    policy: &'static Policy,
    functions: Vec<String>,
    declared: Arc<Declared>,
}

/// A full list is cleared. Nearly every process has one entry.
const KNOWN: usize = 8;

impl CheckedStatements {
    /// The component's statements, checked now or before.
    pub(super) fn check(
        &self,
        manifest: Option<&Manifest>,
        policy: &'static Policy,
        allowed: &Allowed,
    ) -> Result<Arc<Declared>, Unfit> {
        let is_same = |known: &&Known| {
            std::ptr::eq(known.policy, policy) && known.functions == allowed.functions
        };
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().iter().find(is_same) {
            return Ok(Arc::clone(&found.declared));
        }
        let declared = Arc::new(Declared::check(manifest, policy, allowed)?);
        let mut known = known();
        if known.len() == KNOWN {
            known.clear();
        }
        known.push(Known {
            policy,
            functions: allowed.functions.clone(),
            declared: Arc::clone(&declared),
        });
        Ok(declared)
    }
}

/// A declared statement that cannot run.
#[derive(Debug)]
pub struct Unfit {
    /// The statement's name in the component.
    pub name: String,
    /// The rule that it violates, or what the database says of it.
    pub why: String,
}

impl Declared {
    /// Checks the statements of this dialect.
    pub(super) fn check(
        manifest: Option<&Manifest>,
        policy: &Policy,
        allowed: &Allowed,
    ) -> Result<Self, Unfit> {
        let mut statements = Vec::new();
        let all = manifest.iter().flat_map(|manifest| &manifest.statements);
        for declared in all.filter(|declared| declared.is_for(policy.dialect)) {
            let caller = match declared.purpose {
                Purpose::Service => Caller::Request,
                Purpose::Migrations => Caller::Migrations,
            };
            let checked = policy.check(&declared.text, caller, allowed);
            let effect = checked.map_err(|error| Unfit {
                name: declared.name.clone(),
                why: failure::message(error),
            })?;
            statements.push(Checked {
                name: declared.name.clone(),
                caller,
                text: declared.text.clone(),
                effect,
                micros: AtomicU32::new(0),
            });
        }
        Ok(Self {
            statements,
            has_manifest: manifest.is_some(),
        })
    }

    fn of(&self, caller: Caller) -> impl Iterator<Item = &Checked> {
        self.statements
            .iter()
            .filter(move |checked| checked.caller == caller)
    }

    /// The statements that this caller may run, for a new pool.
    pub(super) fn statements(
        &self,
        caller: Caller,
    ) -> impl Iterator<Item = (Arc<Statement>, Effect)> {
        self.of(caller).map(|checked| {
            let statement = Statement::new(checked.text.clone(), checked.effect);
            statement
                .micros
                .store(checked.micros.load(Relaxed), Relaxed);
            (statement, checked.effect)
        })
    }

    /// Keeps how long the statements of a pool took.
    pub(super) fn keep_durations(&self, of: impl Fn(Caller, &str) -> Option<u32>) {
        for checked in &self.statements {
            if let Some(micros) = of(checked.caller, &checked.text).filter(|micros| *micros > 0) {
                checked.micros.store(micros, Relaxed);
            }
        }
    }

    /// The statements of requests, with their names.
    pub(super) fn of_requests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of(Caller::Request)
            .map(|checked| (checked.name.as_str(), checked.text.as_str()))
    }

    /// The error for a statement that is not in the cache, so may not run.
    pub(super) fn rejection(&self, text: &str, caller: Caller) -> Error {
        if self.of(caller).any(|known| known.text == text) {
            return failure::denied("this database is open for reading only");
        }
        if self.statements.iter().any(|known| known.text == text) {
            return failure::denied(match caller {
                Caller::Request => "the component declares this statement for its migrations only",
                Caller::Migrations => "the component declares this statement for requests only",
            });
        }
        failure::denied(if self.has_manifest {
            "the component does not declare this statement, \
             and the host runs declared statements only (--database-statements)"
        } else {
            "the component declares no statements, \
             and the host runs declared statements only (--database-statements)"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::manifest;
    use crate::database::policy::SQLITE;

    #[test]
    fn duration_in_a_closed_pool_is_where_the_next_pool_begins() {
        let text = "SELECT 1";
        let statement = manifest::Declared {
            purpose: Purpose::Service,
            dialect: None,
            name: "ONE".to_owned(),
            text: text.to_owned(),
        };
        let manifest = Manifest {
            statements: vec![statement],
        };
        let declared = Declared::check(Some(&manifest), &SQLITE, &Allowed::default());
        let declared = declared.expect("it may run");
        let micros = || {
            let (statement, _) = declared.statements(Caller::Request).next()?;
            Some(statement.micros.load(Relaxed))
        };
        assert_eq!(micros(), Some(0));
        declared.keep_durations(|_, known| (known == text).then_some(40));
        assert_eq!(micros(), Some(40));
        // A pool in which it did not run.
        declared.keep_durations(|_, known| (known == text).then_some(0));
        assert_eq!(micros(), Some(40));
    }
}
