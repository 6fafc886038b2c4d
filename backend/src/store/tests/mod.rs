//! The queries, on each of the engines.

#![allow(
    clippy::too_many_lines,
    reason = "a test tells one story, however long it is"
)]

use std::io::{self, Write};

use testkit::postgres;

use super::{
    audit::AuditEntry,
    destinations::{Destination, TelegramAccount},
    events::NewEvent,
    files::NewFile,
    keys::{KeyUse, NewKey},
    sealed::{API_HASH, BOT_TOKEN},
    users::User,
    *,
};

#[tokio::test]
async fn the_store_keeps_what_it_is_told_in_sqlite() {
    let store = Store::open(&Database::Memory).await.unwrap();
    keeps_what_it_is_told(&store).await;
    store.close().await;
}

#[tokio::test]
async fn the_store_keeps_what_it_is_told_in_postgresql() {
    let Some(server) = postgres::server().await else {
        // Past the capture of the test harness: who reads the result is to know what it is not of.
        let _ = writeln!(
            io::stderr(),
            "skipped: the store on PostgreSQL: neither TEST_DATABASE_URL nor one to start"
        );
        return;
    };
    let store = Store::open(&Database::from_url(&server.url).unwrap())
        .await
        .unwrap();
    keeps_what_it_is_told(&store).await;
    let nul = store
        .add_user(&User::new("nul@example.com", "\0", "free"))
        .await;
    assert!(nul.unwrap_err().is_nul_in_text());
    store.close().await;
    // Opened again, the schema is up to date.
    let database = Database::from_url(&server.url).unwrap();
    Store::open(&database).await.unwrap().close().await;
}

async fn keeps_what_it_is_told(store: &Store) {
    store.ping().await.unwrap();
    let [ada, bob] = users(store).await;
    keys_open_until_they_run_out_or_are_revoked(store, &ada, &bob).await;
    uses_of_more_keys_than_one_statement_takes_are_added_up(store, &ada).await;
    the_audit_log_only_grows(store, &ada).await;
    one_destination_is_preferred(store, &ada, &bob).await;
    destinations_come_and_go(store, &bob).await;
    secrets_are_resealed_unless_they_changed(store, &ada).await;
    a_plan_is_changed_to_one_that_there_is(store, &ada).await;
    an_event_is_recorded_once_with_its_file_and_its_use(store, &bob).await;
    a_file_is_one_row_however_often_it_is_told(store, &ada).await;
    everything_of_a_user_goes_and_nothing_of_anothers(store, &ada, &bob).await;
}

fn entry(action: &str) -> AuditEntry {
    AuditEntry {
        at: 1,
        actor: "session".to_owned(),
        user_id: None,
        action: action.to_owned(),
        target: None,
        address: Some("::1".to_owned()),
        request_id: None,
        result: "ok".to_owned(),
    }
}

fn key(seed: u16) -> NewKey {
    let mut hash = [0; 32];
    hash[..2].copy_from_slice(&seed.to_le_bytes());
    NewKey {
        id: format!("key-{}", uuid::Uuid::new_v4()),
        name: "name".to_owned(),
        hash,
        preview: "tsk_abcd".to_owned(),
        created_at: 100,
        expires_at: 200,
    }
}

async fn users(store: &Store) -> [User; 2] {
    let ada = User::new("ada@example.com", "Ada", "free");
    let bob = User::new("bob@example.com", "Bob", "enterprise");
    assert!(store.add_user(&bob).await.unwrap());
    let first = key(1);
    let entries = [entry("user.register")];
    assert!(store.register(&ada, "phc", &first, &entries).await.unwrap());
    let again = User::new("ada@example.com", "Eve", "free");
    let second = key(2);
    assert!(
        !store
            .register(&again, "phc", &second, &entries)
            .await
            .unwrap()
    );
    assert_eq!(store.keys(Some(&again.id)).await.unwrap().len(), 0);
    assert_eq!(store.live_key(&second.hash, 150).await.unwrap(), None);
    let login = store.login_of("ada@example.com").await.unwrap();
    assert_eq!(login, Some((ada.id.clone(), Some("phc".to_owned()))));
    assert!(store.user_exists(&bob.id).await.unwrap());
    assert!(!store.user_exists("nobody").await.unwrap());
    assert_eq!(store.user(&ada.id).await.unwrap().unwrap().plan, "free");
    assert_eq!(store.users().await.unwrap().len(), 2);
    [ada, bob]
}

