//! Keeps the pace that Telegram asks for.
//!
//! A channel takes about one message a second and 20 a minute, and the server itself spaces files of
//! the same size from one bot (`telegram-bot-api`, identical sizes over 100,000 bytes). Only Telegram
//! knows its exact limits, so no upload waits until Telegram answers 429. After that, and until a
//! minute has passed without another 429, uploads by that bot to that chat, and uploads of that size by
//! that bot, go out one after the other. Each upload learns how long to wait, on a timer of its own. An upload
//! that would have to wait too long is refused with a time to try again, which bounds the queue.
//! However long Telegram asks to wait, one upload tries again after [`MAX_WAIT_MS`]: no upload is
//! refused because of an old answer.

use std::collections::HashMap;

use super::{BotToken, ChatId};
use crate::host::UnixMillis;

/// The longest that an upload waits for its turn, and for a 429 to pass, in milliseconds.
pub const MAX_WAIT_MS: u64 = 5_000;
/// How long the pace is kept after a 429, in milliseconds: Telegram counts by the minute.
const KEPT_MS: u64 = 60_000;
/// Between two messages to one chat (Bot API FAQ: "avoid sending more than one message per second").
const CHAT_SPACING_MS: u64 = 1_000;
/// Files up to this size, in bytes, are not spaced by their size.
const MAX_UNSPACED_BYTES: u64 = 100_000;
/// Most paces that are kept. The one that ends first is dropped first.
const MAX_PACES: usize = 1024;

/// When an upload may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Now,
    /// After this many milliseconds. The turn is reserved.
    After {
        /// At most [`MAX_WAIT_MS`].
        ms: u64,
    },
    /// Too late to wait for: try again later.
    Full {
        /// Seconds.
        retry_after: u32,
    },
}

/// What a pace applies to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// A bot's id, and a chat: another bot's messages to the chat count for that bot.
    Chat(String, String),
    /// A bot's id, and a file's size in bytes.
    Size(String, u64),
}

#[derive(Debug)]
struct Pace {
    /// When the next upload may go out.
    open_at: UnixMillis,
    /// Until when Telegram asked to wait.
    asked_until: UnixMillis,
    /// When the pace is forgotten.
    ends_at: UnixMillis,
}

/// The paces that one isolate keeps.
#[derive(Debug, Default)]
pub struct Pacer {
    paces: HashMap<Key, Pace>,
}

impl Pacer {
    /// Takes a turn for a message to this chat. `size` is the size of the file in bytes, if known.
    pub fn take_turn(
        &mut self,
        bot: &BotToken,
        chat: &ChatId,
        size: Option<u64>,
        now: UnixMillis,
    ) -> Turn {
        if self.paces.is_empty() {
            return Turn::Now;
        }
        self.paces.retain(|_, pace| now < pace.ends_at);
        let keys = keys(bot, chat, size);
        let latest = |time: fn(&Pace) -> UnixMillis| {
            let paces = keys.iter().filter_map(|key| self.paces.get(key));
            paces.map(time).fold(now, UnixMillis::max)
        };
        let open_at = latest(|pace| pace.open_at);
        let wait_ms = open_at - now;
        if wait_ms > MAX_WAIT_MS {
            let wait_ms = open_at.max(latest(|pace| pace.asked_until)) - now;
            return Turn::Full {
                retry_after: u32::try_from(wait_ms.div_ceil(1000)).unwrap_or(u32::MAX),
            };
        }
        for key in &keys {
            if let Some(pace) = self.paces.get_mut(key) {
                pace.open_at = open_at + key.spacing_ms();
            }
        }
        match wait_ms {
            0 => Turn::Now,
            ms => Turn::After { ms },
        }
    }

    /// Notes that Telegram answered 429 to such a message, and asked to wait this many seconds.
    pub fn asked_to_wait(
        &mut self,
        bot: &BotToken,
        chat: &ChatId,
        size: Option<u64>,
        seconds: u32,
        now: UnixMillis,
    ) {
        let asked_ms = 1000 * u64::from(seconds);
        let open_at = now + asked_ms.min(MAX_WAIT_MS);
        for key in keys(bot, chat, size) {
            if self.paces.len() >= MAX_PACES
                && !self.paces.contains_key(&key)
                && let Some(oldest) = self
                    .paces
                    .iter()
                    .min_by_key(|(_, pace)| pace.ends_at)
                    .map(|(key, _)| key.clone())
            {
                self.paces.remove(&oldest);
            }
            let pace = self.paces.entry(key).or_insert(Pace {
                open_at,
                asked_until: 0,
                ends_at: 0,
            });
            pace.open_at = pace.open_at.max(open_at);
            pace.asked_until = pace.asked_until.max(now + asked_ms);
            pace.ends_at = pace.asked_until.max(pace.open_at) + KEPT_MS;
        }
    }
}

impl Key {
    fn spacing_ms(&self) -> u64 {
        match self {
            Self::Chat(..) => CHAT_SPACING_MS,
            // 0.1 seconds a megabyte, at least 0.2 and at most 0.9 (`telegram-bot-api`).
            Self::Size(_, bytes) => (bytes / 10_000).clamp(200, 900),
        }
    }
}

