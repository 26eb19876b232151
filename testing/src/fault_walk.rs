//! Fails every database call of a request in every way that the interface can, and checks what
//! follows.
//!
//! ```
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use http::Request;
//! use usher_testing::{TestApp, fault_walk, users};
//!
//! let app = TestApp::builder().seed(users(3)).start().await?;
//! let read = Request::get("/users/1").body("")?;
//! let delete = Request::delete("/users/2").body("")?;
//! let report = fault_walk(&app, [read, delete]).await?;
//! assert!(report.pairs() > 40);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A request is first run without a fault, which finds its calls. Then each call and each fault of
//! [`Fault::all`] make a pair. Every pair begins with the same contents of the database, and:
//!
//! - the response is the one without the fault, or an error; and what the test expects of it;
//! - nothing is half written: the contents are those before the request or those after it;
//! - an error means that nothing was written, unless the outcome was in doubt, or the request's
//!   deadline ended a call that had taken effect; and nothing in doubt is answered as done;
//! - no transaction or cursor is left;
//! - the same request without the fault, next in the same instance, is answered as if the fault had
//!   never been, and has no second effect.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use tokio::task::JoinSet;
use usher::database::backend::Snapshot;
use usher::database::{Error, Value};

use crate::app::TestApp;
use crate::calls::{Call, Outcome};
use crate::error::TestError;
use crate::fault::{Fault, Seen};
use crate::response::TestResponse;
use crate::scripted::Event;

/// The time for a request in which a call gets stuck.
const DEADLINE: Duration = Duration::from_millis(300);

/// How many requests wait for their deadline at once.
const WAITING: usize = 32;

/// How long a transaction may take to be rolled back.
const CLEANUP: Duration = Duration::from_secs(5);

/// Walks through the faults of these requests, prints how many pairs were tried, and fails the test
/// if one of them is not as it should be.
///
/// # Errors
/// If the application is not over a database in memory, or a request cannot be made.
///
/// # Panics
/// With a list of the pairs that are not as they should be.
pub async fn fault_walk<B: Into<Bytes>>(
    app: &TestApp,
    requests: impl IntoIterator<Item = Request<B>>,
) -> Result<Report, TestError> {
    let report = FaultWalk::new(app).run(requests).await?;
    report.print();
    report.assert_passed();
    Ok(report)
}

/// Whether a response is as a test expects it; an error says what is wrong.
type Checked = Result<(), String>;

/// What a test expects of the response to a request with a fault.
type Expectation = Arc<dyn Fn(&Pair<'_>, &TestResponse) -> Checked + Send + Sync>;

/// A walk with expectations or faults of the test's own.
pub struct FaultWalk<'a> {
    app: &'a TestApp,
    more: Vec<Fault>,
    expectation: Option<Expectation>,
}

impl fmt::Debug for FaultWalk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultWalk").finish_non_exhaustive()
    }
}

/// A call of a request, and the fault that was injected into it.
#[derive(Debug)]
pub struct Pair<'a> {
    /// The request without its body.
    pub request: &'a Request<Bytes>,
    /// The call as it was without the fault.
    pub call: &'a Call,
    /// The fault.
    pub fault: &'a Fault,
    /// The status of the response without the fault.
    pub usual: StatusCode,
}

impl<'a> FaultWalk<'a> {
    /// A walk over the contents that this application's database has now. It runs on copies.
    pub fn new(app: &'a TestApp) -> Self {
        Self {
            app,
            more: Vec::new(),
            expectation: None,
        }
    }

