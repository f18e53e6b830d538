//! A seeded bug: one bit of memory that is not what was written there.

use super::Machine;

impl Machine {
    /// Flips one bit of the first product's name, behind the hash's back; false when there is no
    /// bit to flip. The next change of that product takes it into the state hash.
    pub fn flip_a_bit(&mut self) -> bool {
        let Some(slot) = self.products.first_mut() else {
            return false;
        };
        let name = &mut slot.product.terms.name;
        let mut bytes = std::mem::take(name).into_bytes();
        let flipped = bytes.first_mut().is_some_and(|first| {
            *first ^= 1;
            true
        });
        // A name that is no longer text would be lost; those of tests begin with a letter.
        *name = String::from_utf8(bytes).unwrap_or_default();
        flipped
    }
}
