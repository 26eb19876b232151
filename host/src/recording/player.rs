//! Runs a component over a recording, without a database.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Limited};
use tracing::subscriber::NoSubscriber;

use super::error::RecordingError;
use super::format::{Answer, Sent};
use super::headers;
use super::playback::Playback;
use crate::database::tape::{Call, Tape};
use crate::database::{self, Database, SqlDialect, Statements, Url};
use crate::sandbox::{self, CallError, GuestBody, Instances, Runtime};
use crate::telemetry::request::GivenNames;
use crate::telemetry::{AccessLog, Counters, RequestInfo};
use crate::wasi_http::forwarded::Encrypted;

/// Runs one component over recordings, one at a time.
pub struct Player {
    playback: Playback,
    instances: Arc<Instances>,
    counters: Arc<Counters>,
    runtime: tokio::runtime::Runtime,
    /// The most bytes of calls and of a body that a run may take.
    limit: usize,
}

impl fmt::Debug for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player").finish_non_exhaustive()
    }
}

/// What a component did with a recorded request.
#[derive(Debug)]
pub struct Run {
    /// Its calls, in order.
    pub calls: Vec<Call>,
    /// Its answer.
    pub answer: Answer,
    /// Why its answer says nothing of the component, if it does not.
    pub spoiled: Option<String>,
}

impl Player {
    /// A player for this component, and for recordings of this dialect.
    ///
    /// # Errors
    /// If the operating system refuses what it needs.
    pub fn new(
        runtime: Arc<Runtime>,
        dialect: SqlDialect,
        sandbox: &sandbox::Config,
        limit: usize,
    ) -> Result<Self, RecordingError> {
        let start = |why: String| RecordingError::Start(why);
        let playback = Playback::new(dialect);
        let mut config = database::Config::new(Url::memory());
        // Whether a call was within the limits was decided when it was recorded.
        config.statements = Statements::Any;
        config.max_parameters = usize::MAX;
        config.max_transactions = usize::MAX;
        config.max_statement_bytes = usize::MAX;
        config.max_rows_bytes = u64::MAX;
        let database = Database::with_backend(config, Arc::new(playback.clone()));
        let pool = database.pool().map_err(|error| start(error.to_string()))?;
        let counters = Arc::new(Counters::new(runtime.routes(), AccessLog::Off));
        let limits = sandbox.limits(1);
        let instances = Instances::new(runtime, pool, limits, Arc::clone(&counters));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| start(error.to_string()))?;
        Ok(Self {
            playback,
            instances,
            counters,
            runtime,
            limit,
        })
    }

    /// Sends a request to the component, whose database calls return what these did. With
    /// `texts_differ` a statement may have another text than the recorded one.
    ///
    /// # Errors
    /// If the request is not valid.
    pub fn run(&self, sent: &Sent, calls: Vec<Call>, texts_differ: bool) -> Result<Run, String> {
        let mut request = sent.request()?;
        if sent.is_https {
            request.extensions_mut().insert(Encrypted);
        }
        self.playback.load(calls, texts_differ);
        // The lines about this request were logged when it was recorded.
        let silence = tracing::subscriber::set_default(NoSubscriber::default());
        let run = self.runtime.block_on(self.send(request));
        drop(silence);
        self.playback.load(Vec::new(), false);
        Ok(run)
    }

    async fn send(&self, mut request: Request<Bytes>) -> Run {
        let tape = Tape::new(self.limit);
        let (method, path) = (request.method(), request.uri().path());
        let recorded = RequestInfo::arrived(&self.counters, method, path, GivenNames::default());
        let info = recorded.info();
        let called = self
            .instances
            .call(&mut request, info, Some(&tape), Instant::now())
            .await;
        let (answer, spoiled) = match called {
            Err(CallError::Guest(why)) => (Answer::Failed(why), None),
            Err(error) => (Answer::None, Some(error.to_string())),
            Ok(response) => {
                let (head, body) = response.into_parts();
                match self.read(body).await {
                    Ok(body) => (
                        Answer::Response {
                            status: head.status.as_u16(),
                            headers: headers::fields(&head.headers, |name| {
                                !headers::is_volatile(name)
                            }),
                            body,
                        },
                        None,
                    ),
                    Err((why, spoils)) => (Answer::Failed(why.clone()), spoils.then_some(why)),
                }
            }
        };
        let taped = tape.take();
        let full = || "the component asks more than a recording may hold".to_owned();
        Run {
            calls: taped.calls,
            answer,
            spoiled: spoiled.or_else(|| taped.is_full.then(full)),
        }
    }

    /// The complete body, or why there is none, and whether that is no fault of the component.
    async fn read(&self, body: GuestBody) -> Result<Bytes, (String, bool)> {
        match Limited::new(body, self.limit).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) => match error.downcast_ref::<CallError>() {
                Some(CallError::Guest(why)) => Err((why.clone(), false)),
                _ => Err((error.to_string(), true)),
            },
        }
    }
}
