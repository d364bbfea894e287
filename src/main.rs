//! The `admf` program.

fn main() {}
