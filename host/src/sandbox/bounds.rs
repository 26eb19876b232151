//! Bounds on a component, checked before it is compiled.
//!
//! A small file can describe more instances than any machine holds, because nested components
//! multiply wherever they are instantiated. The check counts what compiling and instantiating the
//! file would create, without creating it. A component beyond a bound is refused.

use std::fmt;

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, Encoding, Instance, Parser, Payload,
};

/// The size of the file. The service's is a fiftieth of it.
pub(crate) const FILE: usize = 64 << 20;

/// Core modules and nested components, as the file defines them.
const DEFINED: u64 = 500;

/// Instances of core modules and components in one instance of the component.
const INSTANCES: u64 = 1000;

/// Levels of nested components.
const DEPTH: usize = 20;

/// Types, imports, exports and aliases, as the file defines them.
const ITEMS: u64 = 100_000;

/// Functions of all core modules.
const FUNCTIONS: u64 = 200_000;

/// The bound that a component exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// More of something than this number.
    Count(&'static str, u64),
    /// A component that is imported or passed on, whose instances cannot be counted.
    ComponentAsValue,
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(what, most) => {
                write!(f, "it has more than {most} {what}")
            }
            Self::ComponentAsValue => {
                f.write_str("it imports or passes on a component; a service must be self-contained")
            }
        }
    }
}

/// A component or core module that is being read.
#[derive(Default)]
struct Scope {
    /// For each component in its index space, the number of instances in one instance of it.
    components: Vec<u64>,
    /// The number of instances in one instance of this component.
    instances: u64,
    is_component: bool,
}

/// The counts so far.
#[derive(Default)]
struct Counts {
    defined: u64,
    items: u64,
    functions: u64,
}

fn most(count: u64, most: u64, what: &'static str) -> Result<(), Beyond> {
    if count > most {
        return Err(Beyond::Count(what, most));
    }
    Ok(())
}

/// Checks a component. Errors other than exceeded bounds are left to the compiler.
///
/// # Errors
/// If the component exceeds a bound.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Beyond> {
    most(bytes.len() as u64, FILE as u64, "bytes")?;
    let mut counts = Counts::default();
    let mut scopes: Vec<Scope> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        // The compiler reports the same parse error with its position.
        let Ok(payload) = payload else { return Ok(()) };
        if read(payload, &mut scopes, &mut counts)?.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

/// Counts one payload. `None` if it is invalid, which the compiler reports.
fn read(
    payload: Payload<'_>,
    scopes: &mut Vec<Scope>,
    counts: &mut Counts,
) -> Result<Option<()>, Beyond> {
    if let Payload::Version { encoding, .. } = &payload {
        counts.defined += 1;
        most(counts.defined, DEFINED, "modules and components in it")?;
        scopes.push(Scope {
            instances: 1,
            is_component: *encoding == Encoding::Component,
            ..Scope::default()
        });
        most(
            scopes.len() as u64,
            DEPTH as u64,
            "levels of components in one another",
        )?;
        return Ok(Some(()));
    }
    let items = |counts: &mut Counts, count: u32| {
        counts.items += u64::from(count);
        most(counts.items, ITEMS, "types, imports and exports")
    };
    match payload {
        Payload::End(_) => {
            let Some(ended) = scopes.pop() else {
                return Ok(None);
            };
            if let Some(parent) = scopes.last_mut()
                && ended.is_component
            {
                parent.components.push(ended.instances);
            }
        }
        Payload::FunctionSection(section) => {
            counts.functions += u64::from(section.count());
            most(counts.functions, FUNCTIONS, "functions")?;
        }
        Payload::InstanceSection(section) => {
            for instance in section {
                let Ok(instance) = instance else {
                    return Ok(None);
                };
                if let Instance::Instantiate { .. } = instance {
                    instantiate(scopes, 1)?;
                }
            }
        }
        Payload::ComponentInstanceSection(section) => {
            for instance in section {
                let Ok(instance) = instance else {
                    return Ok(None);
                };
                let made = match instance {
                    ComponentInstance::Instantiate {
                        component_index, ..
                    } => match cost(scopes, component_index) {
                        Some(made) => made,
                        None => return Ok(None),
                    },
                    ComponentInstance::FromExports(_) => 1,
                };
                instantiate(scopes, made)?;
            }
        }
        Payload::ComponentAliasSection(section) => {
            items(counts, section.count())?;
            for alias in section {
                match alias {
                    Ok(ComponentAlias::InstanceExport {
                        kind: ComponentExternalKind::Component,
                        ..
                    }) => return Err(Beyond::ComponentAsValue),
                    Ok(ComponentAlias::Outer {
                        kind: ComponentOuterAliasKind::Component,
                        count,
                        index,
                    }) => {
                        let outer = scopes.len().checked_sub(1 + count as usize);
                        let known = outer.and_then(|outer| scopes.get(outer));
                        let known = known.and_then(|outer| outer.components.get(index as usize));
                        let Some(known) = known.copied() else {
                            return Ok(None);
                        };
                        push(scopes, known);
                    }
                    Ok(_) => {}
                    Err(_) => return Ok(None),
                }
            }
        }
        Payload::ComponentImportSection(section) => {
            items(counts, section.count())?;
            for import in section {
                let Ok(import) = import else { return Ok(None) };
                if let ComponentTypeRef::Component(_) = import.ty {
                    return Err(Beyond::ComponentAsValue);
                }
            }
        }
        Payload::ComponentExportSection(section) => {
            items(counts, section.count())?;
            for export in section {
                let Ok(export) = export else { return Ok(None) };
                if export.kind == ComponentExternalKind::Component {
                    match cost(scopes, export.index) {
                        Some(known) => push(scopes, known),
                        None => return Ok(None),
                    }
                }
            }
        }
        Payload::ComponentTypeSection(section) => items(counts, section.count())?,
        Payload::CoreTypeSection(section) => items(counts, section.count())?,
        Payload::TypeSection(section) => items(counts, section.count())?,
        Payload::ImportSection(section) => items(counts, section.count())?,
        Payload::ExportSection(section) => items(counts, section.count())?,
        Payload::ComponentCanonicalSection(section) => items(counts, section.count())?,
        _ => {}
    }
    Ok(Some(()))
}

