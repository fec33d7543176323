//! The convoy daemon: `convoyd` is `convoy daemon` under its own name.

fn main() {}