async fn keys_open_until_they_run_out_or_are_revoked(store: &Store, ada: &User, bob: &User) {
    let key = key(3);
    store
        .add_key(&ada.id, &key, &entry("key.create"))
        .await
        .unwrap();
    let opens = async |hash, now| store.live_key(hash, now).await.unwrap();
    let owner = Some((key.id.clone(), ada.id.clone()));
    assert_eq!(opens(&key.hash, 199).await, owner);
    assert_eq!(opens(&key.hash, 200).await, None);
    let fresh = NewKey {
        hash: [9; 32],
        expires_at: 300,
        ..key.clone()
    };
    let rotate = entry("key.rotate");
    assert!(!store.replace_key(&bob.id, &fresh, &rotate).await.unwrap());
    assert!(store.replace_key(&ada.id, &fresh, &rotate).await.unwrap());
    assert_eq!(opens(&key.hash, 150).await, None);
    assert_eq!(opens(&fresh.hash, 299).await, owner);
    let revoke = entry("key.revoke");
    assert!(!store.revoke_key(&bob.id, &key.id, &revoke).await.unwrap());
    assert!(store.revoke_key(&ada.id, &key.id, &revoke).await.unwrap());
    assert!(!store.revoke_key(&ada.id, &key.id, &revoke).await.unwrap());
    assert_eq!(opens(&fresh.hash, 150).await, None);
    assert!(!store.replace_key(&ada.id, &fresh, &rotate).await.unwrap());
    assert!(store.key(&bob.id, &key.id).await.unwrap().is_none());
    let row = store.key(&ada.id, &key.id).await.unwrap().unwrap();
    assert!(row.revoked_at.is_some() && !row.is_active(150));
    let owner = store.owner_of_key(&key.id).await.unwrap();
    assert_eq!(owner.as_ref(), Some(&ada.id));
}

async fn uses_of_more_keys_than_one_statement_takes_are_added_up(store: &Store, ada: &User) {
    let mut uses = Vec::new();
    for seed in 0..100 {
        let key = key(1000 + seed);
        store
            .add_key(&ada.id, &key, &entry("key.create"))
            .await
            .unwrap();
        uses.push(KeyUse {
            key_id: key.id,
            requests: 1 + i64::from(seed),
            last_at: 5000,
        });
    }
    store.count_key_uses(&uses).await.unwrap();
    store.count_key_uses(&uses).await.unwrap();
    for used in uses {
        let row = store.key(&ada.id, &used.key_id).await.unwrap().unwrap();
        assert_eq!(row.request_count, 2 * used.requests);
        assert_eq!(row.last_used_at, Some(5000));
    }
}

async fn the_audit_log_only_grows(store: &Store, ada: &User) {
    let entries: Vec<_> = (0..150)
        .map(|number| AuditEntry {
            user_id: Some(ada.id.clone()),
            ..entry(&format!("act-{number}"))
        })
        .collect();
    store.add_audit_entries(&entries).await.unwrap();
    let rows = store.audit_tail(Some(&ada.id), 1000).await.unwrap();
    let told: Vec<_> = rows.into_iter().map(|row| row.entry).collect();
    assert_eq!(told, entries);
    let newest = store.audit_tail(None, 1).await.unwrap();
    assert_eq!(newest[0].entry.action, "act-149");
    for statement in [
        "UPDATE audit_log SET result = 'x'",
        "DELETE FROM audit_log",
        "DELETE FROM audit_log WHERE user_id IS NULL",
    ] {
        assert!(sqlx::query(statement).execute(&store.write).await.is_err());
    }
}

fn destination(id: &str, token: &[u8]) -> Destination {
    Destination {
        id: id.to_owned(),
        label: id.to_owned(),
        bot_username: "a_bot".to_owned(),
        bot_token_sealed: token.to_vec(),
        channel_id: None,
        channel_title: None,
        preferred: false,
        created_at: 100,
    }
}

