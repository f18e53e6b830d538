//! [`super::Mutant::FlippedBit`]: one bit of this replica's memory flips, once, as soon as the file
//! that [`TRIGGER`] names is there. Nodes of one cluster have files of their own, so a test chooses
//! the node and the moment.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use stock::Machine;

/// The variable that names the file.
const TRIGGER: &str = "FLASHNODE_MUTANT_TRIGGER";

static FLIPPED: AtomicBool = AtomicBool::new(false);

/// Flips the bit if it is time to. Asked before each batch is applied.
pub(crate) fn flip(machine: &mut Machine) {
    if FLIPPED.load(Ordering::Relaxed) {
        return;
    }
    let due = std::env::var_os(TRIGGER).is_some_and(|file| Path::new(&file).exists());
    if due && machine.flip_a_bit() {
        FLIPPED.store(true, Ordering::Relaxed);
    }
}
