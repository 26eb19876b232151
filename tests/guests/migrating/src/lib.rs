//! The service one migration later: its own as they are, and a third one that fails half-way unless there is a table
//! `permitted`. They are applied by the service's own code. Every request is answered with 204.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package usher:migrating;
            world migrating {
                import usher:database/database@0.1.0;
                import usher:database/streaming@0.1.0;
                export wasi:http/incoming-handler@0.2.12;
                export usher:users/migrations@0.1.0;
                export usher:users/migration-plan@0.1.0;
            }
        ",
        world: "usher:migrating/migrating",
        generate_all,
    });
    use super::Migrating;
    export!(Migrating);
}

#[allow(dead_code, reason = "the service uses all of it")]
#[path = "../../../../guest/src/adoption/mod.rs"]
mod adoption;
#[allow(dead_code, reason = "the service uses all of it")]
#[path = "../../../../guest/src/database.rs"]
mod database;
#[path = "../../../../guest/src/component/database.rs"]
mod import;
#[allow(dead_code, reason = "the service uses all of it")]
#[path = "../../../../guest/src/migrations.rs"]
mod migrations;
#[allow(dead_code, reason = "the service uses all of it")]
#[path = "../../../../guest/src/retry.rs"]
mod retry;
#[allow(dead_code, reason = "the service uses all of it")]
#[path = "../../../../guest/src/sql.rs"]
mod sql;
#[allow(dead_code, reason = "the service uses all of it")]
#[path = "../../../../guest/src/statements.rs"]
mod statements;

use adoption::{Finding, FindingKind};
use bindings::exports::usher::users::migration_plan as planned;
use bindings::exports::usher::users::migrations as exported;
use bindings::exports::wasi::http::incoming_handler;
use bindings::wasi::http::types::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};
use database::Database as _;
use migrations::Step;

struct Migrating;

/// Its first statement passes, its second one only where a test has made the table.
const THIRD: Step = Step {
    name: "0003_half",
    sql: "CREATE TABLE half (id bigint);\nINSERT INTO half SELECT id FROM permitted;\n",
    earlier: &[],
};

fn steps() -> Vec<Step> {
    let mut steps = migrations::steps(import::Import.dialect()).to_vec();
    steps.push(THIRD);
    steps
}

impl exported::Guest for Migrating {
    fn apply() -> Result<Vec<exported::Migration>, exported::Error> {
        match migrations::apply_steps(&import::Import, &steps()) {
            Ok(applied) => Ok(applied.into_iter().map(told).collect()),
            Err(migrations::Error::Failed(migration, why)) => {
                Err(exported::Error::Failed((told(migration), why)))
            }
            Err(migrations::Error::Changed(migration)) => {
                Err(exported::Error::Changed(told(migration)))
            }
            Err(migrations::Error::Unknown(migration)) => {
                Err(exported::Error::Unknown(told(migration)))
            }
            Err(migrations::Error::Unavailable(why)) => Err(exported::Error::Unavailable(why)),
        }
    }
}

impl planned::Guest for Migrating {
    fn plan() -> Result<Vec<planned::Finding>, String> {
        let findings = migrations::plan_steps(&import::Import, &steps());
        let findings = findings.map_err(|error| error.to_string())?;
        Ok(findings.into_iter().map(found).collect())
    }
}

fn found(finding: Finding) -> planned::Finding {
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

fn told(migrations::Migration { version, name }: migrations::Migration) -> exported::Migration {
    exported::Migration { version, name }
}

impl incoming_handler::Guest for Migrating {
    fn handle(_: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        response.set_status_code(204).expect("a status code");
        ResponseOutparam::set(out, Ok(response));
    }
}