async fn one_destination_is_preferred(store: &Store, ada: &User, bob: &User) {
    let set = async |user: &User, destination: &Destination| {
        let entry = entry("credentials.set");
        store
            .set_preferred_destination(&user.id, destination, &entry)
            .await
            .unwrap()
    };
    let changed = Destination {
        label: "another".to_owned(),
        ..destination("d-1", b"two")
    };
    assert!(set(ada, &destination("d-1", b"one")).await);
    assert!(set(ada, &changed).await);
    assert!(!set(ada, &destination("d-2", b"three")).await);
    assert!(set(bob, &destination("d-3", b"four")).await);
    let preferred = store.preferred_destination(&ada.id).await.unwrap().unwrap();
    assert_eq!(preferred.id, "d-1");
    assert_eq!(preferred.label, "d-1");
    assert_eq!(preferred.bot_token_sealed, b"two");
    assert_eq!(preferred.channel_id, None);
}

async fn destinations_come_and_go(store: &Store, bob: &User) {
    let eve = User::new("eve@example.com", "Eve", "free");
    assert!(store.add_user(&eve).await.unwrap());
    let listed = async || {
        let destinations = store.destinations(&eve.id).await.unwrap();
        let named = |it: Destination| (it.id, it.preferred);
        destinations.into_iter().map(named).collect::<Vec<_>>()
    };
    let rows = |rows: &[(&str, bool)]| {
        let owned = |(id, preferred): &(&str, bool)| ((*id).to_owned(), *preferred);
        rows.iter().map(owned).collect::<Vec<_>>()
    };
    for (id, asks, preferred) in [
        ("e-1", false, true),
        ("e-2", false, false),
        ("e-3", true, true),
    ] {
        let asking = Destination {
            preferred: asks,
            ..destination(id, b"token")
        };
        let entry = entry("destination.add");
        let added = store.add_destination(&eve.id, asking, 3, &entry).await;
        assert_eq!(added.unwrap().unwrap().preferred, preferred);
    }
    let fourth = destination("e-4", b"token");
    let refused = entry("destination.refused");
    let refused = store.add_destination(&eve.id, fourth, 3, &refused).await;
    assert!(refused.unwrap().is_none());
    let before = rows(&[("e-1", false), ("e-2", false), ("e-3", true)]);
    assert_eq!(listed().await, before);
    let e = entry("destination.x");
    assert!(!store.prefer_destination(&eve.id, "d-1", &e).await.unwrap());
    assert!(!store.prefer_destination(&bob.id, "e-1", &e).await.unwrap());
    assert!(!store.remove_destination(&bob.id, "e-1", &e).await.unwrap());
    assert_eq!(listed().await, before);
    assert!(store.destination(&bob.id, "e-1").await.unwrap().is_none());
    assert!(store.destination(&eve.id, "e-1").await.unwrap().is_some());
    assert!(store.prefer_destination(&eve.id, "e-2", &e).await.unwrap());
    assert!(store.remove_destination(&eve.id, "e-2", &e).await.unwrap());
    assert_eq!(listed().await, rows(&[("e-1", true), ("e-3", false)]));
    for id in ["e-1", "e-3"] {
        assert!(store.remove_destination(&eve.id, id, &e).await.unwrap());
    }
    assert!(listed().await.is_empty());
    let written = store.audit_tail(None, 1000).await.unwrap();
    let count = |action: &str| {
        let rows = written.iter();
        rows.filter(|row| row.entry.action == action).count()
    };
    assert_eq!(count("destination.add"), 3);
    assert_eq!(count("destination.refused"), 0);
    assert_eq!(count("destination.x"), 4);
}

