//! What the policy says of a statement, as in the host's module of this name.

/// The effect that a statement may have, as its text shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It cannot change anything.
    Reads,
    /// It is one `INSERT`, `UPDATE` or `DELETE`.
    Changes,
    /// It changes something else, or in another way.
    Writes,
}

/// The caller of a statement. The rules of SQLite are the same for all.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller {
    Request,
}
