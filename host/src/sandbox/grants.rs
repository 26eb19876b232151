//! The interfaces that this host has for components, and which of them an operator denies.
//!
//! A component gets those that it imports and no others, so the unused ones cost nothing.

use std::fmt;
use std::str::FromStr;

use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime_wasi::cli::WasiCli;
use wasmtime_wasi::clocks::WasiClocks;
use wasmtime_wasi::filesystem::WasiFilesystem;
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random, sockets};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::sockets::WasiSockets;

use super::state::State;
use crate::database;
use crate::wasi::{config, logging};
use crate::wasi_http;

/// The versions of an interface whose name has none begin with this; a component may have been
/// built against a younger or older patch version.
const VERSION: &str = "@0.2.";

/// Interfaces that are linked together.
struct Grant {
    /// Their names: with their version, or without for those of WASI 0.2 and of `usher:database`.
    interfaces: &'static [&'static str],
    /// What a component gets, in words for its operator.
    what: &'static str,
    /// Whether they need a [`crate::wasi::Context`].
    needs_context: bool,
    link: Link,
}

/// Adds interfaces to a linker.
type Link = fn(&mut Linker<State>) -> wasmtime::Result<()>;

impl Grant {
    const fn new(interfaces: &'static [&'static str], what: &'static str, link: Link) -> Self {
        Self {
            interfaces,
            what,
            needs_context: false,
            link,
        }
    }

    const fn with_context(
        interfaces: &'static [&'static str],
        what: &'static str,
        link: Link,
    ) -> Self {
        Self {
            needs_context: true,
            ..Self::new(interfaces, what, link)
        }
    }

    /// Whether an import, with its version, is one of these.
    fn has(&self, import: &str) -> bool {
        let mut interfaces = self.interfaces.iter();
        interfaces.any(|interface| {
            let rest = import.strip_prefix(interface);
            rest.is_some_and(|rest| {
                if interface.contains('@') {
                    rest.is_empty()
                } else {
                    rest.starts_with(VERSION)
                }
            })
        })
    }
}

const GRANTS: &[Grant] = &[
    Grant::new(
        &[
            "usher:database/types",
            "usher:database/database",
            "usher:database/streaming",
        ],
        "the database",
        |linker| database::add_to_linker(linker, State::database),
    ),
    Grant::new(&["wasi:http/types"], "requests and responses", |linker| {
        wasi_http::add_to_linker(linker, State::http)
    }),
    Grant::new(
        &["wasi:http/outgoing-handler"],
        "every request is denied",
        |linker| wasi_http::add_outgoing_to_linker(linker, State::http),
    ),
    Grant::new(&["wasi:io/error"], "streams", |linker| {
        io::error::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut State| &mut state.table)
    }),
    Grant::new(&["wasi:io/poll"], "streams", |linker| {
        io::poll::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut State| &mut state.table)
    }),
    Grant::new(&["wasi:io/streams"], "streams", |linker| {
        io::streams::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut State| &mut state.table)
    }),
    Grant::new(&["wasi:clocks/monotonic-clock"], "the time", |linker| {
        clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, State::clocks)
    }),
    Grant::new(&["wasi:clocks/wall-clock"], "the time", |linker| {
        clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, State::clocks)
    }),
    Grant::new(&["wasi:random/random"], "random numbers", |linker| {
        random::random::add_to_linker::<_, WasiRandom>(linker, State::random)
    }),
    Grant::new(&["wasi:random/insecure"], "random numbers", |linker| {
        random::insecure::add_to_linker::<_, WasiRandom>(linker, State::random)
    }),
    Grant::new(&["wasi:random/insecure-seed"], "random numbers", |linker| {
        random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, State::random)
    }),
    Grant::new(&[logging::INTERFACE], "lines of the log", |linker| {
        logging::add_to_linker(linker, State::request)
    }),
    Grant::new(
        config::INTERFACES,
        "the values of --component-config and --component-config-file",
        |linker| config::add_to_linker(linker, State::values),
    ),
    Grant::with_context(
        &["wasi:cli/environment"],
        "no variables and no arguments",
        |linker| cli::environment::add_to_linker::<_, WasiCli>(linker, State::cli),
    ),
    Grant::with_context(&["wasi:cli/exit"], "the end of its request", |linker| {
        cli::exit::add_to_linker::<_, WasiCli>(linker, State::cli)
    }),
    Grant::with_context(&["wasi:cli/stdin"], "empty", |linker| {
        cli::stdin::add_to_linker::<_, WasiCli>(linker, State::cli)
    }),
    Grant::with_context(&["wasi:cli/stdout"], "lines of the log", |linker| {
        cli::stdout::add_to_linker::<_, WasiCli>(linker, State::cli)
    }),
    Grant::with_context(&["wasi:cli/stderr"], "lines of the log", |linker| {
        cli::stderr::add_to_linker::<_, WasiCli>(linker, State::cli)
    }),
    Grant::with_context(
        &[
            "wasi:cli/terminal-input",
            "wasi:cli/terminal-output",
            "wasi:cli/terminal-stdin",
            "wasi:cli/terminal-stdout",
            "wasi:cli/terminal-stderr",
        ],
        "no terminal",
        |linker| {
            cli::terminal_input::add_to_linker::<_, WasiCli>(linker, State::cli)?;
            cli::terminal_output::add_to_linker::<_, WasiCli>(linker, State::cli)?;
            cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, State::cli)?;
            cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, State::cli)?;
            cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, State::cli)
        },
    ),
    Grant::with_context(
        &["wasi:filesystem/types", "wasi:filesystem/preopens"],
        "no directory, so no file can be opened",
        |linker| {
            filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, State::filesystem)?;
            filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, State::filesystem)
        },
    ),
    Grant::with_context(
        &[
            "wasi:sockets/network",
            "wasi:sockets/instance-network",
            "wasi:sockets/ip-name-lookup",
            "wasi:sockets/tcp",
            "wasi:sockets/tcp-create-socket",
            "wasi:sockets/udp",
            "wasi:sockets/udp-create-socket",
        ],
        "sockets and names are denied",
        |linker| {
            let options = sockets::network::LinkOptions::default();
            sockets::network::add_to_linker::<_, WasiSockets>(linker, &options, State::sockets)?;
            sockets::instance_network::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
            sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
            sockets::tcp::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
            sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
            sockets::udp::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
            sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(linker, State::sockets)
        },
    ),
];

