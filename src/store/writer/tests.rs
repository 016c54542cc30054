mod opening;

use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::auth::Role;
use crate::ids::{DeviceId, RoomId, UserId};
use crate::placement::ShardId;
use crate::store::{Page, Row, UserRecord};

/// A store's file in a directory of its own.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn config(&self) -> config::Store {
        config_at(&self.0.path().join("rooms.db"))
    }

    fn open(&self) -> Store {
        Store::open(&self.config()).unwrap()
    }

    /// The file as another program sees it.
    fn raw(&self) -> Connection {
        Connection::open(self.config().path).unwrap()
    }
}

fn config_at(path: &Path) -> config::Store {
    config::Store {
        path: path.into(),
        ..config::Store::default()
    }
}

fn memory() -> Store {
    Store::open(&config_at(Path::new(":memory:"))).unwrap()
}

fn room(number: u64) -> RoomId {
    RoomId::new(number).unwrap()
}

fn user_id(text: &str) -> UserId {
    UserId::try_from(text).unwrap()
}

fn record(number: u64, status: Status, last_seq: u64) -> RoomRecord {
    RoomRecord {
        id: room(number),
        anchor: user_id("alice"),
        title: "Harbour".into(),
        cover: "".into(),
        device: None,
        status,
        viewer_count: 0,
        epoch: 1,
        last_seq,
        heat: 0.0,
        created_at: 1,
        updated_at: 2,
    }
}

fn user(id: &str, username: &str) -> UserRecord {
    UserRecord {
        id: user_id(id),
        username: username.into(),
        password_hash: "$argon2id$".into(),
        role: Role::Anchor,
        created_at: 5,
    }
}

fn message(number: u64, epoch: u32, seq: u64, at: u64) -> MessageRow {
    MessageRow {
        room: room(number),
        epoch,
        seq,
        at,
        text: format!("{{\"type\":\"danmu\",\"seq\":{seq}}}").into(),
    }
}

fn commit(store: &mut Store, rows: impl IntoIterator<Item = Row>) -> Vec<Result<(), StoreFault>> {
    let entry = |row| Entry {
        shard: ShardId::new(0),
        row,
        receipt: None,
    };
    store.commit(&rows.into_iter().map(entry).collect::<Vec<_>>())
}

fn stored(store: &mut Store, rows: impl IntoIterator<Item = Row>) {
    for result in commit(store, rows) {
        assert_eq!(result, Ok(()));
    }
}

fn messages(number: u64, seqs: std::ops::RangeInclusive<u64>, at: u64) -> Vec<Row> {
    seqs.map(|seq| Row::Message(message(number, 1, seq, at)))
        .collect()
}

fn seqs(rows: &[MessageRow]) -> Vec<u64> {
    rows.iter().map(|row| row.seq).collect()
}

fn count(store: &Store, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    store
        .connection
        .query_row(&sql, [], |row| row.get(0))
        .unwrap()
}

#[test]
fn after_a_clean_end_rooms_go_on_where_they_were() {
    let disk = Disk::new();
    let mut store = disk.open();
    assert_eq!(store.load(10).unwrap(), []);
    stored(
        &mut store,
        [record(1, Status::Idle, 0), record(2, Status::Live, 5)]
            .map(|record| Row::Room(Box::new(record))),
    );
    stored(&mut store, messages(2, 1..=5, 7));
    store.finish().unwrap();

    let rooms = disk.open().load(3).unwrap();
    assert_eq!(rooms[0], (record(1, Status::Idle, 0), vec![]));
    assert_eq!(rooms[1].0, record(2, Status::Live, 5));
    assert_eq!(seqs(&rooms[1].1), [3, 4, 5], "the newest, in their order");
}

