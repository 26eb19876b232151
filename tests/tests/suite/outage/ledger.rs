//! Who wrote what and was told what, held against what is there afterwards.
//!
//! Every write that was acknowledged must be there exactly once, every one that was refused must not, and one in doubt may be
//! either. A user's version goes up by one with every change, so a change that was applied twice shows in it.

use std::collections::BTreeMap;
use std::fmt;

use usher_tests::http::Response;

/// What a client was told about a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    /// 200 or 204: it was done.
    Done,
    /// 503: it was not done.
    Refused,
    /// 503 whose `detail` says that it is unknown whether it was done.
    InDoubt,
    /// 504, which says nothing of the outcome (RFC 9110, 15.6.5).
    Late,
}

impl Told {
    /// Reads an answer to a write, or gives what is wrong with it.
    pub(super) fn of(answer: &Response) -> Result<Self, String> {
        let wrong = || format!("{} {}", answer.status, answer.text());
        if matches!(answer.status, 200 | 204) {
            return Ok(Self::Done);
        }
        let json: serde_json::Value = serde_json::from_slice(&answer.body).map_err(|_| wrong())?;
        let detail = json["detail"].as_str().ok_or_else(wrong)?;
        let told = match answer.status {
            503 if detail.contains("unknown") => Self::InDoubt,
            503 => Self::Refused,
            504 => Self::Late,
            _ => return Err(wrong()),
        };
        if answer.status == 503 && answer.header("retry-after").as_deref() != Some("1") {
            return Err(format!("without Retry-After: {}", wrong()));
        }
        Ok(told)
    }
}

/// A user as the database may hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) name: String,
    /// 1, and one more for every change that was applied.
    pub(super) version: i64,
}

/// All states that what was told leaves possible, `None` being that there is no such user.
pub(super) type Possible = Vec<Option<State>>;

/// What all clients together know.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    users: BTreeMap<String, Possible>,
    told: BTreeMap<Told, u64>,
    reads: u64,
    wrong: Vec<String>,
}

impl Ledger {
    /// Notes a write to the user with this address that leads to `after`, and gives what the client was told.
    pub(super) fn wrote(
        &mut self,
        email: &str,
        after: Option<State>,
        answer: &Response,
    ) -> Option<Told> {
        let told = match Told::of(answer) {
            Ok(told) => told,
            Err(wrong) => {
                self.wrong.push(format!("{email}: {wrong}"));
                return None;
            }
        };
        *self.told.entry(told).or_default() += 1;
        let possible = self
            .users
            .entry(email.to_owned())
            .or_insert_with(|| vec![None]);
        match told {
            Told::Done => *possible = vec![after],
            Told::Refused => {}
            Told::InDoubt | Told::Late => possible.push(after),
        }
        Some(told)
    }

    /// Notes what was read of a user that exists with this name.
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

    /// Notes what must not be.
    pub(super) fn went_wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// How many writes got this answer.
    pub(super) fn count(&self, told: Told) -> u64 {
        self.told.get(&told).copied().unwrap_or_default()
    }

    /// How many writes were not acknowledged.
    pub(super) fn count_undone(&self) -> u64 {
        self.told.values().sum::<u64>() - self.count(Told::Done)
    }

    /// Holds what was told against what is there, by address, and gives all that is wrong: where the two differ, and answers that
    /// no outage excuses.
    pub(super) fn faults(&self, mut there: BTreeMap<String, State>) -> Vec<String> {
        let mut faults = self.wrong.clone();
        for (email, possible) in &self.users {
            let found = there.remove(email);
            if !possible.contains(&found) {
                faults.push(format!("{email} is {found:?}, and may be {possible:?}"));
            }
        }
        faults.extend(there.keys().map(|email| format!("nobody wrote {email}")));
        faults
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} users, writes: {} done, {} refused, {} in doubt, {} late, reads: {}",
            self.users.len(),
            self.count(Told::Done),
            self.count(Told::Refused),
            self.count(Told::InDoubt),
            self.count(Told::Late),
            self.reads
        )
    }
}

mod tests {
    use super::{Ledger, State, Told};
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

    /// Whether a ledger that was told this of a user's creation, and then of a change, accepts that version afterwards.
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
        assert_eq!(Told::of(&doubt), Ok(Told::InDoubt));
        let hurried = Response {
            headers: Vec::new(),
            ..refused
        };
        Told::of(&hurried).expect_err("a client is told when to come back");
    }
}
