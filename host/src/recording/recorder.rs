//! The recorder's thread: masks a request and its calls, runs the component over them once more,
//! and writes what that run did.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::Request;

use super::capture::Capture;
use super::config::Config;
use super::directory::{Directory, NotWritten};
use super::error::RecordingError;
use super::format::{self, Answer, Head, Recording};
use super::mask::Mask;
use super::masked;
use super::player::Player;
use super::queue::{Ended, Job, Queue, too_large};
use super::verify::{self, First};
use crate::database::tape::{Call, Operation};
use crate::database::{self, Database, SqlDialect, Statements};
use crate::options::show_size;
use crate::sandbox::{self, Runtime};
use crate::telemetry::RequestInfo;

/// Records one request in so many. A core has one of its own.
#[derive(Debug)]
pub struct Recorder {
    queue: Arc<Queue>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    /// The requests of this core so far.
    requests: AtomicU32,
}

/// For another core, which counts for itself.
impl Clone for Recorder {
    fn clone(&self) -> Self {
        Self {
            queue: Arc::clone(&self.queue),
            thread: Arc::clone(&self.thread),
            requests: AtomicU32::new(0),
        }
    }
}

impl Recorder {
    /// Checks that the directory can be used, before anything else is done.
    ///
    /// # Errors
    /// See [`RecordingError`].
    pub(crate) fn check(config: &Config) -> Result<(), RecordingError> {
        let Some(path) = &config.record else {
            return Ok(());
        };
        Directory::open(path, config.record_max_total).map(drop)
    }

    /// Starts the thread, if the settings name a directory.
    ///
    /// # Errors
    /// See [`RecordingError`].
    pub fn start(
        config: &Config,
        runtime: &Arc<Runtime>,
        database: &Database,
        sandbox: &sandbox::Config,
    ) -> Result<Option<Self>, RecordingError> {
        let Some(path) = &config.record else {
            return Ok(None);
        };
        let limit = config.record_max_file;
        if config.record_personal_data {
            tracing::warn!(
                "recordings hold values as they are, those that identify people included \
                 (--record-personal-data)"
            );
        }
        let players = Players {
            dialect: database.dialect(),
            sandbox: sandbox.clone(),
            limit,
        };
        let writer = Writer {
            directory: Directory::open(path, config.record_max_total)?,
            served: players.served(Arc::clone(runtime))?,
            players,
            mask: (!config.record_personal_data).then(Mask::default),
            texts_differ: database.config().statements == Statements::Any,
            limit,
        };
        let queue = Arc::new(Queue::new(config.record_one_in, limit));
        let of_thread = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("usher-recorder".into())
            .spawn(move || writer.run(&of_thread))
            .map_err(|error| RecordingError::Start(error.to_string()))?;
        tracing::info!(
            "recording one in {} requests in {}",
            config.record_one_in,
            path.display()
        );
        Ok(Some(Self {
            queue,
            thread: Arc::new(Mutex::new(Some(thread))),
            requests: AtomicU32::new(0),
        }))
    }

    /// Keeps a request, if it is one to be recorded.
    pub(crate) fn capture(
        &self,
        runtime: &Arc<Runtime>,
        request: &Request<Bytes>,
        info: &Arc<RequestInfo>,
    ) -> Option<Box<Capture>> {
        let number = self.requests.fetch_add(1, Relaxed);
        let is_one = number.is_multiple_of(self.queue.one_in.get());
        let is_recorded = is_one && !self.queue.has_stopped();
        is_recorded.then(|| {
            let (queue, runtime) = (Arc::clone(&self.queue), Arc::clone(runtime));
            Capture::of(queue, runtime, request, info)
        })
    }

    /// Waits until what was recorded is written.
    pub fn finish(&self) {
        self.queue.close();
        let thread = self.thread.lock();
        let thread = thread.unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the recorder's thread has panicked");
        }
    }
}

/// The segments that a component's routes have literally.
fn literals(runtime: &Runtime) -> Vec<String> {
    let routes = runtime.routes().declared().unwrap_or_default();
    let segments = routes.iter().flat_map(|(_, path)| path.split('/'));
    let mut literals: Vec<_> = segments
        .filter(|segment| !segment.starts_with('{'))
        .map(str::to_owned)
        .collect();
    literals.sort_unstable();
    literals.dedup();
    literals
}

/// What the thread needs to know of a component.
struct Served {
    runtime: Arc<Runtime>,
    player: Player,
    /// The segments that its routes have literally.
    literals: Vec<String>,
    /// Why no recording of it can be replayed, if none can.
    undetermined: Option<String>,
    /// Its SHA-256.
    digest: String,
}

/// What all players have in common.
struct Players {
    dialect: SqlDialect,
    sandbox: sandbox::Config,
    limit: usize,
}

impl Players {
    fn served(&self, runtime: Arc<Runtime>) -> Result<Served, RecordingError> {
        let digest = runtime.digest().map_err(RecordingError::Start)?;
        let undetermined = runtime.undetermined_import().map(|name| {
            format!("the component imports {name}, and what it gets from it is not recorded")
        });
        if let Some(why) = &undetermined {
            tracing::warn!("no recording can be replayed: {why}");
        }
        let player = Player::new(
            Arc::clone(&runtime),
            self.dialect,
            &self.sandbox,
            self.limit,
        )?;
        Ok(Served {
            player,
            literals: literals(&runtime),
            undetermined,
            digest,
            runtime,
        })
    }
}

