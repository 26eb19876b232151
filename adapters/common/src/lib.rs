//! What the adapters have in common. They cannot link the host, so what decides about statements is
//! compiled here from the host's files.
//!
//! | module | contents |
//! |---|---|
//! | `database` | the types of `usher:database`, its errors, the check of a statement's beginning |
//! | `sqlstate` | what an error of PostgreSQL means for a statement |
//! | `values` | UUIDs and points in time as others write them |
//! | `whole_result` | a cursor over a result that the database returned as a whole |

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package usher:adapters;
            world common {
                import usher:database/types@0.2.0;
            }
        ",
        world: "usher:adapters/common",
        generate_all,
    });
}

pub mod database;
pub mod sqlstate;
pub mod values;
pub mod whole_result;
