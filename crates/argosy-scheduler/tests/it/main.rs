//! Plans: scripts, an exhaustive oracle, and what must hold for every plan.

mod cluster;
mod oracle;
mod properties;
mod scripts;
