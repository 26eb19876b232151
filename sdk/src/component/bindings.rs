//! The bindings of the world `usher:service/service`.

wit_bindgen::generate!({
    path: "../wit",
    world: "usher:service/service",
    pub_export_macro: true,
    export_macro_name: "export_service",
    default_bindings_module: "usher_sdk::component::bindings",
    generate_all,
});
