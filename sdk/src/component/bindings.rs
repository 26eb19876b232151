//! The bindings of the world `usher:service/service`, and of what a service exports besides.

wit_bindgen::generate!({
    path: "../wit",
    inline: "
        package usher:sdk;
        world component {
            include usher:service/service@0.2.0;
            export usher:service/streamed-handler@0.2.0;
        }
    ",
    world: "usher:sdk/component",
    pub_export_macro: true,
    export_macro_name: "export_service",
    default_bindings_module: "usher_sdk::component::bindings",
    generate_all,
});
