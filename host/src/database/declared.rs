//! What a component declares, checked once for all cores.

use super::config::Allowed;
use super::failure;
use super::manifest::{Manifest, Purpose};
use super::policy::Policy;
use super::statement::{Caller, Effect};
use super::types::Error;

/// The statements that may run, and no others.
#[derive(Debug)]
pub(super) struct Declared {
    statements: Vec<(Caller, String, Effect)>,
    /// Whether there is a list at all.
    is_listed: bool,
}

/// A declared statement that policy refuses.
#[derive(Debug)]
pub struct Unfit {
    /// What the component calls it.
    pub name: String,
    /// Which rule it is against.
    pub why: String,
}

impl Declared {
    /// Checks what is declared for this dialect.
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
                why: match error {
                    Error::Denied(why) | Error::Invalid(why) => why,
                    Error::Refused(refusal) => refusal.message,
                    other => format!("{other:?}"),
                },
            })?;
            statements.push((caller, declared.text.clone(), effect));
        }
        Ok(Self {
            statements,
            is_listed: manifest.is_some(),
        })
    }

    /// What may run on somebody's behalf.
    pub(super) fn statements(&self, caller: Caller) -> impl Iterator<Item = (&str, Effect)> {
        self.statements
            .iter()
            .filter(move |(declared, ..)| *declared == caller)
            .map(|(_, text, effect)| (text.as_str(), *effect))
    }

    /// Why a statement that is not among those that may run is not.
    pub(super) fn refusal(&self, text: &str, caller: Caller) -> Error {
        if self.statements(caller).any(|(known, _)| known == text) {
            return failure::denied("this database is open for reading only");
        }
        if self.statements.iter().any(|(_, known, _)| known == text) {
            return failure::denied(match caller {
                Caller::Request => "the component declares this statement for its migrations only",
                Caller::Migrations => "the component declares this statement for requests only",
            });
        }
        failure::denied(if self.is_listed {
            "the component does not declare this statement, and the host runs declared statements only \
             (--database-statements)"
        } else {
            "the component declares no statements, and the host runs declared statements only (--database-statements)"
        })
    }
}
