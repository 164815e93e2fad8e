//! The leader and the agents together, over a real registry and simulated backends.

#[cfg(test)]
mod disks;
#[cfg(test)]
mod doubts;
mod rules;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod starts;
#[cfg(test)]
mod texts;
#[cfg(test)]
mod world;
