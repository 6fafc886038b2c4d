//! What a durable object keeps: ordered keys and their values, and one alarm.
//!
//! This is the least that a Durable Object's storage, a SQLite file and a PostgreSQL table have in
//! common, so a host needs no SQL dialect.

use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::UnixMillis;

/// A durable object's storage failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageFault;

/// The storage of one durable object.
pub trait Storage {
    /// What a turn reads and writes with.
    type Transaction: Transaction;

    /// Runs one turn: a transaction that no other turn of this object interleaves with. Everything
    /// it wrote, the alarm included, is on disk before anything that the object says goes out.
    ///
    /// `work` waits for nothing but its transaction: no network, no timer. On workerd a turn is one
    /// synchronous piece, and fails when `work` waits for anything else.
    ///
    /// # Errors
    /// [`StorageFault`], also when `work` returns one. Nothing of the turn is then kept.
    fn turn<T>(
        &self,
        work: impl AsyncFnOnce(&mut Self::Transaction) -> Result<T, StorageFault>,
    ) -> impl Future<Output = Result<T, StorageFault>>;
}

/// A range of keys, in ascending order of their UTF-8 bytes.
#[derive(Debug, Clone, Copy)]
pub struct Range<'a> {
    /// What the keys begin with.
    pub prefix: &'a str,
    /// The keys begin after this one.
    pub after: Option<&'a str>,
    /// Most keys that are listed; 1 at least.
    pub limit: usize,
}

impl<'a> Range<'a> {
    /// The first `limit` keys with this prefix.
    #[must_use]
    pub fn first(prefix: &'a str, limit: usize) -> Self {
        Self {
            prefix,
            after: None,
            limit,
        }
    }
}

/// One turn. It reads what it wrote.
///
/// A key has 1 to 2,048 bytes, and a key with its value at most 2 MB (developers.cloudflare.com,
/// "Durable Objects: Limits").
pub trait Transaction {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StorageFault`].
    fn get(&mut self, key: &str) -> impl Future<Output = Result<Option<String>, StorageFault>>;

    /// Sets the value of a key.
    ///
    /// # Errors
    /// [`StorageFault`].
    fn put(&mut self, key: &str, value: &str) -> impl Future<Output = Result<(), StorageFault>>;

    /// Removes a key, if it is there.
    ///
    /// # Errors
    /// [`StorageFault`].
    fn delete(&mut self, key: &str) -> impl Future<Output = Result<(), StorageFault>>;

    /// The keys of a range, with their values.
    ///
    /// # Errors
    /// [`StorageFault`].
    fn list(
        &mut self,
        range: Range<'_>,
    ) -> impl Future<Output = Result<Vec<(String, String)>, StorageFault>>;

    /// Wakes the object at that time, instead of any other; at once if the time is past.
    ///
    /// # Errors
    /// [`StorageFault`].
    fn set_alarm(&mut self, at: UnixMillis) -> impl Future<Output = Result<(), StorageFault>>;

    /// Lets the object sleep until it is asked again.
    ///
    /// # Errors
    /// [`StorageFault`].
    fn clear_alarm(&mut self) -> impl Future<Output = Result<(), StorageFault>>;

    /// Removes every key and the alarm, as if the object had never been there. It ends the turn: what
    /// is written after it may be lost.
    ///
    /// # Errors
    /// [`StorageFault`].
    fn clear(&mut self) -> impl Future<Output = Result<(), StorageFault>>;

    /// Reads a value that [`Transaction::write`] wrote.
    ///
    /// # Errors
    /// [`StorageFault`], also for a value that can't be read as this type.
    fn read<T: DeserializeOwned>(
        &mut self,
        key: &str,
    ) -> impl Future<Output = Result<Option<T>, StorageFault>> {
        async move {
            let value = self.get(key).await?;
            value.as_deref().map(parse).transpose()
        }
    }

    /// Sets the value of a key, as JSON.
    ///
    /// # Errors
    /// [`StorageFault`].
    fn write(
        &mut self,
        key: &str,
        value: &impl Serialize,
    ) -> impl Future<Output = Result<(), StorageFault>> {
        async move {
            let json = serde_json::to_string(value).map_err(|_| StorageFault)?;
            self.put(key, &json).await
        }
    }
}

/// Reads a listed value that [`Transaction::write`] wrote.
///
/// # Errors
/// [`StorageFault`] for a value that can't be read as this type.
pub fn parse<T: DeserializeOwned>(value: &str) -> Result<T, StorageFault> {
    serde_json::from_str(value).map_err(|_| StorageFault)
}
