//! The guest's sftp server: with OpenSSH's own clients, and packet by packet with one of our own.
//!
//! The clients' option `-D` runs a server without any ssh. What they did is then read from the file system, not from them.

mod client;
mod extensions;
mod fuzz;
mod names;
mod openssh;
mod place;
mod protocol;