#[test]
fn after_a_crash_rooms_that_are_not_over_have_a_new_epoch() {
    let disk = Disk::new();
    let mut store = disk.open();
    store.load(10).unwrap();
    let all = [
        record(1, Status::Idle, 0),
        record(2, Status::Live, 0),
        record(3, Status::Ended, 9),
    ];
    stored(&mut store, all.map(|record| Row::Room(Box::new(record))));
    stored(&mut store, messages(2, 1..=5, 7));
    // As after a crash: nobody says that it ended.
    drop(store);

    for epoch in [2, 3] {
        let rooms = disk.open().load(10).unwrap();
        let [idle, live, ended] = &rooms[..] else {
            panic!("{rooms:?}");
        };
        assert_eq!((idle.0.epoch, idle.0.last_seq), (epoch, 0));
        assert_eq!((live.0.epoch, live.0.last_seq), (epoch, 0));
        assert_eq!(live.1, [], "no message of the new epoch");
        assert_eq!(*ended, (record(3, Status::Ended, 9), vec![]));
    }
    let mut store = disk.open();
    store.load(10).unwrap();
    store.finish().unwrap();
    assert_eq!(disk.open().load(10).unwrap()[1].0.epoch, 4, "kept");
}

#[test]
fn a_record_older_than_the_messages_does_not_number_them_again() {
    let disk = Disk::new();
    let mut store = disk.open();
    stored(
        &mut store,
        [Row::Room(Box::new(record(1, Status::Live, 2)))],
    );
    stored(&mut store, messages(1, 1..=4, 7));
    store.finish().unwrap();
    assert_eq!(disk.open().load(1).unwrap()[0].0.last_seq, 4);
}

#[test]
fn what_is_not_durable_at_each_commit_is_still_there_after_a_restart() {
    let disk = Disk::new();
    let config = config::Store {
        fsync: false,
        ..disk.config()
    };
    let mut store = Store::open(&config).unwrap();
    store.load(10).unwrap();
    stored(
        &mut store,
        [Row::Room(Box::new(record(1, Status::Live, 0)))],
    );
    drop(store);
    assert_eq!(
        Store::open(&config).unwrap().load(10).unwrap()[0].0.epoch,
        2
    );
}

#[test]
fn a_taken_username_concerns_its_row_alone() {
    let mut store = memory();
    let rows = [
        Row::User(Box::new(user("u-1", "Alice"))),
        Row::User(Box::new(user("u-2", "aLICE"))),
        Row::User(Box::new(user("u-3", "bob"))),
    ];
    let taken = Err(StoreFault::UsernameTaken("aLICE".into()));
    assert_eq!(commit(&mut store, rows), [Ok(()), taken, Ok(())]);

    let reader = store.reader().unwrap();
    let found = reader.user_by_name("ALICE").unwrap();
    assert_eq!(found, Some(user("u-1", "Alice")));
    let found = reader.user(&user_id("u-3")).unwrap();
    assert_eq!(found, Some(user("u-3", "bob")));
    assert_eq!(reader.user_by_name("carol").unwrap(), None);
    assert_eq!(reader.user(&user_id("u-2")).unwrap(), None);
}

#[test]
fn a_message_is_confirmed_once_it_is_stored() {
    let mut store = memory();
    let confirm = |seq| Row::Confirm {
        room: room(1),
        epoch: 1,
        seq,
    };
    let mut rows = messages(1, 1..=1, 7);
    rows.push(confirm(1));
    rows.push(confirm(2));
    let missing = Err(StoreFault::Missing);
    assert_eq!(commit(&mut store, rows), [Ok(()), Ok(()), missing.clone()]);
    assert_eq!(
        commit(&mut store, [confirm(1), confirm(2)]),
        [Ok(()), missing]
    );
}

#[test]
fn a_message_that_was_handed_over_before_is_stored_once() {
    let mut store = memory();
    stored(&mut store, messages(1, 1..=1, 7));
    let repeat = |seq| Row::Repeat(message(1, 1, seq, 8));
    let rows = [repeat(1), repeat(2), repeat(2)];
    assert_eq!(commit(&mut store, rows), [Ok(()), Ok(()), Ok(())]);
    assert_eq!(count(&store, "messages"), 2);
}

#[test]
fn a_message_is_never_written_over() {
    let mut store = memory();
    stored(&mut store, messages(1, 1..=1, 7));
    let again = Row::Message(MessageRow {
        text: "{\"type\":\"other\"}".into(),
        ..message(1, 1, 1, 8)
    });
    let mut rows = vec![again];
    rows.extend(messages(1, 2..=2, 8));
    let results = commit(&mut store, rows);
    assert!(
        matches!(results[0], Err(StoreFault::Failed(_))),
        "{results:?}"
    );
    assert_eq!(results[1], Ok(()));
    let texts = store
        .reader()
        .unwrap()
        .messages(room(1), (0, 0), 9)
        .unwrap()
        .texts;
    assert_eq!(texts.len(), 2);
    assert!(texts[0].contains("danmu"));
}