#[allow(clippy::too_many_lines, reason = "one story, best read in one piece")]
async fn everything_of_a_user_goes_and_nothing_of_anothers(store: &Store, ada: &User, bob: &User) {
    let counts = async |user: &User| {
        let mut counts = Vec::new();
        for table in [
            "api_keys",
            "destinations",
            "telegram_accounts",
            "telegram_logins",
            "files",
            "usage_events",
            "usage_days",
            "audit_log",
        ] {
            let sql = format!("SELECT COUNT(*) FROM {table} WHERE user_id = $1");
            let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .bind(&user.id)
                .fetch_one(&store.read)
                .await
                .unwrap();
            counts.push(count);
        }
        counts
    };
    for user in [ada, bob] {
        let account = TelegramAccount {
            api_id: 1,
            api_hash_sealed: b"hash".to_vec(),
            session_sealed: b"session".to_vec(),
            channel_id: None,
            invite_sealed: None,
        };
        store
            .set_telegram_account(&user.id, &account, &entry("telegram.connect"))
            .await
            .unwrap();
        let event = NewEvent {
            id: format!("event-{}", user.id),
            headers: "{}".to_owned(),
            body: "{}".to_owned(),
            user_id: user.id.clone(),
            file: NewFile {
                file_name: "f".to_owned(),
                message_id: 9,
                file_id: format!("file-of-{}", user.id),
                file_unique_id: None,
                size_bytes: Some(1),
                mime_type: None,
            },
        };
        assert!(store.record_upload(&event).await.unwrap());
        let insert = sqlx::query(
            "INSERT INTO telegram_logins (id, user_id, method, state, created_at, expires_at) \
             VALUES ('login-' || $1, $1, 'qr', 'waiting', 1, 2)",
        );
        insert.bind(&user.id).execute(&store.write).await.unwrap();
    }
    let [ada_before, bob_before] = [counts(ada).await, counts(bob).await];
    let events_before = store.events().await.unwrap().len();
    assert!(ada_before.iter().all(|&count| count > 0), "{ada_before:?}");
    let entry = AuditEntry {
        user_id: Some(ada.id.clone()),
        ..entry("data.clear")
    };
    store.clear_user(&ada.id, 50, &entry).await.unwrap();
    // The sums of this month, and the audit log with one row more.
    let audit_rows = ada_before[7] + 1;
    assert_eq!(counts(ada).await, [0, 0, 0, 0, 0, 0, 1, audit_rows]);
    assert_eq!(counts(bob).await, bob_before);
    assert_eq!(store.events().await.unwrap().len(), events_before - 1);
    store.clear_events().await.unwrap();
    assert!(store.user_exists(&ada.id).await.unwrap());
}

async fn secrets_are_resealed_unless_they_changed(store: &Store, ada: &User) {
    assert_eq!(
        store.sealed_values(API_HASH, "", 10).await.unwrap().len(),
        0
    );
    let mut values = store.sealed_values(BOT_TOKEN, "", 10).await.unwrap();
    assert_eq!(values.len(), 2);
    assert_eq!(
        store
            .sealed_values(BOT_TOKEN, "d-1", 10)
            .await
            .unwrap()
            .len(),
        1
    );
    values[1].sealed = b"not what is there".to_vec();
    let values: Vec<_> = values.into_iter().map(|it| (it, b"new".to_vec())).collect();
    assert_eq!(values[0].0.user_id, ada.id);
    assert_eq!(store.reseal(BOT_TOKEN, &values).await.unwrap(), 1);
    let values = store.sealed_values(BOT_TOKEN, "", 10).await.unwrap();
    assert_eq!(
        [&*values[0].sealed, &*values[1].sealed],
        [b"new".as_slice(), b"four"]
    );
    for id in ["k-1", "k-2", "k-1"] {
        store.use_seal_key(id, "label").await.unwrap();
    }
    assert_eq!(store.seal_keys().await.unwrap().len(), 2);
    store.retire_other_seal_keys("k-2").await.unwrap();
    let keys = store.seal_keys().await.unwrap();
    assert_eq!(keys, [("k-2".to_owned(), "label".to_owned())]);
}

async fn a_plan_is_changed_to_one_that_there_is(store: &Store, ada: &User) {
    let plan_and_use = async || {
        let found = store.plan_and_use(&ada.id, 0, 100).await.unwrap();
        found.unwrap()
    };
    let (plan, used) = plan_and_use().await;
    assert_eq!((&*plan.name, plan.uploads_a_month), ("free", Some(5000)));
    assert_eq!(used, usage::Used::default());
    let set = async |user: &str, plan: &str| {
        store
            .set_plan(user, plan, &entry("plan.set"))
            .await
            .unwrap()
    };
    assert!(!set(&ada.id, "nothing").await);
    assert!(!set("nobody", "pro").await);
    assert!(set(&ada.id, "enterprise").await);
    let (plan, _) = plan_and_use().await;
    assert_eq!(
        (&*plan.name, plan.uploads_a_month, plan.bytes_a_month),
        ("enterprise", None, None)
    );
    assert_eq!(store.plans().await.unwrap(), ["enterprise", "free", "pro"]);
}

