//! fly turns a `fly.yml` into running machines: Docker containers with network cards, addresses and names of their own.
//!
//! This page is the map. Start reading at [`plan::plan`]: it is the whole story in one screen.
//!
//! # One way through
//!
//! ```text
//! fly.yml ─spec::parse→ Spec ─desired::resolve→ Desired ┐
//!                                                       ├ diff → Changes ─plan→ Plan ─apply→ Report ─verify→ the same diff is empty
//! engine ┐                                              │
//! net    ┴observe→ Actual ──────────────────────────────┘
//! ```
//!
//! `up` is all of it, `plan` stops at the plan, `down` is the same with [`desired::Desired::emptied`]. First deployment, change and
//! removal are one path: a diff against nothing, against something, towards nothing.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | spec | the file as written; every value keeps its place |
//! | desired | everything decided: defaults in, names checked, addresses allocated |
//! | actual | one snapshot of the world, as engine and kernel told it |
//! | addr | the one name of a resource: `machine/web`, `nic/web:eth1`, `network/lan` |
//! | change | what is done to one resource, with its fields, reason and impact |
//! | step | one boundary call, with what it waits for and why it is done |
//! | review | a plan as its readers get it: machine by machine, the worst first; every rendering shows this one document |
//! | boundary | [`engine`] (Docker) and [`net`] (the kernel): `observe` and `perform`, each with a fake |
//! | machine, NIC, cable | a container, a network card in it, a veth between two machines |
//!
//! # Layers
//!
//! A module uses only what stands above it in this list; `tests/fast/layers.rs` holds the table.
//!
//! | module | may use |
//! |---|---|
//! | [`types`], [`diag`] | nothing |
//! | [`spec`] | types, diag |
//! | [`desired`] | spec, types, diag |
//! | [`engine`], [`net`] | types; the engine also diag, for what was meant |
//! | [`actual`] | engine, net, types |
//! | [`graph`] | desired, types: the project as a picture |
//! | [`diff`] | desired, actual and what they are made of |
//! | [`plan`] | diff, and the operations of both boundaries |
//! | [`observe`], [`apply`], [`verify`] | all of these |
//! | [`ideal`] | plan, and what it is made of: the world that a file would leave behind |
//! | [`agent`] | observe, engine, net: fly beside the engine; the planner is none of its business |
//! | [`lock`] | types, diag |
//! | [`beneath`] | types: files of one folder, and no way out of it |
//! | [`revision`] | beneath, types: files as they were in a git revision; git is never run |
//! | [`archive`] | nothing: files into a tar stream and out of one |
//! | [`fake`] | engine, net, types: a small world for the fast tests, with faults to order |
//! | [`guest`] | types; nothing uses it but `main` |
//! | [`cli`] | everything; nothing uses it |
//!
//! # Invariants
//!
//! - From the spec to the plan everything is pure: no I/O, no clock, no randomness, no environment, no `async`. The same input gives
//!   the same bytes.
//! - The executor decides nothing: it runs exactly the steps that were printed.
//! - Every operation is idempotent: what is done already is success. So a run that was cut off is put right by running again.
//! - What is ours is known by marks that the resource itself bears, never by a state file: for the engine's objects a label, a
//!   deterministic name and an image that does not bear the label; for links of the host a deterministic name, link group, MAC prefix
//!   and alias. Whatever lacks them is not touched.
//! - Labels are never compared with what can change live: the attributes themselves are.
//! - `Container` and `Link` are one type on both sides, and the diff takes them apart exhaustively: a new field that is not compared
//!   does not compile.
//! - Only `engine/docker` names bollard, only `net/kernel` names netlink crates, only [`cli`] prints, prompts or reads the environment
//!   (the [`guest`] is a program of its own in the machine: it has its own log, and an environment to hand on).
//!
//! # Where the surprises are
//!
//! Comments stand where the kernel or the engine does something that nobody would expect: `net/kernel` (namespaces, births in the
//! right place, addresses that vanish), `engine/docker` (names that the engine remembers, limits that cannot be taken back), and
//! `diff/tolerance` (how an image shows through a container).

pub mod actual;
pub mod agent;
pub mod apply;
pub mod archive;
pub mod beneath;
pub mod cli;
pub mod desired;
pub mod diag;
pub mod diff;
pub mod engine;
#[doc(hidden)]
pub mod fake;
pub mod graph;
pub mod guest;
pub mod ideal;
pub mod lock;
pub mod net;
pub mod observe;
pub mod plan;
pub mod revision;
pub mod spec;
pub mod types;
pub mod verify;