/// What a component gets by an import, in words; `None` for one that this host does not have.
pub(super) fn what(import: &str) -> Option<&'static str> {
    let found = GRANTS.iter().find(|grant| grant.has(import));
    found.map(|grant| grant.what)
}

/// A package or an interface that components must not import, such as `wasi:clocks` or
/// `wasi:cli/stdout`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedImport(String);

impl DeniedImport {
    /// Whether it denies an import, whose name may have a version.
    fn denies(&self, import: &str) -> bool {
        let rest = import.strip_prefix(self.0.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '@']))
    }
}

/// A name that denies nothing, because this host has no such interface.
#[derive(Clone, Debug)]
pub struct UnknownImport(String);

impl fmt::Display for UnknownImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut packages: Vec<&str> = GRANTS
            .iter()
            .flat_map(|grant| grant.interfaces)
            .filter_map(|interface| interface.split_once('/'))
            .map(|(package, _)| package)
            .collect();
        packages.dedup();
        write!(
            f,
            "{} is no interface that a component can get; the packages are {}",
            self.0,
            packages.join(", ")
        )
    }
}

impl std::error::Error for UnknownImport {}

impl FromStr for DeniedImport {
    type Err = UnknownImport;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let denied = Self(text.trim().to_owned());
        let mut interfaces = GRANTS.iter().flat_map(|grant| grant.interfaces);
        if interfaces.any(|interface| denied.denies(interface)) {
            Ok(denied)
        } else {
            Err(UnknownImport(denied.0))
        }
    }
}

impl fmt::Display for DeniedImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a component is linked with.
pub(super) struct Granted {
    pub(super) linker: Linker<State>,
    /// Whether its instances need a [`crate::wasi::Context`].
    pub(super) needs_context: bool,
}

/// Why a component is not linked.
pub(super) enum Refusal {
    /// It imports this, which the operator denies.
    Denied(String),
    /// The linker failed.
    Linker(wasmtime::Error),
}

/// A linker with what the component imports.
///
/// # Errors
/// If it imports what is denied. What this host does not have is found when the component is
/// instantiated.
pub(super) fn link(
    engine: &Engine,
    component: &Component,
    denied: &[DeniedImport],
) -> Result<Granted, Refusal> {
    let mut linker = Linker::new(engine);
    let mut needs_context = false;
    let ty = component.component_type();
    let imports: Vec<&str> = ty.imports(engine).map(|(name, _)| name).collect();
    let is_denied = |import: &&&str| denied.iter().any(|denied| denied.denies(import));
    if let Some(import) = imports.iter().find(is_denied) {
        return Err(Refusal::Denied((*import).to_owned()));
    }
    for grant in GRANTS {
        if imports.iter().any(|import| grant.has(import)) {
            (grant.link)(&mut linker).map_err(Refusal::Linker)?;
            needs_context |= grant.needs_context;
        }
    }
    Ok(Granted {
        linker,
        needs_context,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_package_denies_its_interfaces_and_no_other_package() {
        let denied: DeniedImport = "wasi:cli".parse().expect("a package");
        assert!(denied.denies("wasi:cli/stdout@0.2.12"));
        assert!(!denied.denies("wasi:clocks/wall-clock@0.2.12"));
        let denied: DeniedImport = "wasi:cli/stdout".parse().expect("an interface");
        assert!(denied.denies("wasi:cli/stdout@0.2.12"));
        assert!(!denied.denies("wasi:cli/stderr@0.2.12"));
        let denied: DeniedImport = "wasi:logging".parse().expect("a package");
        assert!(denied.denies("wasi:logging/logging@0.1.0-draft"));
        for unknown in ["wasi:cl", "wasi:gpu", "", "wasi:cli/stdou"] {
            let error = unknown.parse::<DeniedImport>().expect_err(unknown);
            assert!(error.to_string().contains("wasi:cli, "), "{error}");
        }
    }

    #[test]
    fn import_of_another_version_is_not_granted() {
        assert_eq!(what("wasi:cli/stdout@0.2.0"), Some("lines of the log"));
        assert_eq!(what("wasi:cli/stdout@0.3.0"), None);
        assert_eq!(what("wasi:cli/stdout"), None);
        assert_eq!(what("wasi:http/incoming-handler@0.2.0"), None);
        for version in ["rc.1", "draft", "draft-2024-09-27"] {
            assert!(what(&format!("wasi:config/store@0.2.0-{version}")).is_some());
        }
        assert_eq!(what("wasi:config/store@0.2.0"), None);
        let drafted = "wasi:logging/logging@0.1.0-draft";
        assert_eq!(what(drafted), Some("lines of the log"));
        for other in [
            "",
            "@0.1.0",
            "@0.1.0-draft2",
            "@0.2.0",
            "@0.1.0-draft@0.2.0",
        ] {
            assert_eq!(what(&format!("wasi:logging/logging{other}")), None);
        }
    }
}
