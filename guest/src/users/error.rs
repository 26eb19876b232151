//! Why an operation failed.

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// No user has this id.
    NotFound,
    /// Another user has this address.
    EmailTaken,
    /// The user has another version than the expected one.
    Stale,
    /// The database could not be used. Nothing happened, and a retry may succeed.
    Unavailable,
    /// The database took too long. Nothing happened.
    Timeout,
    /// Whether the change took effect is unknown.
    InDoubt,
    /// A row of another table refers to this user.
    Referenced,
    /// A constraint or trigger that this service does not know forbids the change.
    Conflict,
    /// A type, constraint or limit that this service does not know forbids these values.
    Unacceptable,
    /// The service is at fault. The text is for its operator.
    Internal(String),
}
