//! Recordings: requests with all that the component asked of its database and got, and their
//! replay without a database. The format is described in `docs/recording.md`.
//!
//! A component's inputs are the request and the results of its database calls, so these two
//! reproduce what it does. The recorder runs each recorded request once more, on its own thread,
//! over the recorded results, with what identifies people masked before. What is written is that
//! second run: no value that a client sent or a row had gets from the first into a file.
//!
//! | module | contents |
//! |---|---|
//! | [`config`] | the settings |
//! | [`error`] | why a recording cannot be read or written |
//! | `headers` | which header fields are recorded and compared |
//! | `value`, `format` | values as JSON; a recording, and its file |
//! | `mask`, `text` | masks what identifies people: words; bodies, targets and messages |
//! | `masked` | what is masked of a request and of its database calls |
//! | `playback` | a back end that returns what was recorded |
//! | [`player`] | runs a component over a recording |
//! | `queue` | requests on the way from their cores to the recorder's thread |
//! | `capture` | what a core keeps of a request |
//! | `directory` | the directory, with its bounds |
//! | `verify` | whether the second run did what the first did |
//! | [`recorder`] | the recorder's thread |
//! | `shown`, [`replay`] | a recording as text; the replay of files, and what differs |

pub mod config;
pub mod error;
pub mod format;
pub mod player;
pub mod recorder;
#[cfg(feature = "cli")]
pub mod replay;

mod capture;
mod directory;
mod headers;
mod mask;
mod masked;
mod playback;
mod queue;
#[cfg(feature = "cli")]
mod shown;
mod text;
mod value;
mod verify;

pub(crate) use capture::Capture;
pub use config::Config;
pub use error::RecordingError;
pub use format::{Answer, Recording};
pub use recorder::Recorder;
