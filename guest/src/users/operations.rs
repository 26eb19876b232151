//! The operations on one user. `listing` has those on many.

use super::error::Error;
use super::key::{self, Key};
use super::model::{Changes, Expected, NewUser, User};
use super::name::Name;
use super::{row, sql};
use crate::compat::email::Email;
use usher_sdk::database::{Database, Param, Value};
use usher_sdk::retry;

/// Stores a new user.
///
/// # Errors
/// [`Error::EmailTaken`], or when the database fails.
pub fn create(database: &impl Database, user: &NewUser<'_>) -> Result<User, Error> {
    let params = [
        Param::Text(user.name.as_str()),
        Param::Text(user.email.as_str()),
    ];
    let mut attempts = retry::ATTEMPTS;
    loop {
        match retry::query(database, sql::CREATE, &params) {
            Ok(rows) => {
                return row::first(rows)?
                    .ok_or_else(|| Error::Internal("INSERT … RETURNING gave no row".into()));
            }
            Err(error) => match key::violated(database, &error) {
                Some(Key::Email) => return Err(Error::EmailTaken),
                // The sequence lags behind ids that were stored without it. Each attempt advances
                // it by one, so a later request succeeds even where this one gives up.
                Some(Key::Id) if attempts == 0 => return Err(Error::Unavailable),
                Some(Key::Id) => attempts -= 1,
                Some(Key::Other) => return Err(Error::Conflict),
                None => return Err(error.into()),
            },
        }
    }
}

/// Returns one user.
///
/// # Errors
/// [`Error::NotFound`], or when the database fails.
pub fn get(database: &impl Database, id: i64) -> Result<User, Error> {
    let rows = retry::query(database, sql::GET, &[Param::Integer(id)])?;
    let row = rows.into_iter().next().ok_or(Error::NotFound)?;
    row::with_id(id, row.into_iter())
}

/// Replaces the name and the address of a user.
///
/// # Errors
/// [`Error::NotFound`], [`Error::EmailTaken`], [`Error::Stale`], or when the database fails.
pub fn replace(
    database: &impl Database,
    id: i64,
    user: &NewUser<'_>,
    expected: &Expected,
) -> Result<User, Error> {
    update(
        database,
        id,
        Some(user.name.as_str()),
        Some(user.email.as_str()),
        expected,
    )
}

/// Changes the fields that are given.
///
/// # Errors
/// As [`replace`].
pub fn change(
    database: &impl Database,
    id: i64,
    changes: &Changes<'_>,
    expected: &Expected,
) -> Result<User, Error> {
    let name = changes.name.as_ref().map(Name::as_str);
    let email = changes.email.as_ref().map(Email::as_str);
    update(database, id, name, email, expected)
}

/// Deletes a user.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Stale`], [`Error::Referenced`], or when the database fails.
pub fn delete(database: &impl Database, id: i64, expected: &Expected) -> Result<(), Error> {
    write_if_version(database, id, expected, |version| {
        let params = [Param::Integer(id), version.into()];
        let deleted = retry::query(database, sql::DELETE, &params).map_err(|error| {
            match Error::from(error) {
                // The request has no values that could be unacceptable: stored ones forbid it.
                Error::Unacceptable => Error::Conflict,
                error => error,
            }
        })?;
        Ok((!deleted.is_empty()).then_some(()))
    })
}

fn update(
    database: &impl Database,
    id: i64,
    name: Option<&str>,
    email: Option<&str>,
    expected: &Expected,
) -> Result<User, Error> {
    write_if_version(database, id, expected, |version| {
        let params = [
            Param::Integer(id),
            name.into(),
            email.into(),
            version.into(),
        ];
        row::first(retry::query(database, sql::UPDATE, &params).map_err(
            |error| match key::violated(database, &error) {
                Some(Key::Email) => Error::EmailTaken,
                Some(Key::Id | Key::Other) => Error::Conflict,
                None => error.into(),
            },
        )?)
    })
}

/// Runs `write` if the user has an expected version. `write` takes the version that the row must
/// have, and returns `None` if no row has this id and version.
fn write_if_version<T>(
    database: &impl Database,
    id: i64,
    expected: &Expected,
    write: impl Fn(Option<i64>) -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    match expected {
        Expected::Any => write(None)?.ok_or(Error::NotFound),
        Expected::Version(expected) => match write(Some(*expected))? {
            Some(written) => Ok(written),
            None => Err(version(database, id)?.map_or(Error::NotFound, |_| Error::Stale)),
        },
        Expected::OneOf(versions) => {
            write_if_current(database, id, |current| versions.contains(&current), write)
        }
        Expected::NoneOf(versions) => {
            write_if_current(database, id, |current| !versions.contains(&current), write)
        }
    }
}

/// Runs `write` if the current version is an expected one. The write is conditional on the version
/// just read. If it affects no row, the user changed in between, and the new version may be an
/// expected one too.
fn write_if_current<T>(
    database: &impl Database,
    id: i64,
    is_expected: impl Fn(i64) -> bool,
    write: impl Fn(Option<i64>) -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    loop {
        let current = version(database, id)?.ok_or(Error::NotFound)?;
        if !is_expected(current) {
            return Err(Error::Stale);
        }
        if let Some(written) = write(Some(current))? {
            return Ok(written);
        }
    }
}

fn version(database: &impl Database, id: i64) -> Result<Option<i64>, Error> {
    match retry::query(database, sql::VERSION, &[Param::Integer(id)])?
        .first()
        .map(Vec::as_slice)
    {
        None => Ok(None),
        Some([Value::Integer(version)]) => Ok(Some(*version)),
        Some(_) => Err(row::unexpected_columns()),
    }
}
