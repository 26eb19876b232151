//! The macros that a service uses.

/// Makes a constant of each statement text, and `STATEMENTS`, which lists them by name.
///
/// No statement is assembled at run time: the component can declare all of them to its host.
#[macro_export]
macro_rules! statements {
    ($($(#[$about:meta])* $name:ident = $text:expr;)+) => {
        $($(#[$about])* pub const $name: &str = $text;)+

        /// All statements of this module, by name.
        pub const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}

/// The parameters of a statement: `params![id, &note.title]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::database::Param::from($value)),*]
    };
}

/// The [`Migrations`](crate::migrations::Migrations) in a folder, which is named relative to the
/// source file: `migrations!("../migrations": "0001_notes", "0002_folders")` has the files
/// `postgres/0001_notes.sql`, `sqlite/0001_notes.sql` and so on.
///
/// Checksums of earlier texts with the same effect follow a name: `"0001_notes" (&["…"], &[])`,
/// those on PostgreSQL first.
#[macro_export]
macro_rules! migrations {
    ($folder:literal: $($name:literal $(($postgres:expr, $sqlite:expr))?),+ $(,)?) => {
        $crate::migrations::Migrations {
            postgres: &[$($crate::migrations::Step {
                name: $name,
                sql: include_str!(concat!($folder, "/postgres/", $name, ".sql")),
                earlier: { const EARLIER: &[&[&str]] = &[$($postgres,)? &[]]; EARLIER[0] },
            }),+],
            sqlite: &[$($crate::migrations::Step {
                name: $name,
                sql: include_str!(concat!($folder, "/sqlite/", $name, ".sql")),
                earlier: { const EARLIER: &[&[&str]] = &[$($sqlite,)? &[]]; EARLIER[0] },
            }),+],
        }
    };
}

/// Defines an enum of request headers, which implements [`RequestHeaders`]: a line for each,
/// `Variant = "name";`, or `Variant = "name" if it contains "text";`.
///
/// [`RequestHeaders`]: crate::http::RequestHeaders
#[macro_export]
macro_rules! request_headers {
    (
        $(#[$about_all:meta])*
        $visibility:vis enum $type:ident {
            $($(#[$about:meta])* $variant:ident = $name:literal $(if it contains $text:literal)?;)+
        }
    ) => {
        $(#[$about_all])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $type {
            $($(#[$about])* $variant,)+
        }

        impl $crate::http::RequestHeaders for $type {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            #[inline]
            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            #[inline]
            fn required_text(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => {
                        let text: &[&'static str] = &[$($text)?];
                        text.first().copied()
                    })+
                }
            }
        }
    };
}

/// Exports a type that implements [`Service`](crate::service::Service) as a component, and declares
/// its statements and routes to the host. Once in a crate; natively it does nothing.
#[macro_export]
macro_rules! export {
    ($service:ident) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(
            unsafe_code,
            reason = "generated code, and sections that neither the linker nor a host executes"
        )]
        const _: () = {
            use $crate::service::Service;

            type Exported = $crate::component::Component<$service>;
            $crate::component::bindings::export_service!(
                Exported with_types_in $crate::component::bindings
            );

            const STATEMENTS: usize = $crate::manifest::statements_length(
                <$service as Service>::STATEMENTS,
                &<$service as Service>::MIGRATIONS,
            );
            #[unsafe(link_section = "usher:statements")]
            #[used]
            static STATEMENTS_SECTION: [u8; STATEMENTS] = $crate::manifest::statements(
                <$service as Service>::STATEMENTS,
                &<$service as Service>::MIGRATIONS,
            );

            const ROUTES: usize = $crate::manifest::routes_length(<$service as Service>::ROUTES);
            #[unsafe(link_section = "usher:routes")]
            #[used]
            static ROUTES_SECTION: [u8; ROUTES] =
                $crate::manifest::routes(<$service as Service>::ROUTES);
        };
    };
}

// For the prelude, which names no module above its own.
#[cfg(feature = "web")]
pub use {migrations, params, statements};