    /// Adds a fault for each statement that may write, such as a constraint of the service's own.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.more.push(fault);
        self
    }

    /// Sets what is expected of each complete response to a request with a fault.
    #[must_use]
    pub fn expect(
        mut self,
        expectation: impl Fn(&Pair<'_>, &TestResponse) -> Checked + Send + Sync + 'static,
    ) -> Self {
        self.expectation = Some(Arc::new(expectation));
        self
    }

    /// Walks through the faults of these requests.
    ///
    /// # Errors
    /// If the application is not over a database in memory, or a request cannot be made.
    pub async fn run<B: Into<Bytes>>(
        &self,
        requests: impl IntoIterator<Item = Request<B>>,
    ) -> Result<Report, TestError> {
        let app = Box::pin(self.app.copy().await?.start()).await?;
        let before = app.snapshot().await?;
        let (mut report, mut stuck) = (Report::default(), Vec::new());
        for request in requests {
            let request = request.map(Into::into);
            let case =
                Arc::new(Case::observe(&app, &before, request, self.expectation.clone()).await?);
            let mut pairs = 0;
            for (index, call) in case.calls.iter().enumerate() {
                let mut faults = Fault::all(&call.event, call.writes, call.transaction.is_some());
                if call.writes && matches!(call.event, Event::Statement { .. }) {
                    faults.extend(self.more.iter().cloned());
                }
                pairs += faults.len();
                for fault in faults {
                    if matches!(fault.seen, Seen::Nothing) {
                        stuck.push((Arc::clone(&case), index, fault));
                    } else {
                        report
                            .failures
                            .extend(case.check(&app, index, &fault).await?);
                    }
                }
            }
            report.walked.push(Walked {
                line: case.line(),
                usual: case.first.status(),
                calls: case.calls.len(),
                pairs,
            });
        }
        report.failures.extend(self.run_stuck(stuck).await?);
        Ok(report)
    }

    /// Runs the pairs that end at the deadline, many at once.
    async fn run_stuck(
        &self,
        stuck: Vec<(Arc<Case>, usize, Fault)>,
    ) -> Result<Vec<String>, TestError> {
        type Found = Result<Option<String>, TestError>;

        let builder = self.app.copy().await?.request_timeout(DEADLINE);
        let (mut running, mut failures) = (JoinSet::new(), Vec::new());
        let mut ended = |joined: Result<Found, tokio::task::JoinError>| match joined {
            Ok(checked) => checked.map(|failed| failures.extend(failed)),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        for (case, index, fault) in stuck {
            if running.len() == WAITING
                && let Some(joined) = running.join_next().await
            {
                ended(joined)?;
            }
            let builder = builder.clone();
            running.spawn(async move {
                let app = Box::pin(builder.start()).await?;
                case.check(&app, index, &fault).await
            });
        }
        while let Some(joined) = running.join_next().await {
            ended(joined)?;
        }
        Ok(failures)
    }
}

/// A request, and what it does without faults.
struct Case {
    request: Request<Bytes>,
    expectation: Option<Expectation>,
    before: Snapshot,
    calls: Vec<Call>,
    /// The responses to the request, and to the same request after that.
    first: Ended,
    second: Ended,
    /// The contents before both, between them, and after them.
    contents: [Contents; 3],
}

/// Every table with its rows, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Contents(Vec<String>);

/// A response as far as a fault may not change it; none if it broke off.
struct Ended(Option<TestResponse>);

impl Ended {
    async fn of(app: &TestApp, request: &Request<Bytes>) -> Result<Self, TestError> {
        match app.execute(request.clone()).await {
            Ok(response) => Ok(Self(Some(response))),
            Err(TestError::Response(_)) => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }

    fn status(&self) -> StatusCode {
        let status = self.0.as_ref().map(|response| response.status());
        status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn is_same(&self, other: &Self) -> bool {
        let parts = |ended: &Self| {
            ended.0.as_ref().map(|response| {
                let mut headers: HeaderMap = response.headers().clone();
                headers.remove("x-request-id");
                (response.status(), headers, response.body().clone())
            })
        };
        parts(self) == parts(other)
    }

    fn report(&self) -> String {
        match &self.0 {
            Some(response) => response.report(),
            None => "the response broke off\n".to_owned(),
        }
    }
}

impl Case {
    async fn observe(
        app: &TestApp,
        before: &Snapshot,
        request: Request<Bytes>,
        expectation: Option<Expectation>,
    ) -> Result<Self, TestError> {
        app.restore(before).await?;
        let zero = Contents::of(app).await?;
        let first = Ended::of(app, &request).await?;
        let calls = first.0.as_ref().map(TestResponse::calls);
        let calls = calls.unwrap_or_default().into_iter();
        let one = Contents::of(app).await?;
        let second = Ended::of(app, &request).await?;
        let two = Contents::of(app).await?;
        Ok(Self {
            request,
            expectation,
            before: before.clone(),
            calls: calls.collect(),
            first,
            second,
            contents: [zero, one, two],
        })
    }

    fn line(&self) -> String {
        format!("{} {}", self.request.method(), self.request.uri())
    }

    /// Runs one pair, and returns what is wrong with it.
    async fn check(
        &self,
        app: &TestApp,
        index: usize,
        fault: &Fault,
    ) -> Result<Option<String>, TestError> {
        app.restore(&self.before).await?;
        app.instruments().arm(index, fault.clone());
        let ended = Ended::of(app, &self.request).await?;
        let was_used = app.instruments().disarm();
        let mut wrong = Vec::new();
        if !was_used {
            wrong.push("the request did not make this call again".to_owned());
        }
        if !is_clean(app).await {
            let held = app.instruments().held();
            wrong.push(format!("{held} transactions or cursors are left"));
        }
        let contents = Contents::of(app).await?;
        wrong.extend(self.compare(index, fault, &ended, &contents));
        // The same request as if the fault had never been.
        let has_changed = contents == self.contents[1] && contents != self.contents[0];
        let (usual, after) = if has_changed {
            (&self.second, &self.contents[2])
        } else {
            (&self.first, &self.contents[1])
        };
        let next = Ended::of(app, &self.request).await?;
        if !next.is_same(usual) {
            let (found, report) = (next.report(), usual.report());
            wrong.push(format!(
                "the next request is not answered as usual:\n{found}\ninstead of\n{report}"
            ));
        } else if Contents::of(app).await? != *after {
            wrong.push("the next request does not have its usual effect".to_owned());
        }
        Ok((!wrong.is_empty()).then(|| {
            let call = self.calls.get(index).map(|call| call.event.to_string());
            format!(
                "{}, call {} ({}), fault: {fault}\n- {}\n{}",
                self.line(),
                index + 1,
                call.unwrap_or_default(),
                wrong.join("\n- "),
                ended.report()
            )
        }))
    }

    /// What is wrong with a response and with what was written.
    fn compare(
        &self,
        index: usize,
        fault: &Fault,
        ended: &Ended,
        contents: &Contents,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let [before, after, _] = &self.contents;
        if contents != before && contents != after {
            wrong.push(format!(
                "half of it was written: {contents:?}\n  before: {before:?}\n  after: {after:?}"
            ));
        }
        let is_usual = ended.is_same(&self.first);
        let is_in_doubt = matches!(fault.as_error(), Some(Error::InDoubt));
        if is_usual {
            if is_in_doubt && before != after {
                wrong.push("it is answered as if it were not in doubt".to_owned());
            }
            if contents != after {
                wrong.push("it is answered as usual, and had no effect".to_owned());
            }
            return wrong;
        }
        if contents != before && !fault.takes_effect {
            wrong.push("it is answered with an error, and had an effect".to_owned());
        }
        let Some(response) = &ended.0 else {
            if !matches!(self.calls.get(index), Some(call) if call.event_is_of_cursor()) {
                wrong.push("the response broke off".to_owned());
            }
            return wrong;
        };
        if response.status().as_u16() < 400 {
            wrong.push("it is answered with success, but not as usual".to_owned());
        }
        if let (Some(expectation), Some(call)) = (&self.expectation, self.calls.get(index)) {
            let pair = Pair {
                request: &self.request,
                call,
                fault,
                usual: self.first.status(),
            };
            wrong.extend(expectation(&pair, response).err());
        }
        wrong
    }
}

impl Call {
    fn event_is_of_cursor(&self) -> bool {
        matches!(self.event, Event::Fetch) || matches!(self.outcome, Outcome::Done)
    }
}

impl Contents {
    async fn of(app: &TestApp) -> Result<Self, TestError> {
        let tables = "SELECT name FROM sqlite_schema \
            WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
        let mut lines = Vec::new();
        for table in app.sql(tables, &[]).await?.rows {
            let Some(Value::Text(table)) = table.first() else {
                continue;
            };
            let quoted = table.replace('"', "\"\"");
            let rows = app.sql(&format!("SELECT * FROM \"{quoted}\""), &[]).await?;
            let rows = rows.rows.iter().map(|row| format!("{table}: {row:?}"));
            lines.extend(rows);
        }
        lines.sort_unstable();
        Ok(Self(lines))
    }
}

/// Waits until no transaction and no cursor is left, for a moment.
async fn is_clean(app: &TestApp) -> bool {
    let cleaned = async {
        while app.instruments().held() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(CLEANUP, cleaned).await.is_ok()
}

/// What a walk has found.
#[derive(Debug, Default)]
pub struct Report {
    walked: Vec<Walked>,
    failures: Vec<String>,
}

#[derive(Debug)]
struct Walked {
    line: String,
    usual: StatusCode,
    calls: usize,
    pairs: usize,
}

impl Report {
    /// How many pairs of a statement and a fault were tried.
    pub fn pairs(&self) -> usize {
        self.walked.iter().map(|walked| walked.pairs).sum()
    }

    /// What is wrong, one text for each pair.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Prints it to standard output.
    #[expect(clippy::print_stdout, reason = "for whoever runs the test")]
    pub fn print(&self) {
        println!("{self}");
    }

    /// Fails the test if a pair is not as it should be.
    ///
    /// # Panics
    /// With a list of them.
    #[track_caller]
    pub fn assert_passed(&self) {
        let failures = self.failures.join("\n");
        assert!(self.failures.is_empty(), "{self}\n{failures}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: usize = self.walked.iter().map(|walked| walked.calls).sum();
        writeln!(
            f,
            "fault walk: {} requests with {calls} calls, {} pairs of a statement and a fault, \
             {} not as they should be",
            self.walked.len(),
            self.pairs(),
            self.failures.len()
        )?;
        let mut lines = String::new();
        for walked in &self.walked {
            let (status, calls, pairs) = (walked.usual.as_u16(), walked.calls, walked.pairs);
            let line = &walked.line;
            writeln!(lines, "  {line}: {status}, {calls} calls, {pairs} pairs")?;
        }
        f.write_str(&lines)
    }
}
