//! What is taken for a store, and what is made of it.

use std::fs;

use super::*;

#[test]
fn a_second_process_is_refused_with_the_number_of_the_first() {
    let disk = Disk::new();
    let store = disk.open();
    let refused = Store::open(&disk.config()).unwrap_err().to_string();
    let path = disk.config().path.display().to_string();
    let holder = format!("is in use by process {}", std::process::id());
    assert!(refused.contains(&path), "{refused}");
    assert!(refused.contains(&holder), "{refused}");

    drop(store);
    disk.open();
}

#[test]
fn nobody_else_may_read_a_new_store() {
    use std::os::unix::fs::PermissionsExt;

    let disk = Disk::new();
    let mut store = disk.open();
    stored(&mut store, messages(1, 1..=1, 7));
    for name in ["rooms.db", "rooms.db-wal", "rooms.db-shm"] {
        let mode = fs::metadata(disk.0.path().join(name))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_new_file_has_pages_of_the_size_that_was_measured() {
    let disk = Disk::new();
    let mut store = disk.open();
    stored(&mut store, messages(1, 1..=1, 7));
    store.finish().unwrap();
    let bytes = disk
        .raw()
        .pragma_query_value(None, "page_size", |row| row.get(0));
    assert_eq!(bytes, Ok(PAGE_BYTES));
}

#[test]
fn a_link_to_a_store_is_that_store() {
    let disk = Disk::new();
    let _store = disk.open();
    let link = disk.0.path().join("link.db");
    std::os::unix::fs::symlink(disk.config().path, &link).unwrap();
    let refused = Store::open(&config_at(&link)).unwrap_err();
    assert!(matches!(refused, StoreOpenError::InUse { .. }), "{refused}");
}

#[test]
fn what_is_no_store_of_ours_is_refused_and_left_as_it_is() {
    let disk = Disk::new();
    let path = disk.config().path;
    let refused = || Store::open(&disk.config()).unwrap_err().to_string();

    let text = "A diary, and by no means a database. ".repeat(100);
    fs::write(&path, &text).unwrap();
    assert!(refused().ends_with("is not a SQLite database; name another file"));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    fs::remove_file(&path).unwrap();
    disk.raw()
        .execute_batch("CREATE TABLE diary (day)")
        .unwrap();
    assert!(refused().contains("is the database of another program"));
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = disk.raw().query_row(tables, [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);

    fs::remove_file(&path).unwrap();
    drop(disk.open());
    disk.raw().pragma_update(None, "user_version", 99).unwrap();
    let sentence = refused();
    assert!(sentence.contains("has schema 99"), "{sentence}");
    assert!(sentence.contains("knows 1 at most"), "{sentence}");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let disk = Disk::new();
    let directory = disk.0.path();
    let missing = directory.join("missing/rooms.db");
    for (path, says) in [
        (missing.as_path(), "cannot be opened for writing"),
        (directory, "is a directory; name a file in it"),
    ] {
        let sentence = Store::open(&config_at(path)).unwrap_err().to_string();
        let path = path.display();
        let begin = format!("store.path: {path} {says}");
        assert!(sentence.starts_with(&begin), "{sentence}");
    }
    let beside = directory.with_file_name(format!(
        "{}-lock",
        directory.file_name().unwrap().to_string_lossy()
    ));
    assert!(!beside.exists(), "nothing is left beside the directory");
}

#[test]
fn a_store_of_version_1_opens_with_all_that_is_in_it() {
    let disk = Disk::new();
    let fixture = include_str!("version_1.sql");
    disk.raw().execute_batch(fixture).unwrap();

    let mut store = disk.open();
    let rooms = store.load(10).unwrap();
    let [(harbour, recent), (closed, _)] = &rooms[..] else {
        panic!("{rooms:?}");
    };
    assert_eq!(harbour.device, Some(DeviceId::try_from("cam-1").unwrap()));
    assert_eq!((harbour.status, harbour.epoch), (Status::Live, 3));
    assert_eq!(
        (harbour.heat, harbour.updated_at),
        (12.5, 1_700_000_001_000)
    );
    assert_eq!(seqs(recent), [1, 2]);
    assert_eq!((closed.status, closed.viewer_count), (Status::Ended, 7));
    let alice = store.reader().unwrap().user_by_name("alice").unwrap();
    let alice = alice.unwrap();
    assert_eq!((&*alice.username, alice.role), ("Alice", Role::Anchor));
}

#[test]
fn each_migration_runs_once_and_in_order() {
    let mut connection = Connection::open_in_memory().unwrap();
    let more = "ALTER TABLE rooms ADD COLUMN language TEXT; UPDATE rooms SET language = 'en'";
    let migrations = [MIGRATIONS[0], more];
    schema::migrate(&mut connection, 0, &migrations[..1]).unwrap();
    assert_eq!(schema::find(&connection).unwrap(), Found::Version(1));
    schema::migrate(&mut connection, 1, &migrations).unwrap();
    assert_eq!(schema::find(&connection).unwrap(), Found::Version(2));
    schema::migrate(&mut connection, 2, &migrations).unwrap();

    let broken = [
        migrations[0],
        more,
        "CREATE TABLE half (a); CREATE TABLE half (a)",
    ];
    schema::migrate(&mut connection, 2, &broken).unwrap_err();
    assert_eq!(schema::find(&connection).unwrap(), Found::Version(2));
    connection.execute("CREATE TABLE half (a)", []).unwrap();
}
