//! The users service as typed calls.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "generated code, documented in wit/"
)]

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "package usher:testing; world typed { export usher:users/users@0.2.0; }",
    world: "usher:testing/typed",
    exports: { default: async },
    require_store_data_send: true,
});
