//! The types of the domain.

use super::name::Name;
use crate::compat::email::Email;

/// The maximum number of users on a page.
pub const PAGE_LIMIT: u32 = 1000;

/// A stored user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id, from 1.
    pub id: i64,
    /// The name.
    pub name: String,
    /// The normalised address.
    pub email: String,
    /// Incremented by every change.
    pub version: i64,
}

impl User {
    /// The same user, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> UserRef<'_> {
        UserRef {
            id: self.id,
            name: &self.name,
            email: &self.email,
            version: self.version,
        }
    }
}

/// A stored user, whose texts are those of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRef<'a> {
    /// As [`User::id`].
    pub id: i64,
    /// As [`User::name`].
    pub name: &'a str,
    /// As [`User::email`].
    pub email: &'a str,
    /// As [`User::version`].
    pub version: i64,
}

/// The fields of a user that a client sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser<'a> {
    /// The name.
    pub name: Name<'a>,
    /// The address.
    pub email: Email<'a>,
}

/// A partial update. [`Changes::default`] changes nothing but the version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    /// The new name, or `None` to keep it.
    pub name: Option<Name<'a>>,
    /// The new address, or `None` to keep it.
    pub email: Option<Email<'a>>,
}

/// Which users a page holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// At most this many, from 1 to [`PAGE_LIMIT`].
    pub limit: u32,
    /// Only users with a greater id.
    pub after: i64,
    /// Only the user with this address.
    pub email: Option<Email<'a>>,
}

/// Which users a [`Reader`](super::Reader) reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection<'a> {
    /// At most this many, or `None` for all.
    pub limit: Option<u32>,
    /// Only users with a greater id.
    pub after: i64,
    /// Only the user with this address.
    pub email: Option<Email<'a>>,
}

/// A page of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPage<'a> {
    /// The users, by ascending id.
    pub users: Vec<UserRef<'a>>,
    /// All their names and addresses in one piece, if the host passed them so.
    pub texts: Option<&'a str>,
    /// Whether another user follows the last one of this page.
    pub more: bool,
}

/// The versions that a user may have for a write to proceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Any version.
    Any,
    /// This version.
    Version(i64),
    /// One of these versions. An empty list never matches.
    OneOf(Vec<i64>),
    /// Any version but these.
    NoneOf(Vec<i64>),
}

impl From<Option<i64>> for Expected {
    fn from(version: Option<i64>) -> Self {
        version.map_or(Self::Any, Self::Version)
    }
}
