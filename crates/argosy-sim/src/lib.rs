//! Whole stores and clusters in one thread from one seed, with faults and checkers.