fn cost(scopes: &[Scope], component: u32) -> Option<u64> {
    scopes.last()?.components.get(component as usize).copied()
}

fn push(scopes: &mut [Scope], component: u64) {
    if let Some(scope) = scopes.last_mut() {
        scope.components.push(component);
    }
}

/// Adds instances to the component that is being read.
fn instantiate(scopes: &mut [Scope], made: u64) -> Result<(), Beyond> {
    let Some(scope) = scopes.last_mut() else {
        return Ok(());
    };
    scope.instances = scope.instances.saturating_add(made);
    most(scope.instances, INSTANCES, "instances")
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        Component, ComponentAliasSection, ComponentExportKind, ComponentInstanceSection,
        ComponentOuterAliasKind, ComponentTypeRef, ComponentTypeSection, Module, ModuleSection,
        NestedComponentSection,
    };

    use super::*;
    use crate::sandbox::Source;

    /// A component that contains another and instantiates it `times` times.
    fn around(inner: &Component, times: u32) -> Component {
        let mut outer = Component::new();
        outer.section(&NestedComponentSection(inner));
        let mut instances = ComponentInstanceSection::new();
        for _ in 0..times {
            instances.instantiate::<_, &str>(0, []);
        }
        outer.section(&instances);
        outer
    }

    fn beyond(component: &Component) -> &'static str {
        match check(component.as_slice()) {
            Err(Beyond::Count(what, _)) => what,
            Err(Beyond::ComponentAsValue) => "component as value",
            Ok(()) => "nothing",
        }
    }

    #[test]
    fn embedded_service_is_within_bounds() {
        let bytes = Source::Embedded.bytes().expect("it is embedded");
        assert_eq!(check(&bytes), Ok(()));
    }

    #[test]
    fn instances_that_double_at_each_level_are_refused() {
        let mut component = Component::new();
        for _ in 0..15 {
            component = around(&component, 2);
        }
        assert!(component.as_slice().len() < 1300);
        assert_eq!(beyond(&component), "instances");
    }

    #[test]
    fn instances_that_double_by_aliases_in_one_level_are_refused() {
        // Each component instantiates the previous one twice, through an alias.
        let mut outer = Component::new();
        outer.section(&NestedComponentSection(&Component::new()));
        for before in 0..25 {
            let mut inner = Component::new();
            let mut aliases = ComponentAliasSection::new();
            aliases.alias(wasm_encoder::Alias::Outer {
                kind: ComponentOuterAliasKind::Component,
                count: 1,
                index: before,
            });
            inner.section(&aliases);
            let mut instances = ComponentInstanceSection::new();
            instances.instantiate::<_, &str>(0, []);
            instances.instantiate::<_, &str>(0, []);
            inner.section(&instances);
            outer.section(&NestedComponentSection(&inner));
        }
        assert_eq!(beyond(&outer), "instances");
    }

    #[test]
    fn component_that_exports_itself_again_is_counted() {
        let mut outer = Component::new();
        let mut inner = Component::new();
        inner.section(&ModuleSection(&Module::new()));
        outer.section(&NestedComponentSection(&around(&inner, 900)));
        let mut exports = wasm_encoder::ComponentExportSection::new();
        exports.export("again", ComponentExportKind::Component, 0, None);
        outer.section(&exports);
        let mut instances = ComponentInstanceSection::new();
        instances.instantiate::<_, &str>(1, []);
        instances.instantiate::<_, &str>(1, []);
        outer.section(&instances);
        assert_eq!(beyond(&outer), "instances");
    }

    #[test]
    fn many_modules_or_deep_nesting_are_refused() {
        let mut many = Component::new();
        for _ in 0..=DEFINED {
            many.section(&ModuleSection(&Module::new()));
        }
        assert_eq!(beyond(&many), "modules and components in it");
        let mut deep = Component::new();
        for _ in 0..DEPTH {
            deep = around(&deep, 1);
        }
        assert_eq!(beyond(&deep), "levels of components in one another");
    }

    #[test]
    fn imported_component_is_refused() {
        let mut component = Component::new();
        let mut types = ComponentTypeSection::new();
        types.component(&wasm_encoder::ComponentType::new());
        component.section(&types);
        let mut imports = wasm_encoder::ComponentImportSection::new();
        imports.import("x", ComponentTypeRef::Component(0));
        component.section(&imports);
        assert_eq!(beyond(&component), "component as value");
    }

    #[test]
    fn many_types_are_refused() {
        let mut component = Component::new();
        let mut types = ComponentTypeSection::new();
        for _ in 0..=ITEMS {
            types
                .defined_type()
                .primitive(wasm_encoder::PrimitiveValType::Bool);
        }
        component.section(&types);
        assert_eq!(beyond(&component), "types, imports and exports");
    }

    #[test]
    fn invalid_or_truncated_component_is_left_to_the_compiler() {
        assert_eq!(check(b"no component"), Ok(()));
        assert_eq!(check(b""), Ok(()));
        let bytes = around(&Component::new(), 1);
        for end in 0..bytes.as_slice().len() {
            assert_eq!(check(&bytes.as_slice()[..end]), Ok(()));
        }
    }
}
