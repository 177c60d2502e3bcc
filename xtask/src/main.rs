//! One command for developers.

fn main() {}