fn event(id: &str, user: &str, size_bytes: i64) -> NewEvent {
    NewEvent {
        id: id.to_owned(),
        headers: "{}".to_owned(),
        body: "{}".to_owned(),
        user_id: user.to_owned(),
        file: NewFile {
            file_name: "ä.txt".to_owned(),
            message_id: 7,
            file_id: id.to_owned(),
            file_unique_id: None,
            size_bytes: Some(size_bytes),
            mime_type: None,
        },
    }
}

async fn an_event_is_recorded_once_with_its_file_and_its_use(store: &Store, bob: &User) {
    let record =
        async |id, user: &str, size| store.record_upload(&event(id, user, size)).await.unwrap();
    assert!(record("e-1", &bob.id, 5).await);
    assert!(!record("e-1", &bob.id, 5).await);
    assert!(record("e-2", &bob.id, 7).await);
    // Of nobody: kept, and no more.
    assert!(record("e-3", "nobody", 9).await);
    assert_eq!(store.events().await.unwrap().len(), 3);
    // Forgotten, it is not counted again.
    store.clear_events().await.unwrap();
    assert!(record("e-1", &bob.id, 5).await);
    store.clear_events().await.unwrap();
    let used = |uploads, bytes| usage::Used { uploads, bytes };
    assert_eq!(store.used(&bob.id).await.unwrap(), used(2, 12));
    let days = store.used_days(&bob.id, 0).await.unwrap();
    let today = crate::time::day_of(crate::time::unix_now());
    assert_eq!(days.iter().map(|(_, used)| used.uploads).sum::<i64>(), 2);
    assert!(
        days.iter()
            .all(|(day, _)| (today - 1..=today).contains(day))
    );
    let files = store.files_of(&bob.id, 10, 0).await.unwrap();
    assert_eq!(files.len(), 2);

    // No sum leaves the numbers that there are.
    for id in ["e-4", "e-5"] {
        assert!(record(id, &bob.id, i64::MAX).await);
    }
    let (_, sums) = store
        .plan_and_use(&bob.id, 0, today + 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(sums.uploads, 4);
    assert!((usage::MAX_BYTES..=2 * usage::MAX_BYTES + 12).contains(&sums.bytes));
}

async fn a_file_is_one_row_however_often_it_is_told(store: &Store, ada: &User) {
    let file = |size_bytes| NewFile {
        file_name: "ä.txt".to_owned(),
        message_id: 7,
        file_id: "F".to_owned(),
        file_unique_id: None,
        size_bytes,
        mime_type: None,
    };
    let first = store.add_file(&ada.id, &file(None)).await.unwrap();
    let again = store.add_file(&ada.id, &file(Some(5))).await.unwrap();
    assert_eq!(first.id, again.id);
    assert_eq!(again.file.size_bytes, Some(5));
    let files = store.files_of(&ada.id, 10, 0).await.unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].file.file_name, "ä.txt");
}

#[tokio::test]
async fn an_emulated_telegram_of_an_earlier_release_is_kept_until_it_is_taken_over() {
    let path = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
    let database = Database::File(path.clone());
    let has_bots = async |store: &Store| {
        let bots = sqlx::query("SELECT 1 FROM telegram_bots");
        bots.execute(&store.read).await.is_ok()
    };
    let store = Store::open(&database).await.unwrap();
    assert!(!has_bots(&store).await);
    for sql in [
        include_str!("../../../migrations/0002_telegram.sql"),
        "DELETE FROM _sqlx_migrations WHERE version = 6",
        "INSERT INTO telegram_bots VALUES (7, 'hash', 'b', 'B', FALSE)",
    ] {
        sqlx::raw_sql(sql).execute(&store.write).await.unwrap();
    }
    store.close().await;
    let store = Store::open(&database).await.unwrap();
    assert!(has_bots(&store).await);
    let delete = sqlx::query("DELETE FROM telegram_bots");
    delete.execute(&store.write).await.unwrap();
    store.close().await;
    let store = Store::open(&database).await.unwrap();
    assert!(!has_bots(&store).await);
    store.close().await;
    std::fs::remove_file(path).unwrap();
}
