//! PostgreSQL's own parser, so that what is checked is what the server will run.
//!
//! It is libpg_query, which is PostgreSQL 18's scanner and grammar in C, compiled to WebAssembly
//! (`host/assets/libpg-query`). It reads what an untrusted component wrote, so it runs in a sandbox
//! too: no imports but those that C's `longjmp` needs, a memory that does not grow, a bounded
//! stack, and fuel. Each statement gets an instance of its own, so that none can leave anything
//! behind for the next.
//!
//! What cannot be parsed within these bounds is refused.

use std::sync::OnceLock;

use wasmtime::{
    AsContextMut as _, Caller, Engine, Extern, ExternType, Func, Instance, InstancePre, Linker,
    Module, Store, StoreLimits, StoreLimitsBuilder, Trap, TypedFunc, Val,
};

use super::engine;
use super::tree::Tree;

/// The parser, compiled ahead of time for every processor of this architecture.
#[cfg(feature = "embedded")]
static PARSER_COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libpg-query.cwasm"));

/// What the compiler of the module has made of the names of its exports. They belong to the file's
/// checksum in `CHECKSUMS`.
mod exports {
    pub(super) const MEMORY: &str = "z";
    pub(super) const TABLE: &str = "D";
    pub(super) const INITIALIZE: &str = "A";
    pub(super) const ALLOCATE: &str = "C";
    pub(super) const PARSE: &str = "F";
    pub(super) const SET_THREW: &str = "P";
    pub(super) const STACK_RESTORE: &str = "Q";
    pub(super) const STACK_POINTER: &str = "R";
}

/// The memory that the module begins with, a fourth of it its stack. It gets no more.
const MEMORY_BYTES: usize = 128 << 20;

/// For one statement. A statement of 256 KiB takes about a tenth of it.
const FUEL: u64 = 20_000_000_000;

/// The tree of a statement as text. The largest useful one, a thousand rows of a hundred values,
/// has about 10 MiB.
const TREE_BYTES: usize = 16 << 20;

/// Why there is no tree.
#[derive(Debug)]
pub(crate) enum ParseError {
    /// PostgreSQL's parser says no, in its own words.
    Syntax(String),
    /// It is too much for the parser's bounds.
    TooComplex,
    /// The parser does not work on this machine. The text says why.
    Unusable(String),
}

/// The statements of a text as PostgreSQL's parser sees them.
pub(crate) fn parse(text: &str) -> Result<Tree, ParseError> {
    static PARSER: OnceLock<Result<Parser, String>> = OnceLock::new();
    let parser = PARSER.get_or_init(|| Parser::new().map_err(|error| format!("{error:#}")));
    match parser {
        Ok(parser) => parser.parse(text),
        Err(why) => Err(ParseError::Unusable(why.clone())),
    }
}

struct Parser {
    instance: InstancePre<StoreLimits>,
}

/// What `longjmp` unwinds the stack with, up to the call that the matching `setjmp` is in.
#[derive(Debug)]
struct LongJump;

impl std::fmt::Display for LongJump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a jump out of the parser")
    }
}

impl std::error::Error for LongJump {}

impl Parser {
    fn new() -> wasmtime::Result<Self> {
        let engine = engine::running()?;
        let module = compiled(&engine)?;
        let mut linker = Linker::new(&engine);
        for import in module.imports() {
            let (name, module) = (import.name().to_owned(), import.module().to_owned());
            let ExternType::Func(ty) = import.ty() else {
                wasmtime::bail!("the parser imports {module}.{name}, which is no function");
            };
            match name.as_str() {
                // Calls through the table that a `setjmp` may be waiting behind.
                "a" | "b" | "d" | "e" | "f" | "g" | "h" | "i" | "j" | "k" | "l" | "n" | "y" => {
                    linker.func_new(&module, &name, ty, invoke)?;
                }
                "p" => {
                    linker.func_new(&module, &name, ty, |_, _, _| Err(LongJump.into()))?;
                }
                // An assertion, abort, and two kinds of exit.
                "c" | "x" | "m" | "v" => {
                    linker.func_new(&module, &name, ty, |_, _, _| {
                        Err(wasmtime::format_err!("the parser gave up"))
                    })?;
                }
                // A larger memory, timers, files: there are none.
                _ => {
                    linker.func_new(&module, &name, ty, |_, _, results| {
                        if let Some(result) = results.first_mut() {
                            *result = Val::I32(0);
                        }
                        Ok(())
                    })?;
                }
            }
        }
        Ok(Self {
            instance: linker.instantiate_pre(&module)?,
        })
    }

    fn parse(&self, text: &str) -> Result<Tree, ParseError> {
        let outcome = self.run(text).map_err(|error| {
            if error.is::<Trap>() || error.is::<LongJump>() {
                ParseError::TooComplex
            } else {
                ParseError::Unusable(format!("{error:#}"))
            }
        })?;
        match outcome {
            Outcome::Tree(json) => Tree::read(&json).ok_or(ParseError::TooComplex),
            Outcome::TooLarge => Err(ParseError::TooComplex),
            Outcome::Error(message) => Err(ParseError::Syntax(message)),
        }
    }