fn keys(bot: &BotToken, chat: &ChatId, size: Option<u64>) -> Vec<Key> {
    let size = size
        .filter(|&bytes| bytes > MAX_UNSPACED_BYTES)
        .map(|bytes| Key::Size(bot.id().to_owned(), bytes));
    let chat = Key::Chat(bot.id().to_owned(), chat.as_str().to_owned());
    std::iter::once(chat).chain(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bot(id: &str) -> BotToken {
        BotToken::parse(&format!("{id}:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")).expect("a token")
    }

    fn chat(id: &str) -> ChatId {
        ChatId::parse(id).expect("a chat")
    }

    #[test]
    fn no_upload_waits_until_telegram_asks_for_it() {
        let mut pacer = Pacer::default();
        for _ in 0..100 {
            assert_eq!(
                pacer.take_turn(&bot("1"), &chat("-1"), Some(5_000_000), 0),
                Turn::Now
            );
        }
    }

    #[test]
    fn after_a_429_a_chats_uploads_go_out_one_a_second_and_the_queue_is_bounded() {
        let mut pacer = Pacer::default();
        pacer.asked_to_wait(&bot("1"), &chat("-1"), None, 3, 1000);
        let mut take = |chat_id, now| pacer.take_turn(&bot("1"), &chat(chat_id), None, now);
        assert_eq!(take("-1", 1000), Turn::After { ms: 3000 });
        assert_eq!(take("-1", 1000), Turn::After { ms: 4000 });
        assert_eq!(take("-1", 1500), Turn::After { ms: 4500 });
        assert_eq!(take("-1", 1500), Turn::Full { retry_after: 6 });
        assert_eq!(
            take("-1", 1500),
            Turn::Full { retry_after: 6 },
            "takes no turn"
        );
        assert_eq!(take("-2", 1500), Turn::Now, "another chat");
        assert_eq!(take("-1", 9000), Turn::Now);
        assert_eq!(take("-1", 9000), Turn::After { ms: 1000 });
        assert_eq!(take("-1", 64_000), Turn::Now, "a minute is over");
        assert_eq!(take("-1", 64_000), Turn::Now);
    }

    /// Telegram counts a bot's messages, not the chat's: another user's bot in the same channel has a
    /// limit of its own (Bot API FAQ, "My bot is hitting limits").
    #[test]
    fn the_429_of_one_bot_does_not_slow_another_bot_in_the_same_chat() {
        let mut pacer = Pacer::default();
        pacer.asked_to_wait(&bot("1"), &chat("-1"), None, 60, 0);
        let mut take = |bot_id| pacer.take_turn(&bot(bot_id), &chat("-1"), None, 0);
        assert_eq!(take("1"), Turn::After { ms: 5000 });
        assert_eq!(take("2"), Turn::Now);
        assert_eq!(take("2"), Turn::Now);
    }

    #[test]
    fn files_of_one_size_by_one_bot_are_spaced_whatever_their_chat() {
        let mut pacer = Pacer::default();
        pacer.asked_to_wait(&bot("1"), &chat("-1"), Some(5_000_000), 0, 0);
        let mut take = |bot_id, size| pacer.take_turn(&bot(bot_id), &chat("-2"), Some(size), 0);
        assert_eq!(take("1", 5_000_000), Turn::Now);
        assert_eq!(take("1", 5_000_000), Turn::After { ms: 500 });
        assert_eq!(take("1", 5_000_000), Turn::After { ms: 1000 });
        assert_eq!(take("1", 5_000_001), Turn::Now, "another size");
        assert_eq!(take("2", 5_000_000), Turn::Now, "another bot");
    }

    #[test]
    fn one_upload_tries_again_before_a_long_wait_is_over() {
        let mut pacer = Pacer::default();
        pacer.asked_to_wait(&bot("1"), &chat("-1"), None, 60, 0);
        let mut take = |now| pacer.take_turn(&bot("1"), &chat("-1"), None, now);
        assert_eq!(take(0), Turn::After { ms: 5000 });
        assert_eq!(take(0), Turn::Full { retry_after: 60 });
        assert_eq!(take(6000), Turn::Now);
    }

    #[test]
    fn a_shorter_wait_does_not_shorten_a_longer_one() {
        let mut pacer = Pacer::default();
        pacer.asked_to_wait(&bot("1"), &chat("-1"), None, 4, 0);
        pacer.asked_to_wait(&bot("1"), &chat("-1"), None, 1, 0);
        assert_eq!(
            pacer.take_turn(&bot("1"), &chat("-1"), None, 0),
            Turn::After { ms: 4000 }
        );
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut pacer = Pacer::default();
        for id in 0..2000_u64 {
            pacer.asked_to_wait(&bot("1"), &chat(&format!("-{id}")), None, u32::MAX, id);
        }
        assert_eq!(pacer.paces.len(), MAX_PACES);
    }
}
