//! Warns at start about privileges of the role that a service does not need, with the commands that
//! revoke them.
//!
//! The check is only advice: if its query fails, there is no warning.

use tokio_postgres::SimpleQueryMessage;

use super::session::Session;

/// Returns the role, its privileges, and the quoted names for the commands. Memberships that follow
/// from being a superuser or the owner of the database are ignored.
const PRIVILEGES: &str = "SELECT rolname, pg_catalog.quote_ident(rolname), \
    pg_catalog.quote_ident(pg_catalog.current_database()), rolsuper, \
    pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY'), \
    (SELECT pg_catalog.string_agg(granted.rolname::text, ', ' ORDER BY granted.rolname) \
     FROM pg_catalog.pg_roles AS granted \
     WHERE granted.rolname LIKE 'pg\\_%' AND granted.rolname <> 'pg_database_owner' \
     AND pg_catalog.pg_has_role(asked.oid, granted.oid, 'MEMBER')) \
    FROM pg_catalog.pg_roles AS asked WHERE rolname = CURRENT_USER";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExcessPrivileges {
    role: String,
    may: String,
    remedy: String,
}

pub(super) async fn excess_privileges(session: &Session) -> Option<ExcessPrivileges> {
    let answer = session.simple_query(PRIVILEGES).await.ok()?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })?;
    let text = |column: usize| row.try_get(column).ok().flatten().unwrap_or_default();
    ExcessPrivileges::of(
        [text(0), text(1), text(2)],
        text(3) == "t",
        text(4) == "t",
        text(5),
    )
}

impl ExcessPrivileges {
    fn of(
        [role, quoted, database]: [&str; 3],
        superuser: bool,
        temporary: bool,
        member: &str,
    ) -> Option<Self> {
        let (mut may, mut remedy) = (Vec::new(), Vec::new());
        if superuser {
            may.push("is a superuser".to_owned());
            remedy.push("a role of its own, as docs/database.md makes it;".to_owned());
        } else if !member.is_empty() {
            may.push(format!("is a member of {member}"));
            remedy.push(format!("REVOKE {member} FROM {quoted};"));
        }
        if temporary {
            may.push("may create temporary tables".to_owned());
            remedy.push(format!(
                "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC, {quoted};"
            ));
        }
        (!may.is_empty()).then(|| Self {
            role: role.to_owned(),
            may: may.join(", "),
            remedy: remedy.join(" "),
        })
    }

    pub(super) fn warn(&self) {
        let Self { role, may, remedy } = self;
        tracing::warn!(
            role,
            may,
            remedy,
            "the database role may do more than a service needs"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::ExcessPrivileges;

    #[test]
    fn excess_privileges_are_reported_with_remedy() {
        let excess = |superuser, temporary, member| {
            ExcessPrivileges::of(["me", "me", "users"], superuser, temporary, member)
                .map(|excess| (excess.may, excess.remedy))
        };
        assert_eq!(excess(false, false, ""), None);
        let (may, remedy) = excess(false, true, "pg_monitor").expect("two things");
        assert_eq!(
            may,
            "is a member of pg_monitor, may create temporary tables"
        );
        assert_eq!(
            remedy,
            "REVOKE pg_monitor FROM me; REVOKE TEMPORARY ON DATABASE users FROM PUBLIC, me;"
        );
        let (may, _) = excess(true, true, "pg_monitor, pg_signal_backend").expect("two things");
        assert_eq!(may, "is a superuser, may create temporary tables");
    }
}
