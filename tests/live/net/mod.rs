//! The network plane on the real kernel, in namespaces of the tests' own.

mod carried;
mod change;
mod churn;
mod create;
mod machine;
mod speed;
mod world;
