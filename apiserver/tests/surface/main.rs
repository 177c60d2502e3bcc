//! The REST surface over real sockets, as clients meet it.

mod harness;

mod access;
mod crud;
mod lists;
mod overload;
mod refusals;
mod watches;
