//! Tests of the log store on real files.

mod suite;
