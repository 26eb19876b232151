//! Connections cut in mid-statement and in mid-commit, stalled, slow.
