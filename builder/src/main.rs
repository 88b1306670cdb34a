//! Sealift.
fn main() {}
