//! Structs that are rows: one list of fields is the struct, the columns of its queries, and how a row is
//! read.
//!
//! By hand: `derive(sqlx::FromRow)` lists no columns, and compiles sqlx's core a second time, for the
//! compiler.

use sqlx::{AssertSqlSafe, FromRow, Row, any::AnyRow};

/// A row whose columns are known.
pub(super) trait Columns: for<'r> FromRow<'r, AnyRow> {
    /// Their names, with commas between them.
    const COLUMNS: &'static str;
}

/// What a column of a row can be read as.
pub(super) trait Column: Sized {
    fn read(row: &AnyRow, name: &str) -> sqlx::Result<Self>;
}

/// `SELECT` the columns of a `T`, and then what `rest` says.
pub(super) fn select<T: Columns>(rest: &'static str) -> AssertSqlSafe<String> {
    // Made of constants alone.
    AssertSqlSafe(format!("SELECT {} {rest}", T::COLUMNS))
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Column for $type {
            fn read(row: &AnyRow, name: &str) -> sqlx::Result<Self> {
                row.try_get(name)
            }
        }
    )*};
}

plain!(
    String,
    i64,
    Vec<u8>,
    Option<String>,
    Option<i64>,
    Option<Vec<u8>>
);

/// A BIGINT of 1 or 0: `Any` cannot read a BOOLEAN of SQLite.
impl Column for bool {
    fn read(row: &AnyRow, name: &str) -> sqlx::Result<Self> {
        Ok(row.try_get::<i64, _>(name)? == 1)
    }
}

/// Declares a struct that is a row.
macro_rules! row {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident {
            $(#[$first_attribute:meta])*
            $first_visibility:vis $first:ident: $first_type:ty
            $(, $(#[$field_attribute:meta])* $field_visibility:vis $field:ident: $type:ty)* $(,)?
        }
    ) => {
        $(#[$attribute])*
        $visibility struct $name {
            $(#[$first_attribute])*
            $first_visibility $first: $first_type,
            $($(#[$field_attribute])* $field_visibility $field: $type,)*
        }

        impl $crate::store::row::Columns for $name {
            const COLUMNS: &'static str =
                concat!(stringify!($first) $(, ", ", stringify!($field))*);
        }

        impl sqlx::FromRow<'_, sqlx::any::AnyRow> for $name {
            fn from_row(row: &sqlx::any::AnyRow) -> sqlx::Result<Self> {
                use $crate::store::row::Column;
                Ok(Self {
                    $first: <$first_type>::read(row, stringify!($first))?,
                    $($field: <$type>::read(row, stringify!($field))?,)*
                })
            }
        }
    };
}

pub(super) use row;
