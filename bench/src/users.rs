//! The users: everything about one follows from a number, so neither side has to keep a list.

/// A JSON Web Token's header and claims (`exp` in the year 2100), as a backend would issue it.
const TOKEN_START: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
    eyJzdWIiOiI2NmYyYTUxYy05YjNlLTRkNTgtYWU3MC0xYzJkM2U0ZjVhNmIiLCJleHAiOjQxMDI0NDQ4MDB9.";
/// Added to a user's number for the ids of bot and channel.
const FIRST_ID: u64 = 1_000_000_000;
const BOT_SECRET: &str = "AAHk3bXv9Zq2LwTf7RyNc5Md8PsUe1GjKoQ";

/// What the browser shows to the worker, and the worker to the backend.
pub(crate) fn auth_token(user: u64) -> String {
    format!("{TOKEN_START}{user:043}")
}

/// Whose token it is.
pub(crate) fn of_auth_token(token: &str) -> Option<u64> {
    token.strip_prefix(TOKEN_START)?.parse().ok()
}

/// The user's bot.
pub(crate) fn bot_token(user: u64) -> String {
    format!("{}:{BOT_SECRET}", FIRST_ID + user)
}

/// Whose bot it is.
pub(crate) fn of_bot_token(token: &str) -> Option<u64> {
    let (id, secret) = token.split_once(':')?;
    let user = id.parse::<u64>().ok()?.checked_sub(FIRST_ID)?;
    (secret == BOT_SECRET).then_some(user)
}

/// The user's channel.
pub(crate) fn chat_id(user: u64) -> String {
    format!("-100{}", FIRST_ID + user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_tell_the_user() {
        assert_eq!(of_auth_token(&auth_token(42)), Some(42));
        assert_eq!(of_bot_token(&bot_token(42)), Some(42));
        assert_eq!(of_auth_token("42"), None);
        assert_eq!(of_bot_token("42:x"), None);
    }
}
