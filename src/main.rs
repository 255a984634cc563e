//! The binary: arguments, command, exit code; nothing else.

fn main() {}
