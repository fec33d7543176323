//! The volume plugin as engines speak to it: the real plugin, engine and catalog over models of the kernel and the
//! machine. Needs no privileges.

#[cfg(test)]
mod caller;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod control;
#[cfg(test)]
mod desk;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod pitfalls;
#[cfg(test)]
mod restores;
#[cfg(test)]
mod traffic;
#[cfg(test)]
mod trash;
