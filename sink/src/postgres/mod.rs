//! The target PostgreSQL: orders, holds, products and all changes as tables, exactly once.
//!
//! **Exactly once**, because the rows of a batch and the position after it are one transaction,
//! which begins by moving the position from where the batch begins. It is the row lock of that
//! update that keeps two runners apart: the second waits, finds another position, and writes
//! nothing. After a commit whose answer was lost, the position says what became of it.
//!
//! Owns: a schema of its own (`flashnode` unless told otherwise), whose tables it creates and
//! migrates. Never does: look at anything else of the database.
//!
//! | file | what it owns |
//! |---|---|
//! | `connect` | the connection, with TLS where it is asked for |
//! | `schema` | the tables and their migrations |
//! | `columns` | instants and orders as statements take them |
//! | `write` | a batch as a transaction |
//! | `rebase` | the whole state in place of changes that the feed no longer tells |
//! | [`verify`] | the database against the cluster, at one `seq` |

mod columns;
mod connect;
mod rebase;
mod schema;
pub mod verify;
mod write;

pub use connect::Database;

use crate::pace::Pages;
use crate::source::State;
use crate::target::{Applied, Target, TargetError, explained};
use connect::Connected;
use stock::Seq;
use stock::api::EventView;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// See the module.
pub struct Postgres {
    database: Database,
    session: Option<Session>,
    warning: Option<String>,
}

/// A connection and the statements that were prepared on it.
struct Session {
    client: Client,
    statements: write::Statements,
}

impl Postgres {
    /// A target in this database; nothing is connected yet.
    pub fn new(database: Database) -> Self {
        Self { database, session: None, warning: None }
    }

    fn session(&mut self) -> Result<&mut Session, TargetError> {
        self.session.as_mut().ok_or_else(|| TargetError::Lost("it is not connected".to_owned()))
    }
}

impl Target for Postgres {
    async fn open(&mut self, cluster_id: &str) -> Result<Seq, TargetError> {
        // The old connection first: what it had not committed must be rolled back.
        self.session = None;
        let Connected { mut client, warning } = self.database.connect().await?;
        self.warning = warning;
        schema::migrate(&mut client, self.database.schema()).await?;
        let position = schema::position(&client, cluster_id).await?;
        let statements = write::Statements::prepare(&client).await.map_err(lost)?;
        self.session = Some(Session { client, statements });
        Ok(position)
    }

    async fn apply(&mut self, from: Seq, batch: &[EventView]) -> Result<Applied, TargetError> {
        let Session { client, statements } = self.session()?;
        write::batch(client, statements, from, batch).await
    }

    async fn rebase<S: State>(
        &mut self,
        from: Seq,
        state: &mut S,
        pages: &mut Pages<'_>,
    ) -> Result<Applied, TargetError> {
        let session = self.session()?;
        rebase::rebase(session, from, state, pages).await
    }

    fn warning(&self) -> Option<String> {
        self.warning.clone()
    }
}

/// A number of the contract as PostgreSQL has them; none of ours comes near its bound.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of the database as the contract has them; a negative one was not written by a sink.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Whether trying again may help: not where the server has understood and says that the data or
/// the tables are not what they must be.
#[allow(clippy::needless_pass_by_value, reason = "it is for map_err")]
fn lost(error: tokio_postgres::Error) -> TargetError {
    let told = error.as_db_error();
    let why = match told {
        Some(told) => {
            let table = told.table().map(|table| format!(" ({table})")).unwrap_or_default();
            let detail = told.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
            format!("PostgreSQL: {}{table}{detail}", told.message())
        }
        None => format!("PostgreSQL: {}", explained(&connect::in_words(&error))),
    };
    // Classes of PostgreSQL's appendix A: 22 data, 23 constraint, 28 authorisation, 3D and 3F no
    // such database or schema, 42 syntax or access rule.
    let hopeless = told.is_some_and(|told| {
        let code = told.code();
        *code != SqlState::DUPLICATE_SCHEMA
            && ["22", "23", "28", "3D", "3F", "42"]
                .iter()
                .any(|class| code.code().starts_with(class))
    });
    if hopeless { TargetError::Refused(why) } else { TargetError::Lost(why) }
}
