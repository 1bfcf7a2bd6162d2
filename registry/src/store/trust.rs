//! The table of the trust statement that was taken up last: its shape and its one row.

use rusqlite::{Row, Transaction, params};
use testudo_wire::Digest;

use super::sqlite::{Bad, get, number, signed};
use crate::book::TrustMark;

pub(super) const SCHEMA: &str = "
CREATE TABLE trust (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  number INTEGER NOT NULL CHECK (number > 0),
  statement BLOB NOT NULL CHECK (length(statement) = 32)
) STRICT;
";

pub(super) const SELECT: &str = "SELECT one, number, statement FROM trust";

pub(super) fn write(transaction: &Transaction<'_>, mark: TrustMark) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO trust (one, number, statement) VALUES (1, ?1, ?2)";
    transaction.prepare_cached(sql)?.execute(params![signed(mark.number)?, mark.statement.as_bytes()])?;
    Ok(())
}

pub(super) fn read(row: &Row<'_>) -> Result<TrustMark, Bad> {
    Ok(TrustMark { number: number(row, 1)?, statement: Digest::new(get(row, 2)?) })
}
