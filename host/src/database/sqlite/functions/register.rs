//! Registers the replacements on a connection.

use std::sync::Arc;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::{Connection, Result};

use super::call::{Clock, Out};
use super::patterns::{glob, like};
use super::strings::{instr, replace, trim, unhex};
use crate::database::sqlite::control::Control;

pub(in crate::database::sqlite) fn register(
    sqlite: &Connection,
    control: &Arc<Control>,
) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    let scalar =
        |name: &str, arguments: i32, function: fn(&Context<'_>, Clock<'_>) -> Result<Out>| {
            let control = Arc::clone(control);
            sqlite.create_scalar_function(name, arguments, flags, move |context| {
                function(context, Clock::new(&control))
            })
        };
    scalar("instr", 2, instr)?;
    scalar("replace", 3, replace)?;
    scalar("like", 2, like)?;
    scalar("like", 3, like)?;
    scalar("glob", 2, glob)?;
    scalar("trim", 2, |context, clock| trim(context, clock, true, true))?;
    scalar("ltrim", 2, |context, clock| {
        trim(context, clock, true, false)
    })?;
    scalar("rtrim", 2, |context, clock| {
        trim(context, clock, false, true)
    })?;
    scalar("unhex", 2, unhex)
}
