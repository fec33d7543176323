//! The whole, from outside: helpers for the tests that run in the lab.
