//! From starting a server to its first response, on the client's clock.

use std::time::Instant;

use super::check;
use super::contestant::{Contestant, Programs};
use super::files::Directory;
use super::scenario::Scenario;
use crate::Error;

/// What a server keeps users in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its memory.
    Memory,
    /// An SQLite file that is not there yet.
    NewFile,
    /// An SQLite file that is there already.
    OldFile,
}

impl Place {
    /// Its name in the table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Memory => "memory:",
            Self::NewFile => "sqlite:, new file",
            Self::OldFile => "sqlite:, existing file",
        }
    }
}

/// The times of a server, in milliseconds.
#[derive(Clone, Debug)]
pub struct Starts {
    /// The server.
    pub contestant: Contestant,
    /// Where it keeps users.
    pub place: Place,
    /// In the order of the rounds.
    pub times: Vec<f64>,
}

/// Starts each server so many times.
///
/// # Errors
/// If one does not start, or answers something else than 200.
pub fn run(programs: &Programs, rounds: usize) -> Result<Vec<Starts>, Error> {
    let directory = Directory::make("start")?;
    let mut all = Vec::new();
    for contestant in Scenario::Start.contestants(programs, "memory:") {
        let files = matches!(contestant, Contestant::Usher);
        for place in [Place::Memory, Place::NewFile, Place::OldFile] {
            if place == Place::Memory || files {
                all.push(Starts {
                    contestant: contestant.clone(),
                    place,
                    times: Vec::new(),
                });
            }
        }
    }
    for round in 0..rounds {
        for starts in &mut all {
            check()?;
            let number = if starts.place == Place::NewFile {
                round + 1
            } else {
                0
            };
            let file = directory.file(number);
            let url = match starts.place {
                Place::Memory => "memory:".to_owned(),
                Place::NewFile | Place::OldFile => format!("sqlite:{}", file.display()),
            };
            if starts.place == Place::OldFile && !file.exists() {
                // Its first start creates the file.
                drop(starts.contestant.start(programs, &url)?);
            }
            let begin = Instant::now();
            let server = starts.contestant.start(programs, &url)?;
            let status = server.get("/users/")?;
            starts.times.push(begin.elapsed().as_secs_f64() * 1e3);
            if status != 200 {
                return Err(
                    format!("{}: the first answer is {status}", starts.contestant.name()).into(),
                );
            }
        }
    }
    Ok(all)
}
