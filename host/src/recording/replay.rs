//! Replays files: runs a component over each, and shows what it does otherwise than recorded.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::EXTENSION;
use super::error::RecordingError;
use super::format::Recording;
use super::player::Player;
use super::shown;
use crate::database::SqlDialect;
use crate::sandbox::{self, Capacity, LoadError, Runtime};

/// The most bytes of calls and of a body that a replay may take.
const LIMIT: usize = 1 << 30;

/// Why nothing could be replayed. Each is a mistake of whoever asked.
#[derive(Debug)]
pub enum ReplayError {
    /// The component cannot be loaded.
    Load(LoadError),
    /// A file or directory cannot be read.
    Read(PathBuf, std::io::Error),
    /// A directory without recordings.
    Empty(PathBuf),
    /// The operating system refused.
    System(RecordingError),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Read(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Empty(path) => write!(
                f,
                "there is no recording (*.{EXTENSION}) in {}",
                path.display()
            ),
            Self::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReplayError {}

/// How many files were replayed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Those that were replayed.
    pub replayed: usize,
    /// Those of them that differ.
    pub differ: usize,
    /// Those of which the recorder says that they cannot be.
    pub not_replayable: usize,
    /// Those that cannot be read.
    pub unreadable: usize,
}

impl Summary {
    /// Whether all is as recorded: files were replayed, none of them differs, and all could be
    /// read.
    pub fn is_good(&self) -> bool {
        self.replayed > 0 && self.differ == 0 && self.unreadable == 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} replayed, {} differ, {} could not be replayed",
            self.replayed,
            self.differ,
            self.not_replayable + self.unreadable
        )
    }
}

/// Runs a component over these files, and over those in these directories. What differs, and what
/// cannot be replayed, is handed to `print` as text.
///
/// # Errors
/// See [`ReplayError`].
pub fn replay(
    paths: &[PathBuf],
    sandbox: &sandbox::Config,
    print: &mut dyn FnMut(&str),
) -> Result<Summary, ReplayError> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(files_of(path)?);
    }
    let capacity = Capacity {
        // One for each dialect.
        instances: 2,
        memory: sandbox.instance_memory,
    };
    let component = sandbox.component.clone().unwrap_or_default();
    let denied = &sandbox.deny_imports;
    let values = sandbox.values().map_err(LoadError::Values);
    let values = values.map_err(ReplayError::Load)?;
    let runtime = Runtime::new(&component, &sandbox.compiler(), capacity, denied);
    let mut players = Players {
        runtime: Arc::new(runtime.map_err(ReplayError::Load)?.with_values(values)),
        sandbox,
        made: Vec::new(),
    };
    let mut summary = Summary::default();
    for file in files {
        let shown = file.display();
        let recording = match Recording::read(&file) {
            Ok(recording) => recording,
            Err(error) => {
                summary.unreadable += 1;
                print(&format!("{error}\n"));
                continue;
            }
        };
        if let Some(why) = &recording.not_replayable {
            summary.not_replayable += 1;
            print(&format!("{shown}: not replayable: {why}\n"));
            continue;
        }
        match players.difference(&recording)? {
            Ok(difference) => {
                summary.replayed += 1;
                if !difference.is_empty() {
                    summary.differ += 1;
                    let request = shown::request(&recording.request);
                    print(&format!("{shown}: {request}\n{difference}"));
                }
            }
            Err(why) => {
                summary.unreadable += 1;
                print(&format!("{shown}: {why}\n"));
            }
        }
    }
    Ok(summary)
}

/// The recordings that a path names.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, ReplayError> {
    let failed = |error| ReplayError::Read(path.to_owned(), error);
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|end| end == EXTENSION) {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(ReplayError::Empty(path.to_owned()));
    }
    Ok(files)
}

/// A player for each dialect.
struct Players<'c> {
    runtime: Arc<Runtime>,
    sandbox: &'c sandbox::Config,
    made: Vec<(SqlDialect, Player)>,
}

impl Players<'_> {
    fn of(&mut self, dialect: SqlDialect) -> Result<&Player, ReplayError> {
        let made = self.made.iter().position(|(of, _)| *of == dialect);
        let index = match made {
            Some(index) => index,
            None => {
                let player = Player::new(Arc::clone(&self.runtime), dialect, self.sandbox, LIMIT);
                self.made
                    .push((dialect, player.map_err(ReplayError::System)?));
                self.made.len() - 1
            }
        };
        self.made
            .get(index)
            .map(|(_, player)| player)
            .ok_or_else(|| {
                ReplayError::System(RecordingError::Start("there is no player".to_owned()))
            })
    }

    /// The difference as text, which is empty if there is none, or why the file cannot be replayed.
    fn difference(&mut self, recording: &Recording) -> Result<Result<String, String>, ReplayError> {
        let Some(dialect) = recording.head.dialect() else {
            let dialect = &recording.head.dialect;
            return Ok(Err(format!(
                "this program does not know the dialect {dialect}"
            )));
        };
        let player = self.of(dialect)?;
        let run = match player.run(&recording.request, recording.calls.clone(), false) {
            Ok(run) => run,
            Err(why) => return Ok(Err(why)),
        };
        let recorded = shown::run(&recording.calls, &recording.answer);
        let mut replayed = shown::run(&run.calls, &run.answer);
        if let Some(why) = run.spoiled {
            replayed.push_str(&why);
            replayed.push('\n');
        }
        Ok(Ok(shown::difference(&recorded, &replayed)))
    }
}
