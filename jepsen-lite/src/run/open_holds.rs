//! The open holds of one replica, from its export.
//!
//! Owns: reading that part of an export. It comes before the orders, so the rest is not read. Never
//! does: say whether the replica went on meanwhile. Called by `finals`.

use checker::flashnode::LedgerHold;
use stock::api::{ExportLine, HoldView};

/// What this node holds for buyers.
///
/// # Errors
/// In words, when it cannot be read or understood.
pub(super) async fn read(http: &reqwest::Client, address: &str) -> Result<Vec<LedgerHold>, String> {
    let unread = |error: reqwest::Error| error.to_string();
    let url = format!("http://{address}/v1/export?consistency=stale");
    let mut answer = http.get(url).send().await.map_err(unread)?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(format!("its export answers {}", answer.status()));
    }
    let mut part = Part::default();
    while !part.is_over {
        match answer.chunk().await.map_err(unread)? {
            Some(text) => part.push(&text)?,
            None => return Err("its export is cut off".into()),
        }
    }
    Ok(part.holds)
}

/// What was read of an export.
#[derive(Default)]
struct Part {
    /// The beginning of a line.
    rest: Vec<u8>,
    holds: Vec<LedgerHold>,
    /// Whether all holds were read.
    is_over: bool,
}

impl Part {
    fn push(&mut self, text: &[u8]) -> Result<(), String> {
        self.rest.extend_from_slice(text);
        let rest = std::mem::take(&mut self.rest);
        let mut lines = rest.split(|byte| *byte == b'\n');
        self.rest = lines.next_back().unwrap_or_default().to_vec();
        for line in lines {
            let line = serde_json::from_slice(line);
            match line.map_err(|error| format!("a line of its export: {error}"))? {
                ExportLine::Head { .. }
                | ExportLine::Product(_)
                | ExportLine::Debt { .. }
                | ExportLine::Cursor { .. } => {}
                ExportLine::Hold(HoldView { hold_id, user_id, items, .. }) => {
                    self.holds.extend(items.into_iter().map(|item| LedgerHold {
                        hold: hold_id.0,
                        product: item.product_id.into(),
                        user: user_id.clone().into(),
                        quantity: item.quantity.get(),
                    }));
                }
                ExportLine::Order(_) | ExportLine::End { .. } => self.is_over = true,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holds_are_read_in_pieces_of_any_size_up_to_what_follows_them() {
        let text = concat!(
            r#"{"line":"head","seq":9,"log_time_ms":7,"state_hash":"00"}"#,
            "\n",
            r#"{"line":"hold","hold_id":4,"user_id":"u-2","items":[{"product_id":"p-1","#,
            r#""quantity":3}],"expires_at":"2026-01-01T00:00:00.000Z","state":"open","seq":9}"#,
            "\n",
            r#"{"line":"end","lines":2}"#,
            "\n"
        );
        let (product, user) = ("p-1".to_owned(), "u-2".to_owned());
        let hold = LedgerHold { hold: 4, product, user, quantity: 3 };
        for piece in 1..text.len() {
            let mut part = Part::default();
            text.as_bytes().chunks(piece).try_for_each(|piece| part.push(piece)).unwrap();
            assert_eq!((&*part.holds, part.is_over), (&[hold.clone()][..], true));
        }
        let mut cut = Part::default();
        cut.push(&text.as_bytes()[..text.len() / 2]).unwrap();
        assert!(!cut.is_over);
    }
}
