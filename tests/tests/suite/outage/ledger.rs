//! The writes of all clients and their outcomes, compared with the database afterwards.
//!
//! Every acknowledged write must be there exactly once, no refused write may be there, and a write
//! in doubt may be either. A user's version is incremented by every change, so it shows a change
//! that was applied twice.

use std::collections::BTreeMap;
use std::fmt;

use usher_tests::http::Response;

/// The outcome of a write, as its response reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// 200 or 204: done.
    Done,
    /// 503: not done.
    Refused,
    /// 503 whose `detail` says that the outcome is unknown.
    InDoubt,
    /// 504, which says nothing about the outcome (RFC 9110, 15.6.5).
    Late,
}

impl Outcome {
    /// The outcome in a response to a write, or what is wrong with the response.
    pub(super) fn of(answer: &Response) -> Result<Self, String> {
        let wrong = || format!("{} {}", answer.status, answer.text());
        if matches!(answer.status, 200 | 204) {
            return Ok(Self::Done);
        }
        let json: serde_json::Value = serde_json::from_slice(&answer.body).map_err(|_| wrong())?;
        let detail = json["detail"].as_str().ok_or_else(wrong)?;
        let outcome = match answer.status {
            503 if detail.contains("unknown") => Self::InDoubt,
            503 => Self::Refused,
            504 => Self::Late,
            _ => return Err(wrong()),
        };
        if answer.status == 503 && answer.header("retry-after").as_deref() != Some("1") {
            return Err(format!("without Retry-After: {}", wrong()));
        }
        Ok(outcome)
    }
}

/// A user as the database may hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) name: String,
    /// 1, plus one for every applied change.
    pub(super) version: i64,
}

/// All states that the outcomes allow; `None` is no such user.
pub(super) type Possible = Vec<Option<State>>;

/// The ledger of all clients.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    users: BTreeMap<String, Possible>,
    outcomes: BTreeMap<Outcome, u64>,
    reads: u64,
    wrong: Vec<String>,
}

impl Ledger {
    /// Records a write to the user with this address that leads to `after`, and returns its
    /// outcome.
    pub(super) fn wrote(
        &mut self,
        email: &str,
        after: Option<State>,
        answer: &Response,
    ) -> Option<Outcome> {
        let outcome = match Outcome::of(answer) {
            Ok(outcome) => outcome,
            Err(wrong) => {
                self.wrong.push(format!("{email}: {wrong}"));
                return None;
            }
        };
        *self.outcomes.entry(outcome).or_default() += 1;
        let possible = self
            .users
            .entry(email.to_owned())
            .or_insert_with(|| vec![None]);
        match outcome {
            Outcome::Done => *possible = vec![after],
            Outcome::Refused => {}
            Outcome::InDoubt | Outcome::Late => possible.push(after),
        }
        Some(outcome)
    }

    /// Records a read of a user that exists with this name.
    pub(super) fn read(&mut self, email: &str, name: &str, answer: &Response) {
        self.reads += 1;
        let right = match answer.status {
            200 => answer.json()["name"] == name && answer.json()["email"] == email,
            503 | 504 => true,
            _ => false,
        };
        if !right {
            self.wrong.push(format!(
                "{email} is {name} and was read as {} {}",
                answer.status,
                answer.text()
            ));
        }
    }

    /// Records an error.
    pub(super) fn went_wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// How many writes had this outcome.
    pub(super) fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }

    /// How many writes were not acknowledged.
    pub(super) fn count_undone(&self) -> u64 {
        self.outcomes.values().sum::<u64>() - self.count(Outcome::Done)
    }

    /// Compares the ledger with the database, by address. Returns all differences, and all
    /// responses that no outage excuses.
    pub(super) fn faults(&self, mut there: BTreeMap<String, State>) -> Vec<String> {
        let mut faults = self.wrong.clone();
        for (email, possible) in &self.users {
            let found = there.remove(email);
            if !possible.contains(&found) {
                faults.push(format!("{email} is {found:?}, and may be {possible:?}"));
            }
        }
        faults.extend(there.keys().map(|email| format!("no client wrote {email}")));
        faults
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} users, writes: {} done, {} refused, {} in doubt, {} late, reads: {}",
            self.users.len(),
            self.count(Outcome::Done),
            self.count(Outcome::Refused),
            self.count(Outcome::InDoubt),
            self.count(Outcome::Late),
            self.reads
        )
    }
}

mod tests {
    use super::{Ledger, Outcome, State};
    use std::collections::BTreeMap;
    use usher_tests::http::Response;

    fn answer(status: u16, detail: &str) -> Response {
        Response {
            status,
            headers: vec![("retry-after".into(), "1".into())],
            body: format!(r#"{{"detail":"{detail}"}}"#).into_bytes(),
        }
    }

    fn state(version: i64) -> State {
        State {
            name: "x".into(),
            version,
        }
    }

    /// Whether a ledger with these responses to a creation and a change accepts that version.
    fn accepts(created: &Response, changed: &Response, version: Option<i64>) -> bool {
        let mut ledger = Ledger::default();
        ledger.wrote("a", Some(state(1)), created);
        ledger.wrote("a", Some(state(2)), changed);
        let there = version.map(|version| ("a".to_owned(), state(version)));
        ledger.faults(there.into_iter().collect()).is_empty()
    }

    #[test]
    fn ledger_reports_lost_and_repeated_writes() {
        let (done, refused) = (answer(200, ""), answer(503, "Service Unavailable"));
        let (doubt, late) = (answer(503, "it is unknown"), answer(504, "late"));
        let versions = [None, Some(1), Some(2), Some(3)];
        for (created, changed, accepted) in [
            (&done, &done, [false, false, true, false]),
            (&done, &refused, [false, true, false, false]),
            (&done, &doubt, [false, true, true, false]),
            (&done, &late, [false, true, true, false]),
            (&refused, &refused, [true, false, false, false]),
            (&done, &answer(500, "oops"), [false; 4]),
            (&done, &answer(409, "taken"), [false; 4]),
        ] {
            let accepts = versions.map(|version| accepts(created, changed, version));
            assert_eq!(accepts, accepted, "{} {}", changed.status, changed.text());
        }
        let stranger = BTreeMap::from([("b".to_owned(), state(1))]);
        assert_eq!(Ledger::default().faults(stranger).len(), 1);
        assert_eq!(Outcome::of(&doubt), Ok(Outcome::InDoubt));
        let hurried = Response {
            headers: Vec::new(),
            ..refused
        };
        Outcome::of(&hurried).expect_err("a client needs to know when to come back");
    }
}
