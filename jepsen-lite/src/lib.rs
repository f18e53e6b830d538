//! Runs a real flashnode cluster under faults, records what its clients saw, and decides whether
//! that history is linearizable.

pub use checker;
pub mod aside;
pub mod cluster;
pub mod coverage;
pub mod mutants;
pub mod nemesis;
pub mod proxy;
pub mod recorder;
pub mod report;
pub mod run;
pub mod workload;
