//! The baseline: decides nothing.

use super::{Asked, Backend, Told};

/// The same order for everybody.
#[derive(Debug)]
pub(super) struct Noop;

impl Backend for Noop {
    async fn buy(&self, _asked: Asked) -> anyhow::Result<Told> {
        Ok(Told::Order { number: 1_234_567, left: 1_234_567 })
    }
}
