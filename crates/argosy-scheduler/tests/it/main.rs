//! Plans: scripts, an exhaustive oracle, limits, and what must hold for every plan.

#[cfg(test)]
mod checker;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod standby;
