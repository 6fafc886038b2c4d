//! The same tests on PostgreSQL, each server with a database of its own.

use std::{
    env,
    io::{self, Write},
    process::Command,
    thread,
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testkit::postgres;

/// The server that the tests run on, in the process that runs them a second time.
const VARIABLE: &str = "BACKEND_MOCK_TEST_POSTGRES";
/// What the names of the tests' databases begin with.
const DATABASES: &str = "backend_mock_test_";

#[tokio::test]
async fn the_server_works_the_same_on_postgresql() {
    if is_here() {
        return;
    }
    let Some(server) = postgres::server().await else {
        // Past the capture of the test harness: who reads the result is to know what it is not of.
        let _ = writeln!(
            io::stderr(),
            "skipped: the server on PostgreSQL: neither TEST_DATABASE_URL nor one to start"
        );
        return;
    };
    let mut again = Command::new(env::current_exe().unwrap());
    again.env(VARIABLE, &server.url);
    let output = tokio::task::spawn_blocking(move || again.output().unwrap());
    let output = output.await.unwrap();
    if env::var_os("TEST_DATABASE_URL").is_some() {
        // It stays.
        drop_databases(&server.url).await;
    }
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}

/// Whether this process runs the tests on PostgreSQL.
pub(crate) fn is_here() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// The URL of a new database, where the tests run on PostgreSQL.
pub(crate) fn fresh_database() -> Option<String> {
    let url = env::var(VARIABLE).ok()?;
    let name = format!("{DATABASES}{}", uuid::Uuid::new_v4().simple());
    let (server, _) = url.rsplit_once('/').unwrap();
    let fresh = format!("{server}/{name}");
    // Options are made where nothing can be awaited.
    let create = async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    };
    let creating = thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(create);
    });
    creating.join().unwrap();
    Some(fresh)
}

async fn drop_databases(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let names: Vec<String> =
        sqlx::query_scalar("SELECT datname::TEXT FROM pg_database WHERE datname LIKE $1")
            .bind(format!("{DATABASES}%"))
            .fetch_all(&mut connection)
            .await
            .unwrap();
    for name in names {
        let drop = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
        sqlx::query(drop).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}
