//! The fast tests: no privileges, no engine, under a minute.

mod layers;
