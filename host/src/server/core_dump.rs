//! No core dump: one would have passwords, keys, and what clients sent and got.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Has a crash write no core dump. The hard limit stays, so that an operator who wants one can
/// allow it again: `prlimit --core=unlimited --pid PID`.
pub(super) fn prevent() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    let none = Rlimit {
        current: Some(0),
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::debug!("a crash may write a core dump: {error}");
    }
}