#[test]
fn a_full_disk_fails_whole_batches_and_is_survived() {
    let disk = Disk::new();
    let mut store = disk.open();
    stored(
        &mut store,
        [Row::Room(Box::new(record(1, Status::Live, 0)))],
    );
    let pages: i64 = store
        .connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    let limit = |store: &Store, most: i64| {
        store
            .connection
            .pragma_update_and_check(None, "max_page_count", most, |_| Ok(()))
            .unwrap();
    };
    limit(&store, pages);
    let results = commit(&mut store, messages(1, 1..=500, 7));
    assert_eq!(results.len(), 500);
    for result in &results {
        let Err(StoreFault::Failed(why)) = result else {
            panic!("{result:?}");
        };
        assert!(why.contains("full"), "{why}");
    }
    assert_eq!(count(&store, "messages"), 0, "all or nothing");

    limit(&store, i64::from(u32::MAX) - 1);
    stored(
        &mut store,
        [Row::Room(Box::new(record(1, Status::Live, 500)))],
    );
    // Members have seen messages that are not stored: an end in order cannot claim otherwise.
    store.finish().unwrap();
    assert_eq!(disk.open().load(10).unwrap()[0].0.epoch, 2);
}

#[test]
fn old_messages_are_deleted_little_by_little() {
    let mut store = memory();
    let week = store.message_retention.as_millis() as u64;
    stored(&mut store, messages(1, 1..=250, 1_000));
    stored(&mut store, messages(2, 1..=5, 1_001));
    let now = 1_001 + week;
    assert_eq!(store.sweep_old(now, 100), Ok(true));
    assert_eq!(count(&store, "messages"), 155);
    assert_eq!(store.sweep_old(now, 100), Ok(true));
    assert_eq!(store.sweep_old(now, 100), Ok(false));
    assert_eq!(count(&store, "messages"), 5, "not a moment too early");
    assert_eq!(store.sweep_old(now + 1, 100), Ok(false));
    assert_eq!(count(&store, "messages"), 0);
    assert_eq!(store.sweep_old(0, 100), Ok(false), "a clock that is wrong");
}

#[test]
fn a_removed_rooms_messages_go_after_it() {
    let mut store = memory();
    let rooms = [record(1, Status::Ended, 0), record(2, Status::Ended, 0)];
    stored(&mut store, rooms.map(|record| Row::Room(Box::new(record))));
    stored(&mut store, messages(1, 1..=150, 7));
    stored(&mut store, messages(2, 1..=3, 7));
    stored(&mut store, [Row::RemoveRoom(room(1))]);
    assert_eq!(store.load(10).unwrap().len(), 1);
    assert_eq!(store.sweep_old(8, 100), Ok(true));
    assert_eq!(store.sweep_old(8, 100), Ok(false));
    assert_eq!(count(&store, "messages"), 3);
    assert_eq!(count(&store, "removed_rooms"), 0);
}

