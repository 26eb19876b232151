//! Usher from outside: its program, its HTTP, its test fixture, its databases.
//!
//! | module | what it tests |
//! |---|---|
//! | `contract` | every recorded case of the HTTP contract, on each database |
//! | `seed` | the three tests of the FastAPI service |
//! | `kit` | the test kit itself: requests, expectations, databases, what a test costs |
//! | `tutorial` | the examples of `docs/testing.md` |
//! | `fault_walk` | every database call of every route failed in every way |
//! | `crud`, `listing`, `preconditions` | writes, pages and entity tags, on each database |
//! | `ndjson` | lists of all users as NDJSON, on each database |
//! | `files` | an SQLite file that is moved, replaced or removed while the program runs |
//! | `file_crash` | the program is killed under load on an SQLite file |
//! | `cut` | a truncated response differs from a complete one |
//! | `slow` | clients that read slowly or not at all, over real TCP |
//! | `raw_http`, `raw_table` | HTTP/1.x byte by byte |
//! | `sockets` | what only real connections show |
//! | `listeners` | where the server listens |
//! | `proxies` | behind a proxy |
//! | `tls`, `http2` | TLS and HTTP/2, by clients that others wrote |
//! | `http2_table` | HTTP/2 frame by frame |
//! | `sizes` | lists with users of any size |
//! | `volume` | the memory that long lists take |
//! | `typed` | the same users by typed calls, without HTTP |
//! | `race` | many clients at once |
//! | `group_commit` | several writes in one transaction |
//! | `conformance` | `usher:database`, from inside the sandbox, on each database |
//! | `declared` | a component runs only the statements that it declares |
//! | `attacks` | a hostile component on PostgreSQL changes nothing |
//! | `beside` | the whole program under load beside a hostile component |
//! | `isolation` | one request that misbehaves, in each way, beside ordinary load |
//! | `command_line` | options, environment, configuration file, and help |
//! | `new` | `usher new` |
//! | `notes` | the service in `examples/notes` |
//! | `backup` | `usher backup` and `usher restore` |
//! | `options` | limits on the command line, and metrics |
//! | `recording` | recorded requests, and their replay without a database |
//! | `replacement` | another component in the place of the one that is served |
//! | `access` | tokens, their scopes, and the pages of other sites |
//! | `jwt` | JSON Web Tokens: attacks on them, their keys, and what the component is told |
//! | `access_log` | a line for each request, its id, and no personal data in any line |
//! | `metrics` | the page of metrics, and how many series clients can make |
//! | `scripted` | the service over scripted rows, faults and delays |
//! | `architecture` | imports between source files, and the tables of modules |
//! | `documents` | links and paths in the documents exist |
//! | `package` | what a component says of itself, and `usher wit` |
//! | `wit` | the WIT packages: versions, compatibility with what was released, documents |
//! | `words` | no line over 100 columns, no word that the glossary replaces |
//! | `guarantees` | the tests that `docs/` names exist |
//! | `packed` | rows that a component asks for in one value |
//! | `transactions` | abandoned transactions are rolled back |
//! | `abandoned` | thousands of abandoned transactions at once, under load |
//! | `component` | the component's imports, exports and reproducible build |
//! | `standard_library` | a component that uses Rust's whole standard library |
//! | `startup` | how the program starts, fails to start, and ends |
//! | `lifecycle` | how the program drains: no request is lost |
//! | `outage` | the database is late, lost, refuses, and returns |
//! | `session_state` | what remains in a session between two uses |
//! | `reach` | which PostgreSQL server is used, by which URL, and errors if none can be reached |
//! | `sessions` | PostgreSQL sessions: TLS, name, number, lifetime, cancelled statements |
//! | `poolers` | connection poolers |
//! | `readiness` | `/ready` and log lines about the database |
//! | `migrations` | migrations and their errors |
//! | `adoption` | adoption of a table of users that another program created |
//! | `limits` | limits on requests |
//! | `connection_memory` | the memory of idle and slow connections |
//! | `cost` | memory and processor time of one request, and response heads |
//! | `faults` | log lines of responses 500 |
//! | `overload` | more requests than permits, and slow clients |
//! | `mixed` | good and bad requests at once, for long |
//! | `memory` | the cost of a memory database per test |

mod abandoned;
mod access;
mod access_log;
mod adoption;
mod architecture;
mod attacks;
mod backup;
mod beside;
mod command_line;
mod component;
mod conformance;
mod connection_memory;
mod contract;
mod cost;
mod crud;
mod cut;
mod databases;
mod declared;
mod documents;
mod drafts;
mod fault_walk;
mod faults;
mod file_crash;
mod files;
mod group_commit;
mod guarantees;
mod http2;
mod http2_table;
mod idle;
mod isolation;
mod jwt;
mod kit;
mod lifecycle;
mod limits;
mod listeners;
mod listing;
mod memory;
mod metrics;
mod migrations;
mod mixed;
mod ndjson;
mod new;
#[path = "../../../examples/notes/tests/notes.rs"]
mod notes;
mod options;
mod outage;
mod overload;
mod package;
mod packed;
mod poolers;
mod preconditions;
mod proxies;
mod race;
mod raw_http;
mod raw_table;
mod reach;
mod readiness;
mod recording;
mod replacement;
mod scripted;
mod seed;
mod service;
mod session_state;
mod sessions;
mod sizes;
mod slow;
mod sockets;
mod standard_library;
mod startup;
mod tls;
mod transactions;
mod tutorial;
mod typed;
mod volume;
mod wit;
mod words;
