//! A storage in memory that behaves as a Durable Object's does: a turn is one synchronous piece, is
//! written as a whole or not at all, and lists its keys in order.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Bound;

use futures_util::FutureExt as _;

use crate::host::UnixMillis;
use crate::objects::{Range, Storage, StorageFault, Transaction};

type Entries = BTreeMap<String, String>;

/// The storage of one object.
#[derive(Debug, Default)]
pub struct Memory {
    entries: RefCell<Entries>,
    /// When it wants to be woken.
    pub alarm: Cell<Option<UnixMillis>>,
    /// After so many more operations, each one fails.
    pub fails_after: Cell<Option<usize>>,
}

impl Memory {
    /// Everything that is kept.
    #[must_use]
    pub fn entries(&self) -> Entries {
        self.entries.borrow().clone()
    }
}

impl Storage for Memory {
    type Transaction = MemoryTurn;

    async fn turn<T>(
        &self,
        work: impl AsyncFnOnce(&mut MemoryTurn) -> Result<T, StorageFault>,
    ) -> Result<T, StorageFault> {
        let mut tx = MemoryTurn {
            entries: self.entries.take(),
            undo: Vec::new(),
            alarm: self.alarm.get(),
            fails_after: self.fails_after.get(),
        };
        let result = work(&mut tx)
            .now_or_never()
            .expect("a turn waits for nothing but its transaction");
        self.fails_after.set(tx.fails_after);
        if result.is_ok() {
            self.alarm.set(tx.alarm);
        } else {
            tx.roll_back();
        }
        self.entries.replace(tx.entries);
        result
    }
}

/// One turn, which is kept when it ends well.
pub struct MemoryTurn {
    entries: Entries,
    /// What was there before each change.
    undo: Vec<(String, Option<String>)>,
    alarm: Option<UnixMillis>,
    fails_after: Option<usize>,
}

impl MemoryTurn {
    fn roll_back(&mut self) {
        for (key, before) in self.undo.drain(..).rev() {
            match before {
                Some(value) => self.entries.insert(key, value),
                None => self.entries.remove(&key),
            };
        }
    }

    fn step(&mut self) -> Result<(), StorageFault> {
        match &mut self.fails_after {
            Some(0) => Err(StorageFault),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Transaction for MemoryTurn {
    async fn get(&mut self, key: &str) -> Result<Option<String>, StorageFault> {
        self.step()?;
        Ok(self.entries.get(key).cloned())
    }

    async fn put(&mut self, key: &str, value: &str) -> Result<(), StorageFault> {
        self.step()?;
        assert!((1..=2048).contains(&key.len()), "{key} is too long");
        assert!(key.len() + value.len() <= 2_000_000, "{key} holds too much");
        let before = self.entries.insert(key.to_owned(), value.to_owned());
        self.undo.push((key.to_owned(), before));
        Ok(())
    }

    async fn delete(&mut self, key: &str) -> Result<(), StorageFault> {
        self.step()?;
        let before = self.entries.remove(key);
        self.undo.push((key.to_owned(), before));
        Ok(())
    }

    async fn list(&mut self, range: Range<'_>) -> Result<Vec<(String, String)>, StorageFault> {
        self.step()?;
        assert!(range.limit > 0, "workerd refuses a limit of 0");
        let from = match range.after {
            Some(after) if after > range.prefix => Bound::Excluded(after),
            _ => Bound::Included(range.prefix),
        };
        let listed = self.entries.range::<str, _>((from, Bound::Unbounded));
        let listed = listed
            .take_while(|(key, _)| key.starts_with(range.prefix))
            .map(|(key, value)| (key.clone(), value.clone()));
        Ok(listed.take(range.limit).collect())
    }

    async fn set_alarm(&mut self, at: UnixMillis) -> Result<(), StorageFault> {
        self.step()?;
        self.alarm = Some(at);
        Ok(())
    }

    async fn clear_alarm(&mut self) -> Result<(), StorageFault> {
        self.step()?;
        self.alarm = None;
        Ok(())
    }

    async fn clear(&mut self) -> Result<(), StorageFault> {
        self.step()?;
        let entries = std::mem::take(&mut self.entries);
        let removed = entries.into_iter().map(|(key, value)| (key, Some(value)));
        self.undo.extend(removed);
        self.alarm = None;
        Ok(())
    }
}
