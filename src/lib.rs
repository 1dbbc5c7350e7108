pub mod actual;
pub mod apply;
pub mod desired;
pub mod diag;
pub mod diff;
pub mod engine;
#[doc(hidden)]
pub mod fake;
pub mod net;
pub mod observe;
pub mod plan;
pub mod spec;
pub mod types;