#[test]
fn deleting_uses_the_indexes() {
    let store = memory();
    let plan = |sql: &str| {
        let mut statement = store
            .connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let lines = statement.query_map([1, 1], |row| row.get::<_, String>(3));
        let lines: Vec<_> = lines.unwrap().map(Result::unwrap).collect();
        lines.join("\n")
    };
    for sql in [DELETE_OLD, DELETE_OF_ROOM] {
        let plan = plan(sql);
        assert!(!plan.contains("SCAN messages"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}

#[test]
fn history_is_read_across_epochs_from_a_place_on() {
    for mut store in [memory(), Disk::new().open()] {
        stored(&mut store, messages(1, 1..=3, 7));
        let second = (1..=2).map(|seq| Row::Message(message(1, 2, seq, 8)));
        stored(&mut store, second.collect::<Vec<_>>());
        stored(&mut store, messages(2, 1..=1, 7));
        let reader = store.reader().unwrap();
        let of = |page: Result<Page, StoreFault>| -> Vec<(u64, u64)> {
            let texts = page.unwrap().texts;
            let values = texts
                .iter()
                .map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
            values
                .map(|value| {
                    assert_eq!(value["type"], "danmu");
                    let number = |name: &str| value[name].as_u64().unwrap();
                    (number("epoch"), number("seq"))
                })
                .collect()
        };
        let places = |after, limit| of(reader.messages(room(1), after, limit));
        assert_eq!(places((0, 0), 9), [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]);
        assert_eq!(places((1, 2), 2), [(1, 3), (2, 1)]);
        assert_eq!(places((1, u64::MAX), 9), [(2, 1), (2, 2)]);
        assert_eq!(places((2, 2), 9), []);
        assert_eq!(places((u32::MAX, 0), usize::MAX), []);
        let next = |after, limit| reader.messages(room(1), after, limit).unwrap().next;
        assert_eq!(next((0, 0), 4), Some((2, 1)));
        assert_eq!(next((0, 0), 3), Some((1, 3)));
        assert_eq!(next((1, 3), 2), None, "nothing follows the last one");
        assert_eq!(next((2, 2), 2), None);
        let newest = |room, limit| of(reader.newest(room, limit));
        assert_eq!(newest(room(1), 3), [(1, 3), (2, 1), (2, 2)]);
        assert_eq!(newest(room(1), 9).len(), 5);
        assert_eq!(newest(room(3), 9), []);
    }
}

#[test]
fn a_reader_in_memory_never_waits_for_the_writer() {
    let mut store = memory();
    stored(&mut store, messages(1, 1..=1, 7));
    let reader = store.reader().unwrap();
    let transaction = store.begin().unwrap();
    transaction.execute("DELETE FROM users", []).unwrap();
    RowWriter::new(&transaction)
        .unwrap()
        .write(&Row::Message(message(1, 1, 2, 7)))
        .unwrap()
        .unwrap();
    reader.messages(room(1), (0, 0), 9).unwrap();
    transaction.commit().unwrap();
    let other = memory();
    let page = other.reader().unwrap().messages(room(1), (0, 0), 9);
    assert_eq!(page, Ok(Page::default()), "each memory is another one");
}

fn any_record() -> impl Strategy<Value = RoomRecord> {
    let most = i64::MAX as u64;
    let numbers = (1..=RoomId::MAX, 0..=most, any::<u32>(), 0..=most, 0..=most);
    let texts = (any::<String>(), any::<String>(), "[A-Za-z0-9._:@-]{1,128}");
    let rest = (
        proptest::option::of("[A-Za-z0-9._:@-]{1,128}"),
        proptest::sample::select(&Status::ALL[..]),
        proptest::num::f64::NORMAL | proptest::num::f64::ZERO,
    );
    (numbers, texts, rest).prop_map(|(numbers, (title, cover, anchor), rest)| {
        let (id, viewer_count, epoch, last_seq, at) = numbers;
        let (device, status, heat) = rest;
        RoomRecord {
            id: room(id),
            anchor: user_id(&anchor),
            title: title.into(),
            cover: cover.into(),
            device: device.map(|id| DeviceId::try_from(&*id).unwrap()),
            status,
            viewer_count,
            epoch,
            last_seq,
            heat,
            created_at: at,
            updated_at: at,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_room_comes_back_as_it_was_stored(record in any_record()) {
        let mut store = memory();
        stored(&mut store, [Row::Room(Box::new(record.clone()))]);
        prop_assert_eq!(store.load(1).unwrap(), [(record, vec![])]);
    }

    #[test]
    fn what_a_row_holds_concerns_no_other(
        text in any::<String>(),
        seq in any::<u64>(),
        at in any::<u64>(),
        heat in proptest::num::f64::ANY,
    ) {
        let mut store = memory();
        let odd = MessageRow { text: text.into(), ..message(1, 1, seq, at) };
        let warm = RoomRecord { heat, ..record(1, Status::Live, 0) };
        let rows = [
            Row::Message(odd),
            Row::Room(Box::new(warm)),
            Row::Message(message(2, 1, 1, 7)),
        ];
        let results = commit(&mut store, rows);
        let fits = i64::try_from(seq).is_ok() && i64::try_from(at).is_ok();
        prop_assert_eq!(results[0].is_ok(), fits);
        prop_assert_eq!(results[1].is_ok(), !heat.is_nan());
        prop_assert_eq!(&results[2], &Ok(()));
    }
}
