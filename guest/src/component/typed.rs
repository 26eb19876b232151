//! The typed export, `usher:users/users`.

use super::Users;
use crate::compat::email::Email;
use crate::users::{self, Changes, Name, NewUser, PAGE_LIMIT, Page, User, UserRef};
use bindings::exports::usher::users::users as typed;
use usher_sdk::component::Import;

#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated code, which works on raw memory"
)]
mod bindings {
    use super::Users;

    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package usher:typed;
            world typed {
                export usher:users/users@0.2.0;
            }
        ",
        world: "usher:typed/typed",
        generate_all,
    });
    export!(Users);
}

impl typed::Guest for Users {
    fn create(user: typed::NewUser) -> Result<typed::User, typed::Error> {
        let user = parse(&user.name, &user.email)?;
        Ok(users::create(&Import, &user)?.into())
    }

    fn get(id: i64) -> Result<typed::User, typed::Error> {
        Ok(users::get(&Import, id)?.into())
    }

    fn list(page: typed::Page) -> Result<typed::UserPage, typed::Error> {
        let mut faults = Vec::new();
        if !(1..=PAGE_LIMIT).contains(&page.limit) {
            faults.push(fault("limit", format!("must be from 1 to {PAGE_LIMIT}")));
        }
        let email = match page.email.as_deref().map(Email::parse).transpose() {
            Ok(email) => email,
            Err(reason) => {
                faults.push(fault("email", reason.to_string()));
                None
            }
        };
        if !faults.is_empty() {
            return Err(typed::Error::Invalid(faults));
        }
        let listed = users::list(
            &Import,
            &Page {
                limit: page.limit,
                after: page.after,
                email,
            },
        )?;
        let found = listed.page()?;
        let users = found.users.into_iter().map(typed::User::from);
        Ok(typed::UserPage {
            users: users.collect(),
            more: found.more,
        })
    }

    fn replace(
        id: i64,
        user: typed::NewUser,
        if_version: Option<i64>,
    ) -> Result<typed::User, typed::Error> {
        let user = parse(&user.name, &user.email)?;
        Ok(users::replace(&Import, id, &user, &if_version.into())?.into())
    }

    fn change(
        id: i64,
        changes: typed::Changes,
        if_version: Option<i64>,
    ) -> Result<typed::User, typed::Error> {
        if changes.name.is_none() && changes.email.is_none() {
            return Err(typed::Error::Invalid(vec![fault(
                "name",
                "a name or an email must be given".into(),
            )]));
        }
        let name = changes.name.as_deref().map(Name::parse).transpose();
        let email = changes.email.as_deref().map(Email::parse).transpose();
        let (name, email) = both(name, email)?;
        Ok(users::change(&Import, id, &Changes { name, email }, &if_version.into())?.into())
    }

    fn delete(id: i64, if_version: Option<i64>) -> Result<(), typed::Error> {
        Ok(users::delete(&Import, id, &if_version.into())?)
    }
}

fn parse<'a>(name: &'a str, email: &'a str) -> Result<NewUser<'a>, typed::Error> {
    let (name, email) = both(Name::parse(name), Email::parse(email))?;
    Ok(NewUser { name, email })
}

/// Both values, or the faults of both.
fn both<N, E>(
    name: Result<N, impl std::fmt::Display>,
    email: Result<E, impl std::fmt::Display>,
) -> Result<(N, E), typed::Error> {
    match (name, email) {
        (Ok(name), Ok(email)) => Ok((name, email)),
        (name, email) => {
            let name = name.err().map(|reason| fault("name", reason.to_string()));
            let email = email.err().map(|reason| fault("email", reason.to_string()));
            Err(typed::Error::Invalid(
                name.into_iter().chain(email).collect(),
            ))
        }
    }
}

fn fault(field: &str, message: String) -> typed::Fault {
    typed::Fault {
        field: field.into(),
        message,
    }
}

impl From<User> for typed::User {
    fn from(user: User) -> Self {
        user.borrowed().into()
    }
}

impl From<UserRef<'_>> for typed::User {
    fn from(user: UserRef<'_>) -> Self {
        Self {
            id: user.id,
            name: user.name.to_owned(),
            email: user.email.to_owned(),
            version: user.version,
        }
    }
}

impl From<users::Error> for typed::Error {
    fn from(error: users::Error) -> Self {
        match error {
            users::Error::NotFound => Self::NotFound,
            users::Error::EmailTaken => Self::EmailTaken,
            users::Error::Stale => Self::Stale,
            users::Error::Unavailable => Self::Unavailable,
            users::Error::Timeout => Self::Timeout,
            users::Error::InDoubt => Self::InDoubt,
            users::Error::Referenced => {
                Self::Invalid(vec![fault("id", "other data refers to this user".into())])
            }
            users::Error::Conflict => Self::Invalid(vec![fault(
                "id",
                "the change conflicts with other data".into(),
            )]),
            users::Error::Unacceptable => Self::Invalid(vec![fault(
                "name",
                "the database accepts no such user".into(),
            )]),
            users::Error::Internal(why) => Self::Internal(why),
        }
    }
}
