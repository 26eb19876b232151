//! The service with one more migration: its own two, and a third one that fails unless there is a
//! table `permitted`. The service's own code applies them. Every request returns 204.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package usher:migrating;
            world migrating {
                import usher:database/database@0.2.0;
                import usher:database/streaming@0.2.0;
                export wasi:http/incoming-handler@0.2.12;
                export usher:service/migrations@0.2.0;
                export usher:service/migration-plan@0.2.0;
            }
        ",
        world: "usher:migrating/migrating",
        generate_all,
    });
    use super::Migrating;
    export!(Migrating);
}

#[allow(dead_code, reason = "the service uses all of it")]
#[path = "../../../../guest/src/database.rs"]
mod database;
#[path = "../../../../guest/src/component/database.rs"]
mod import;
mod users;

use bindings::exports::usher::service::migration_plan as planned;
use bindings::exports::usher::service::migrations as exported;
use bindings::exports::wasi::http::incoming_handler;
use bindings::wasi::http::types::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};
use database::Database as _;
use users::adoption::{Finding, FindingKind};
use users::migrations;
use users::steps::{self, Step};

struct Migrating;

/// Its first statement succeeds, its second one only if a test has created the table.
const THIRD: Step = Step {
    name: "0003_half",
    sql: "CREATE TABLE half (id bigint);\nINSERT INTO half SELECT id FROM permitted;\n",
    earlier: &[],
};

fn steps() -> Vec<Step> {
    let mut steps = steps::steps(import::Import.dialect()).to_vec();
    steps.push(THIRD);
    steps
}

impl exported::Guest for Migrating {
    fn apply() -> Result<Vec<exported::Migration>, exported::Error> {
        match migrations::apply_steps(&import::Import, &steps()) {
            Ok(applied) => Ok(applied.into_iter().map(lower_migration).collect()),
            Err(migrations::Error::Failed(migration, why)) => {
                Err(exported::Error::Failed((lower_migration(migration), why)))
            }
            Err(migrations::Error::Changed(migration)) => {
                Err(exported::Error::Changed(lower_migration(migration)))
            }
            Err(migrations::Error::Unknown(migration)) => {
                Err(exported::Error::Unknown(lower_migration(migration)))
            }
            Err(migrations::Error::Unavailable(why)) => Err(exported::Error::Unavailable(why)),
        }
    }
}

impl planned::Guest for Migrating {
    fn plan() -> Result<Vec<planned::Finding>, String> {
        let findings = migrations::plan_steps(&import::Import, &steps());
        let findings = findings.map_err(|error| error.to_string())?;
        Ok(findings.into_iter().map(lower_finding).collect())
    }
}

fn lower_finding(finding: Finding) -> planned::Finding {
    planned::Finding {
        kind: match finding.kind {
            FindingKind::Migration => planned::FindingKind::Migration,
            FindingKind::Change => planned::FindingKind::Change,
            FindingKind::Obstacle => planned::FindingKind::Obstacle,
            FindingKind::Advice => planned::FindingKind::Advice,
        },
        subject: finding.subject,
        message: finding.message,
        remedy: finding.remedy,
    }
}

fn lower_migration(
    migrations::Migration { version, name }: migrations::Migration,
) -> exported::Migration {
    exported::Migration { version, name }
}

impl incoming_handler::Guest for Migrating {
    fn handle(_: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        response.set_status_code(204).expect("a status code");
        ResponseOutparam::set(out, Ok(response));
    }
}
