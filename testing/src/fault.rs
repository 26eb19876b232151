//! The ways in which a call on a database fails, and where one is injected.

use std::fmt;

use usher::database::{Error, failure};

use crate::scripted::Event;

/// One way in which a call fails.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What the component sees.
    pub seen: Seen,
    /// Whether the call takes effect although it fails.
    pub takes_effect: bool,
    /// Whether the same call fails each time that it is made, and not only once.
    pub repeats: bool,
}

/// What the component sees of a fault.
#[derive(Clone, Debug)]
pub enum Seen {
    /// This error.
    Error(Error),
    /// Nothing: the call does not return before the deadline of the request.
    Nothing,
}

impl Fault {
    /// The call returns this error, and has no effect.
    pub fn error(error: Error) -> Self {
        Self {
            seen: Seen::Error(error),
            takes_effect: false,
            repeats: false,
        }
    }

    /// The call does not return before the deadline of the request, and has no effect.
    pub fn stuck() -> Self {
        Self {
            seen: Seen::Nothing,
            takes_effect: false,
            repeats: false,
        }
    }

    /// The database refuses with this SQLSTATE, and names this constraint.
    pub fn refused(code: &str, constraint: Option<&str>) -> Self {
        let constraint = constraint.map(str::to_owned);
        Self::error(failure::refused(
            code,
            "injected by a test",
            constraint,
            None,
        ))
    }

    /// The same fault after the call has taken effect.
    #[must_use]
    pub fn after_effect(self) -> Self {
        Self {
            takes_effect: true,
            ..self
        }
    }

    /// The same fault each time that the call is made.
    #[must_use]
    pub fn each_time(self) -> Self {
        Self {
            repeats: true,
            ..self
        }
    }

    /// The error that the component sees, if it sees one.
    pub fn as_error(&self) -> Option<&Error> {
        match &self.seen {
            Seen::Error(error) => Some(error),
            Seen::Nothing => None,
        }
    }

    /// Every way in which the interface lets a call fail. `writes` is whether its statement may
    /// write, `in_transaction` whether it is in a transaction.
    ///
    /// The kinds of refusal are represented by SQLSTATEs. A read violates no constraint. Only a
    /// write outside a transaction and a COMMIT can be in doubt.
    pub fn all(event: &Event, writes: bool, in_transaction: bool) -> Vec<Self> {
        let plain = |error| Self::error(error);
        let unavailable = || plain(failure::unavailable("injected by a test"));
        let refused = |code| Self::refused(code, None);
        let conflict = || refused("40001");
        let mut faults = vec![unavailable(), plain(Error::Timeout), Self::stuck()];
        match event {
            Event::Statement { .. } => {
                faults.extend([
                    unavailable().each_time(),
                    plain(failure::denied("injected by a test")),
                    plain(failure::invalid("injected by a test")),
                    plain(failure::too_large(1)),
                    conflict(),
                    conflict().each_time(),
                ]);
                faults.extend(OTHER.map(refused));
                if !in_transaction {
                    faults.extend([
                        plain(Error::Overloaded),
                        plain(Error::Overloaded).each_time(),
                    ]);
                }
                if writes {
                    faults.extend(VIOLATIONS.map(|code| Self::refused(code, Some("injected"))));
                    faults.extend(VIOLATIONS.map(refused));
                }
                if writes && !in_transaction {
                    faults.extend([
                        plain(Error::InDoubt),
                        plain(Error::InDoubt).after_effect(),
                        Self::stuck().after_effect(),
                    ]);
                }
            }
            Event::Begin { .. } => {
                faults.extend([
                    plain(Error::Overloaded),
                    plain(failure::denied("injected by a test")),
                    conflict(),
                    conflict().each_time(),
                ]);
                faults.extend(OTHER.map(refused));
            }
            Event::Commit => {
                faults.extend([
                    plain(Error::InDoubt),
                    plain(Error::InDoubt).after_effect(),
                    Self::stuck().after_effect(),
                    conflict(),
                    conflict().each_time(),
                ]);
                faults.extend(OTHER.map(refused));
                // Constraints that are deferred.
                faults.extend(VIOLATIONS.map(|code| Self::refused(code, Some("injected"))));
            }
            Event::Fetch => {
                faults.push(plain(failure::too_large(1)));
                faults.extend(OTHER.map(refused));
            }
            Event::Rollback | Event::Dropped | Event::Lost => {}
        }
        faults
    }
}

/// Violations: unique, foreign key, not null, check.
const VIOLATIONS: [&str; 4] = ["23505", "23503", "23502", "23514"];

/// Other refusals: a deadlock, the server is shut down, its disk is full, it became read-only, a
/// privilege or a table is missing, it is corrupt.
const OTHER: [&str; 7] = [
    "40P01", "57P01", "53100", "25006", "42501", "42P01", "XX001",
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.seen {
            Seen::Nothing => f.write_str("no result before the deadline")?,
            Seen::Error(Error::Refused(refusal)) => {
                write!(f, "refused with {}", refusal.code)?;
                if let Some(constraint) = &refusal.constraint {
                    write!(f, " by {constraint}")?;
                }
            }
            Seen::Error(error) => f.write_str(match error {
                Error::Unavailable(_) => "unavailable",
                Error::Overloaded => "overloaded",
                Error::Timeout => "timeout",
                Error::InDoubt => "in doubt",
                Error::Denied(_) => "denied",
                Error::Invalid(_) => "invalid",
                Error::TooLarge(_) => "too large",
                Error::Refused(_) => "refused",
            })?,
        }
        f.write_str(match (self.takes_effect, self.repeats) {
            (false, false) => "",
            (true, false) => ", after its effect",
            (false, true) => ", each time",
            (true, true) => ", each time after its effect",
        })
    }
}

/// A fault that waits for its call.
#[derive(Debug)]
pub(crate) struct Armed {
    /// How many calls succeed before.
    skip: usize,
    fault: Fault,
    /// The call that it was used for.
    used_for: Option<String>,
}

impl Armed {
    pub(crate) fn new(skip: usize, fault: Fault) -> Self {
        Self {
            skip,
            fault,
            used_for: None,
        }
    }

    /// The fault, if it is for this call.
    pub(crate) fn next(&mut self, event: &Event) -> Option<Fault> {
        match &self.used_for {
            Some(text) => {
                (self.fault.repeats && *text == event.to_string()).then(|| self.fault.clone())
            }
            None if self.skip > 0 => {
                self.skip -= 1;
                None
            }
            None => {
                self.used_for = Some(event.to_string());
                Some(self.fault.clone())
            }
        }
    }

    pub(crate) fn was_used(&self) -> bool {
        self.used_for.is_some()
    }
}
