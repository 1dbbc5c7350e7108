//! The guest's ssh server, with OpenSSH's own client on loopback, as whoever runs the tests.

mod abuse;
mod ends;
mod forwarding;
mod fuzz;
mod fuzz_session;
mod lab;
mod logins;
mod memory;
mod raw;
mod sessions;