/// What the thread has.
struct Writer {
    directory: Directory,
    /// The component of the request before.
    served: Served,
    players: Players,
    /// None if values are recorded as they are.
    mask: Option<Mask>,
    /// Whether the component may make the texts of its statements from values.
    texts_differ: bool,
    limit: usize,
}

impl Writer {
    fn run(mut self, queue: &Queue) {
        while let Some(job) = queue.next() {
            let written = self.serve(&job.runtime).map(|()| self.write(job));
            let stopped = match written {
                Ok(Ok(())) => continue,
                Err(error) => error.to_string(),
                Ok(Err(NotWritten::Full(limit))) => format!(
                    "the recordings have reached {} (--record-max-total): remove some and start \
                     again",
                    show_size(limit)
                ),
                Ok(Err(NotWritten::Failed(path, error))) => {
                    format!("{} cannot be written: {error}", path.display())
                }
            };
            queue.stop();
            tracing::warn!("recording has stopped, and requests go on: {stopped}");
            return;
        }
    }

    /// Goes on with this component, if another one was called before. Two of them answer at once
    /// only while one replaces the other.
    fn serve(&mut self, runtime: &Arc<Runtime>) -> Result<(), RecordingError> {
        if !Arc::ptr_eq(&self.served.runtime, runtime) {
            self.served = self.players.served(Arc::clone(runtime))?;
        }
        Ok(())
    }

    fn write(&mut self, job: Job) -> Result<(), NotWritten> {
        let mut recording = self.recording(job);
        let too_large = too_large(self.limit);
        let written = recording.write().unwrap_or_default();
        let written = if (1..=self.limit).contains(&written.len()) {
            written
        } else {
            recording.request.body = Bytes::new();
            recording.calls = Vec::new();
            recording.answer = Answer::None;
            recording.not_replayable = Some(too_large);
            recording.write().unwrap_or_default()
        };
        self.directory.write(&recording.head.id, &written)
    }

    fn recording(&mut self, job: Job) -> Recording {
        let Job {
            runtime: _,
            id,
            time,
            mut sent,
            taped,
            ended,
            took,
        } = job;
        let mut calls = taped.calls;
        if let Some(mask) = &mut self.mask {
            masked::request(mask, &mut sent, &self.served.literals);
            for call in &mut calls {
                masked::call(mask, call);
            }
        }
        let head = Head {
            version: format::VERSION,
            id,
            time: humantime::format_rfc3339_millis(time).to_string(),
            usher: env!("CARGO_PKG_VERSION").to_owned(),
            component: self.served.digest.clone(),
            dialect: format::name_of(self.players.dialect).to_owned(),
            masked: self.mask.is_some(),
        };
        let mut recording = Recording {
            head,
            request: sent,
            calls,
            answer: Answer::None,
            took,
            not_replayable: None,
        };
        let spoiled = match &ended {
            Ended::Spoiled(why) => Some(why.clone()),
            _ if taped.is_full => Some(too_large(self.limit)),
            _ => verify::unfinished(&recording.calls).or_else(|| self.served.undetermined.clone()),
        };
        let ran = match spoiled {
            Some(why) => Err(why),
            None => self.run_again(&recording, &ended),
        };
        match ran {
            Ok((calls, answer)) => (recording.calls, recording.answer) = (calls, answer),
            Err(why) => {
                if let Ended::Answered(answered) = &ended {
                    recording.answer = Answer::Response {
                        status: answered.status,
                        headers: Vec::new(),
                        body: Bytes::new(),
                    };
                }
                if self.texts_differ && self.mask.is_some() {
                    recording.calls.iter_mut().for_each(hide_text);
                }
                recording.not_replayable = Some(why);
            }
        }
        recording
    }

    /// What the component does a second time, if that is what it did the first time.
    fn run_again(
        &self,
        recording: &Recording,
        ended: &Ended,
    ) -> Result<(Vec<Call>, Answer), String> {
        let texts_differ = self.texts_differ && self.mask.is_some();
        let calls = recording.calls.clone();
        let mut second = self
            .served
            .player
            .run(&recording.request, calls, texts_differ)?;
        let first = First {
            calls: &recording.calls,
            ended,
            is_masked: self.mask.is_some(),
            texts_differ,
        };
        first.check(&second).map_err(|why| match self.mask {
            Some(_) => format!("over masked values, {why}"),
            None => format!("a second time, {why}"),
        })?;
        for (call, first) in second.calls.iter_mut().zip(&recording.calls) {
            call.took = first.took;
        }
        Ok((second.calls, second.answer))
    }
}

/// Hides what a component may have put into the text of a statement.
fn hide_text(call: &mut Call) {
    if let Operation::Query(text, _) | Operation::Execute(text, _) | Operation::Open(text, _) =
        &mut call.operation
    {
        *text = database::masked(text);
    }
}