    fn run(&self, text: &str) -> wasmtime::Result<Outcome> {
        let limits = StoreLimitsBuilder::new().memory_size(MEMORY_BYTES).build();
        let mut store = Store::new(self.instance.module().engine(), limits);
        store.limiter(|limits| limits);
        store.set_fuel(FUEL)?;
        let instance = self.instance.instantiate(&mut store)?;
        let initialize: TypedFunc<(), ()> =
            instance.get_typed_func(&mut store, exports::INITIALIZE)?;
        initialize.call(&mut store, ())?;
        let allocate: TypedFunc<i32, i32> =
            instance.get_typed_func(&mut store, exports::ALLOCATE)?;
        let place = allocate.call(&mut store, i32::try_from(text.len() + 1)?)?;
        if place == 0 {
            return Ok(Outcome::TooLarge);
        }
        let memory = Memory::of(&mut store, &instance)?;
        memory.write(&mut store, place, text.as_bytes())?;
        let parse: TypedFunc<i32, i32> = instance.get_typed_func(&mut store, exports::PARSE)?;
        let result = parse.call(&mut store, place)?;
        // `PgQueryParseResult` is the tree, what was written to standard error, and the error,
        // whose first field is its message.
        let error = memory.pointer(&store, result, 8)?;
        if error != 0 {
            let message = memory.pointer(&store, error, 0)?;
            let message = memory.text(&store, message, 1 << 10)?;
            return Ok(Outcome::Error(
                String::from_utf8_lossy(message.unwrap_or_default()).into_owned(),
            ));
        }
        let tree = memory.pointer(&store, result, 0)?;
        match memory.text(&store, tree, TREE_BYTES)? {
            Some(json) => Ok(Outcome::Tree(String::from_utf8(json.to_vec())?)),
            None => Ok(Outcome::TooLarge),
        }
    }
}

enum Outcome {
    Tree(String),
    TooLarge,
    Error(String),
}

#[derive(Clone, Copy)]
struct Memory(wasmtime::Memory);

impl Memory {
    fn of(store: &mut Store<StoreLimits>, instance: &Instance) -> wasmtime::Result<Self> {
        instance
            .get_memory(store, exports::MEMORY)
            .map(Self)
            .ok_or_else(|| wasmtime::format_err!("the parser exports no memory"))
    }

    /// Writes bytes with a zero behind them.
    fn write(self, store: &mut Store<StoreLimits>, at: i32, bytes: &[u8]) -> wasmtime::Result<()> {
        let at = usize::try_from(at)?;
        self.0.write(&mut *store, at, bytes)?;
        self.0.write(&mut *store, at + bytes.len(), &[0])?;
        Ok(())
    }

    fn pointer(self, store: &Store<StoreLimits>, at: i32, offset: usize) -> wasmtime::Result<i32> {
        let mut bytes = [0; 4];
        self.0
            .read(store, usize::try_from(at)? + offset, &mut bytes)?;
        Ok(i32::from_le_bytes(bytes))
    }

    /// The bytes up to the next zero, unless there are more than so many.
    fn text(
        self,
        store: &Store<StoreLimits>,
        at: i32,
        limit: usize,
    ) -> wasmtime::Result<Option<&[u8]>> {
        let rest = self.0.data(store).get(usize::try_from(at)?..);
        let rest = rest.ok_or_else(|| wasmtime::format_err!("a pointer out of the memory"))?;
        let rest = rest.get(..limit).unwrap_or(rest);
        let end = rest.iter().position(|&byte| byte == 0);
        Ok(end.and_then(|end| rest.get(..end)))
    }
}

/// Calls the function of the table that the first parameter says, with the others. A jump out of it
/// ends here: the stack pointer is as before, and the module is told to look for the `setjmp` that
/// is meant.
fn invoke(
    mut caller: Caller<'_, StoreLimits>,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let missing = || wasmtime::format_err!("the parser calls what is not there");
    let (index, params) = params.split_first().ok_or_else(missing)?;
    let index = u64::try_from(index.i32().ok_or_else(missing)?)?;
    let Some(Extern::Table(table)) = caller.get_export(exports::TABLE) else {
        return Err(missing());
    };
    let function = table.get(&mut caller, index).ok_or_else(missing)?;
    let function: Func = *function.unwrap_func().ok_or_else(missing)?;
    let pointer = exported::<(), i32>(&mut caller, exports::STACK_POINTER)?;
    let before = pointer.call(&mut caller, ())?;
    let outcome = function.call(&mut caller, params, results);
    let Err(error) = outcome else { return Ok(()) };
    if !error.is::<LongJump>() {
        return Err(error);
    }
    let restore = exported::<i32, ()>(&mut caller, exports::STACK_RESTORE)?;
    restore.call(&mut caller, before)?;
    let threw = exported::<(i32, i32), ()>(&mut caller, exports::SET_THREW)?;
    threw.call(&mut caller, (1, 0))?;
    let ty = function.ty(&caller);
    for (result, ty) in results.iter_mut().zip(ty.results()) {
        *result = Val::default_for_ty(&ty).ok_or_else(missing)?;
    }
    Ok(())
}

fn exported<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
    caller: &mut Caller<'_, StoreLimits>,
    name: &str,
) -> wasmtime::Result<TypedFunc<P, R>> {
    let Some(Extern::Func(function)) = caller.get_export(name) else {
        wasmtime::bail!("the parser does not export {name}");
    };
    function.typed(caller.as_context_mut())
}

/// The parser, as compiled at build time.
#[cfg(feature = "embedded")]
#[expect(
    unsafe_code,
    reason = "loading machine code is unsafe; see the safety argument inside"
)]
fn compiled(engine: &Engine) -> wasmtime::Result<Module> {
    // SAFETY: `deserialize` runs the bytes as machine code, so they must come from the compiler
    // unchanged. These were written by this crate's own build script and are part of this
    // executable's read-only data.
    unsafe { Module::deserialize(engine, PARSER_COMPILED) }
}

/// There is none in a build that has no compiler for it.
#[cfg(not(feature = "embedded"))]
fn compiled(_: &Engine) -> wasmtime::Result<Module> {
    wasmtime::bail!(
        "this program was built without it; build it with the feature `embedded`, or use SQLite"
    )
}
