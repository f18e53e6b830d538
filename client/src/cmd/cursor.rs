//! `flashctl cursor list|remove`: how far those have come who copy the changes elsewhere.
//!
//! Never moves one: that is for whoever copies.

use super::hold::{Request, show};
use super::{Exit, Failure, Global};
use crate::out;
use std::fmt::Write as _;
use stock::CursorName;
use stock::api::{CursorList, CursorRemoved};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show all cursors: where each stands, and what it is for
    List,
    /// Remove a cursor that nobody uses any more, so that its name is free
    Remove {
        /// The cursor
        #[arg(value_parser = super::in_url::<CursorName>)]
        name: CursorName,
        /// Where it must stand [default: where it stands now]
        #[arg(long, value_name = "POSITION")]
        at: Option<u64>,
        #[command(flatten)]
        request: Request,
    },
}

pub(crate) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    match &args.command {
        Command::List => {
            let all = client.cursors().await?;
            if global.json {
                out::json(&all);
            } else {
                out::text(&in_words(&all));
            }
            Ok(Exit::Ok)
        }
        Command::Remove { name, at, request } => {
            let expected = match at {
                Some(at) => *at,
                None => client.cursor(name).await?.position,
            };
            let request = request.id();
            let settled = client.remove_cursor(name, expected, &request).await;
            show(global, &request, settled, |removed: &CursorRemoved| {
                format!("removed: {}, which stood at {}", removed.name, removed.position)
            })
        }
    }
}

fn in_words(all: &CursorList) -> String {
    if all.cursors.is_empty() {
        return "no cursors\n".to_owned();
    }
    let width = all.cursors.iter().map(|cursor| cursor.name.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for cursor in &all.cursors {
        let target = cursor.target.as_ref().map_or(String::new(), |target| format!("  {target}"));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:width$}  at {}{target}", cursor.name.as_str(), cursor.position);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use stock::Seq;
    use stock::api::CursorView;

    #[test]
    fn cursors_are_shown_with_what_they_are_for() {
        let view = |name: &str, position, target: Option<&str>| CursorView {
            name: name.parse().unwrap(),
            position,
            target: target.map(|target| target.parse().unwrap()),
            seq: Seq(9),
        };
        let cursors = vec![view("nats", 7, Some("nats://a")), view("webhook", 12, None)];
        let text = in_words(&CursorList { cursors, seq: Seq(9) });
        assert_eq!(text, "nats     at 7  nats://a\nwebhook  at 12\n");
        assert_eq!(in_words(&CursorList { cursors: Vec::new(), seq: Seq(9) }), "no cursors\n");
    }
}
