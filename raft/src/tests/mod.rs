//! Tests of whole replicas in one process, where a test must reach into the store or the machine.
//! What a user could do to real processes is tested in `node/tests`.

mod leader_restore;
mod lost_purge;
mod scene;
mod ticks;
mod upgrade;
