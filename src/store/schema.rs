//! The tables, and how an older file gets them.

use rusqlite::{Connection, TransactionBehavior};

/// What makes each version of the schema of the one before, from nothing on. Never changed, only
/// added to: files of every version are out there.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("schema/1.sql")];

/// Says in the file's header whose it is (`PRAGMA application_id`): "MdSv".
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"MdSv");

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// This server's tables, of that version; 0: nothing yet.
    Version(u32),
    /// Tables of something else.
    Foreign,
}

/// Looks at the header and whether there are tables.
pub(super) fn find(connection: &Connection) -> rusqlite::Result<Found> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match u32::try_from(version) {
        Ok(version) if application == APPLICATION_ID => Found::Version(version),
        Ok(0) if application == 0 && tables == 0 => Found::Version(0),
        Ok(_) | Err(_) => Found::Foreign,
    })
}

/// Brings the tables from version `from` to the last of `migrations`, each in a transaction of its
/// own: an interrupted one leaves the version before, and is begun again.
pub(super) fn migrate(
    connection: &mut Connection,
    from: u32,
    migrations: &[&str],
) -> rusqlite::Result<()> {
    for (version, migration) in (1u32..).zip(migrations).skip(from as usize) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}
