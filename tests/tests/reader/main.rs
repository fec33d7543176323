//! What we write, read by a program that shares no code with us.

#[cfg(test)]
mod independent;
