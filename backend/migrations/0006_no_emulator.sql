-- The emulated Telegram has a database of its own. Its tables are dropped here where they are empty, and
-- where it has taken them over they are gone already.

DROP TABLE IF EXISTS telegram_messages;
DROP TABLE IF EXISTS telegram_files;
DROP TABLE IF EXISTS telegram_members;
DROP TABLE IF EXISTS telegram_chats;
DROP TABLE IF EXISTS telegram_bots;
