//! `wasi:config`: what the operator has set for the component, and nothing else of the host.
//!
//! The package is a draft, and hosts have it under several versions with the same two functions:
//! the crate `wasmtime-wasi-config` has one of them.

use wasmtime::component::{ComponentType, Linker, Lower};

use super::values::Values;

/// The names of the interface: that of wasmtime and wasmCloud, that of the draft, that of Spin, and
/// that of wasmCloud 1.
pub(crate) const INTERFACES: &[&str] = &[
    "wasi:config/store@0.2.0-rc.1",
    "wasi:config/store@0.2.0-draft",
    "wasi:config/store@0.2.0-draft-2024-09-27",
    "wasi:config/runtime@0.2.0-draft",
];

/// The `error` of the interface. Values are in memory, so nothing returns one.
#[derive(ComponentType, Lower, Clone, Debug)]
#[component(variant)]
#[expect(dead_code, reason = "part of the functions' types")]
enum Error {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

/// Links the interface under all of its names. `values` returns what an instance gets.
///
/// # Errors
/// If the linker has one of the names already.
pub(crate) fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    values: fn(&T) -> &Values,
) -> wasmtime::Result<()> {
    for name in INTERFACES {
        let mut interface = linker.instance(name)?;
        interface.func_wrap("get", move |store, (name,): (String,)| {
            let value = values(store.data()).get(&name).map(str::to_owned);
            Ok((Ok::<_, Error>(value),))
        })?;
        interface.func_wrap("get-all", move |store, (): ()| {
            let all = values(store.data()).all();
            let all: Vec<_> = all
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            Ok((Ok::<_, Error>(all),))
        })?;
    }
    Ok(())
}
