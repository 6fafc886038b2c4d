//! Connecting a user's own Telegram account: by a code that Telegram sends, or by a QR code that the
//! user's phone scans.
//!
//! ```text
//! request ─▶ waiting ─┬─ the right code, or a scan ─▶ done: session and channel are stored
//!                     ├─ the fifth wrong code ──────▶ failed
//!                     └─ its time is over, or
//!                        another request ───────────▶ expired
//! ```

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use crate::{
    auth::caller::Caller,
    bot_check::{CheckedBot, check_bot, check_channel},
    destinations::Destinations,
    error::ApiError,
    secrets::random,
    store::{
        audit::AuditEntry,
        destinations::TelegramAccount,
        logins::{Begun, Login, LoginMethod, NewLogin, Stage},
        sealed::{API_HASH, INVITE, LOGIN_PHONE, SESSION, SealedColumn},
    },
    telegram::{Telegram, UserAccounts},
};

/// Lifetime of a code, in seconds: enough to look at the phone and type it.
const CODE_TTL_SECONDS: i64 = 300;
/// Lifetime of a QR code, in seconds: a frontend shows a new one after that.
const QR_TTL_SECONDS: i64 = 120;
/// Attempts at one code.
const MAX_ATTEMPTS: i64 = 5;
/// Codes that a user may request in an hour. With five attempts each, guessing one of the 100,000 takes
/// months for an even chance.
const MAX_CODES_AN_HOUR: i64 = 5;
/// QR codes that a user may request in an hour: twice as many as it takes to show one all the time.
const MAX_QR_CODES_AN_HOUR: i64 = 60;
/// Codes have five digits.
const CODES: u32 = 100_000;
/// Digits of a phone number (ITU-T E.164).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// A code is on its way to the phone.
#[derive(Serialize, ToSchema)]
pub(crate) struct CodeSent {
    /// Goes back with the code.
    phone_code_hash: String,
    /// Seconds.
    expires_in: i64,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct CodeAnswer {
    phone: String,
    code: String,
    phone_code_hash: String,
}

/// The account is connected.
#[derive(Serialize, ToSchema)]
pub(crate) struct Connected {
    /// Always `true`.
    success: bool,
    /// The private channel that was made for the user.
    channel_id: String,
    /// Lets people into the channel.
    invite_link: String,
}

/// A QR code to show.
#[derive(Serialize, ToSchema)]
pub(crate) struct QrCode {
    /// To ask what became of it.
    qr_id: String,
    /// What the QR code says: `tg://login?token=…`.
    url: String,
    /// Seconds.
    expires_in: i64,
}

/// What became of a QR code.
#[derive(Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum QrStatus {
    /// No phone has scanned it yet.
    Pending {
        /// Seconds.
        expires_in: i64,
    },
    /// No phone has scanned it in time, or another one was requested.
    Expired,
    /// The account is connected.
    Confirmed(Connected),
}

/// Logs users in to Telegram.
#[derive(Clone, Debug)]
pub(crate) struct Logins {
    pub(crate) telegram: Telegram,
    pub(crate) destinations: Destinations,
}

impl Logins {
    pub(crate) async fn send_code(
        &self,
        caller: &Caller,
        phone: &str,
        now: i64,
    ) -> Result<CodeSent, ApiError> {
        let accounts = self.accounts()?;
        let phone = normal_phone(phone)?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let expires_at = now + CODE_TTL_SECONDS;
        let code = format!("{:05}", u32::from_le_bytes(random()?) % CODES);
        let login = NewLogin {
            method: LoginMethod::Code,
            phone_sealed: Some(
                self.destinations
                    .keys
                    .seal(LOGIN_PHONE.place(&caller.user_id, &id), &phone)?,
            ),
            challenge_sha256: code_hash(&id, &code),
            created_at: now,
            expires_at,
            id,
        };
        self.begin_login(caller, &login, MAX_CODES_AN_HOUR).await?;
        accounts.send_code(&phone, &code, expires_at).await?;
        Ok(CodeSent {
            phone_code_hash: login.id,
            expires_in: CODE_TTL_SECONDS,
        })
    }

    pub(crate) async fn check_code(
        &self,
        caller: &Caller,
        answer: &CodeAnswer,
        now: i64,
    ) -> Result<Connected, ApiError> {
        self.accounts()?;
        let user_id = &caller.user_id;
        let phone = normal_phone(&answer.phone)?;
        let login = self
            .destinations
            .store
            .login(user_id, &answer.phone_code_hash, LoginMethod::Code, now)
            .await?
            .ok_or(ApiError::NoLogin)?;
        let sealed = login.phone_sealed.as_deref().unwrap_or_default();
        if self
            .destinations
            .keys
            .open(LOGIN_PHONE.place(user_id, &login.id), sealed)?
            != phone
        {
            return Err(ApiError::Refused(
                "The code was sent to another phone number".to_owned(),
            ));
        }
        match login.stage {
            Stage::Waiting => {}
            // The client missed the reply.
            Stage::Done if is_right(&login, &answer.code) => return self.connected(user_id).await,
            Stage::Done => return Err(used_up("The code was used")),
            Stage::Expired => return Err(used_up("The code has expired")),
            Stage::Failed => return Err(used_up("Too many wrong codes")),
        }
        let left = self
            .destinations
            .store
            .take_attempt(user_id, &login.id, MAX_ATTEMPTS)
            .await?
            .ok_or_else(|| used_up("Too many wrong codes"))?;
        if is_right(&login, &answer.code) {
            return self.connect(caller, &login).await;
        }
        let entry = AuditEntry {
            result: "wrong code".to_owned(),
            ..caller.entry("telegram.connect", Some(&login.id))
        };
        self.destinations.store.add_audit_entries(&[entry]).await?;
        if left == 0 {
            self.destinations
                .store
                .fail_login(user_id, &login.id)
                .await?;
            return Err(used_up("Too many wrong codes"));
        }
        Err(ApiError::Refused(format!(
            "The code is wrong; attempts left: {left}"
        )))
    }

    pub(crate) async fn show_qr_code(&self, caller: &Caller, now: i64) -> Result<QrCode, ApiError> {
        let accounts = self.accounts()?;
        let expires_at = now + QR_TTL_SECONDS;
        let begun = accounts.begin_qr_login(expires_at).await?;
        let login = NewLogin {
            id: uuid::Uuid::new_v4().simple().to_string(),
            method: LoginMethod::Qr,
            phone_sealed: None,
            challenge_sha256: begun.token_sha256,
            created_at: now,
            expires_at,
        };
        self.begin_login(caller, &login, MAX_QR_CODES_AN_HOUR)
            .await?;
        Ok(QrCode {
            qr_id: login.id,
            url: begun.url,
            expires_in: QR_TTL_SECONDS,
        })
    }

    pub(crate) async fn check_qr_code(
        &self,
        caller: &Caller,
        qr_id: &str,
        now: i64,
    ) -> Result<QrStatus, ApiError> {
        let accounts = self.accounts()?;
        let login = self
            .destinations
            .store
            .login(&caller.user_id, qr_id, LoginMethod::Qr, now)
            .await?
            .ok_or(ApiError::NoLogin)?;
        match login.stage {
            Stage::Waiting if accounts.is_confirmed(&login.challenge_sha256).await? => {
                self.connect(caller, &login).await.map(QrStatus::Confirmed)
            }
            Stage::Waiting => Ok(QrStatus::Pending {
                expires_in: login.expires_at - now,
            }),
            Stage::Done => self
                .connected(&caller.user_id)
                .await
                .map(QrStatus::Confirmed),
            Stage::Expired | Stage::Failed => Ok(QrStatus::Expired),
        }
    }

    async fn begin_login(
        &self,
        caller: &Caller,
        login: &NewLogin,
        max_an_hour: i64,
    ) -> Result<(), ApiError> {
        let begun = self
            .destinations
            .store
            .begin_login(&caller.user_id, login, max_an_hour)
            .await?;
        match begun {
            Begun::Yes => Ok(()),
            Begun::TooMany { oldest_at } => {
                let wait = oldest_at + 3600 - login.created_at;
                Err(ApiError::TooManyRequests {
                    retry_after_seconds: u64::try_from(wait).unwrap_or(1).max(1),
                })
            }
        }
    }

    /// Where users log in to Telegram.
    fn accounts(&self) -> Result<&dyn UserAccounts, ApiError> {
        let accounts = self.telegram.accounts.as_deref();
        accounts.ok_or(ApiError::NoTelegramLogin)
    }

    /// Logs in, and stores the session and a channel. The channel of an earlier login stays: the user's files
    /// are there.
    async fn connect(&self, caller: &Caller, login: &Login) -> Result<Connected, ApiError> {
        let accounts = self.accounts()?;
        let user_id = &caller.user_id;
        let seal = |column: SealedColumn, secret: &str| {
            self.destinations
                .keys
                .seal(column.place(user_id, ""), secret)
        };
        let earlier = self.destinations.store.telegram_account_of(user_id).await?;
        let earlier = earlier.and_then(|account| account.channel_id.zip(account.invite_sealed));
        let (channel_id, invite_sealed) = if let Some(channel) = earlier {
            channel
        } else {
            let channel = accounts.make_channel().await?;
            (channel.id.to_string(), seal(INVITE, &channel.invite_link)?)
        };
        let session = accounts.log_in().await?;
        let account = TelegramAccount {
            api_id: session.api_id,
            api_hash_sealed: seal(API_HASH, &session.api_hash)?,
            session_sealed: seal(SESSION, &session.session)?,
            channel_id: Some(channel_id),
            invite_sealed: Some(invite_sealed),
        };
        let entry = caller.entry("telegram.connect", Some(&login.id));
        // If another request has finished the login first, its account stays.
        self.destinations
            .store
            .finish_login(user_id, &login.id, &account, &entry)
            .await?;
        self.complete_destination(caller).await?;
        self.connected(user_id).await
    }

    /// Gives the new channel to a bot that was set without one.
    async fn complete_destination(&self, caller: &Caller) -> Result<(), ApiError> {
        let user_id = &caller.user_id;
        let Some((bot_token, None)) = self.destinations.bot_and_channel(user_id).await? else {
            return Ok(());
        };
        // The login succeeds even if the bot is gone.
        let Ok(bot) = check_bot(&*self.telegram.bot_api, &bot_token).await else {
            return Ok(());
        };
        let Some(channel_id) = self.own_channel(user_id, &bot).await? else {
            return Ok(());
        };
        let channel = check_channel(&*self.telegram.bot_api, &bot, &channel_id).await?;
        let entry = caller.entry("credentials.set", None);
        self.destinations
            .set_preferred(user_id, &bot, Some(&channel), &entry)
            .await
    }

    /// The channel that was made for the user, with the bot as an administrator of it.
    pub(crate) async fn own_channel(
        &self,
        user_id: &str,
        bot: &CheckedBot,
    ) -> Result<Option<String>, ApiError> {
        let account = self.destinations.store.telegram_account_of(user_id).await?;
        let channel_id = account.and_then(|account| account.channel_id);
        if let (Some(accounts), Some(id)) = (&self.telegram.accounts, &channel_id)
            && let Ok(id) = id.parse()
        {
            accounts.promote(id, bot.user.id).await?;
        }
        Ok(channel_id)
    }

    /// The reply about the user's connected account.
    async fn connected(&self, user_id: &str) -> Result<Connected, ApiError> {
        let account = self.destinations.store.telegram_account_of(user_id).await?;
        let channel = account.and_then(|account| account.channel_id.zip(account.invite_sealed));
        // The user has removed all data in between.
        let (channel_id, invite_sealed) = channel.ok_or(ApiError::NoLogin)?;
        Ok(Connected {
            success: true,
            channel_id,
            invite_link: self
                .destinations
                .keys
                .open(INVITE.place(user_id, ""), &invite_sealed)?,
        })
    }
}

/// The number as `+` and digits.
fn normal_phone(text: &str) -> Result<String, ApiError> {
    let mut digits = text.trim();
    digits = digits.strip_prefix('+').unwrap_or(digits);
    let digits: String = digits
        .chars()
        .filter(|character| !" -.()".contains(*character))
        .collect();
    let good = PHONE_DIGITS.contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    if good {
        Ok(format!("+{digits}"))
    } else {
        Err(ApiError::Unprocessable(
            "phone: must have a country code and 7 to 15 digits, like +49 151 23456789".to_owned(),
        ))
    }
}

/// The hash of a code, which is valid for one login only.
fn code_hash(login_id: &str, code: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(login_id)
        .chain_update(":")
        .chain_update(code)
        .finalize()
        .into()
}

fn is_right(login: &Login, code: &str) -> bool {
    let hash = code_hash(&login.id, code.trim());
    login.challenge_sha256.ct_eq(&hash).into()
}

fn used_up(why: &str) -> ApiError {
    ApiError::Refused(format!("{why}; request another one"))
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Arc};

    use super::*;
    use crate::{
        auth::caller::Via,
        http::request::Origin,
        secrets::KeyRing,
        store::{Database, Store, users::User},
        telegram::fake::{self, Phones, QR_TOKEN_SHA256},
        worker_hook::WorkerHook,
    };

    const PHONE: &str = "+49 151 2345-6789";
    const NOW: i64 = 4_000_000_000;

    async fn logins_and_caller() -> (Logins, Caller, Arc<Phones>) {
        let (telegram, phones) = fake::telegram();
        let destinations = Destinations {
            store: Store::open(&Database::Memory).await.unwrap(),
            keys: Arc::new(KeyRing::generate().unwrap()),
            worker: WorkerHook::new(None, None).unwrap(),
            deployment_bot: None,
        };
        let user = User::new("ada@example.com", "Ada", "free");
        destinations.store.add_user(&user).await.unwrap();
        let origin = Origin {
            address: Ipv4Addr::LOCALHOST.into(),
            request_id: "test".into(),
        };
        let logins = Logins {
            telegram,
            destinations,
        };
        (logins, Caller::new(user.id, Via::Session, origin), phones)
    }

    fn answer(sent: &CodeSent, code: &str) -> CodeAnswer {
        CodeAnswer {
            phone: PHONE.to_owned(),
            code: code.to_owned(),
            phone_code_hash: sent.phone_code_hash.clone(),
        }
    }

    fn refusal<T>(result: Result<T, ApiError>) -> String {
        match result {
            Ok(_) => panic!("not refused"),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn a_code_is_good_for_five_minutes() {
        let (logins, caller, phones) = logins_and_caller().await;
        let sent = logins.send_code(&caller, PHONE, NOW).await.unwrap();
        let right = answer(&sent, &phones.code());
        let late = logins.check_code(&caller, &right, NOW + CODE_TTL_SECONDS);
        assert_eq!(
            refusal(late.await),
            "The code has expired; request another one"
        );
        let in_time = logins.check_code(&caller, &right, NOW + CODE_TTL_SECONDS - 1);
        assert!(in_time.await.is_ok());
    }

    #[tokio::test]
    async fn another_code_takes_the_place_of_the_one_before() {
        let (logins, caller, phones) = logins_and_caller().await;
        let first = logins.send_code(&caller, PHONE, NOW).await.unwrap();
        let old = answer(&first, &phones.code());
        logins.send_code(&caller, PHONE, NOW + 1).await.unwrap();
        let late = logins.check_code(&caller, &old, NOW + 2).await;
        assert_eq!(refusal(late), "The code has expired; request another one");
    }

    #[tokio::test]
    async fn five_codes_are_sent_in_an_hour() {
        let (logins, caller, _) = logins_and_caller().await;
        for at in NOW..NOW + MAX_CODES_AN_HOUR {
            logins.send_code(&caller, PHONE, at).await.unwrap();
        }
        let refused = logins.send_code(&caller, PHONE, NOW + 600).await;
        let Err(ApiError::TooManyRequests {
            retry_after_seconds,
        }) = refused
        else {
            panic!("not refused");
        };
        assert_eq!(retry_after_seconds, 3000);
        let later = NOW + 3600;
        assert!(logins.send_code(&caller, PHONE, later).await.is_ok());
        let again = logins.send_code(&caller, PHONE, later).await;
        assert!(again.is_err());
    }

    #[tokio::test]
    async fn a_qr_code_is_good_for_two_minutes() {
        let (logins, caller, phones) = logins_and_caller().await;
        let code = logins.show_qr_code(&caller, NOW).await.unwrap();
        let last = NOW + QR_TTL_SECONDS - 1;
        let status = logins
            .check_qr_code(&caller, &code.qr_id, last)
            .await
            .unwrap();
        assert!(matches!(status, QrStatus::Pending { expires_in: 1 }));
        phones.scan(QR_TOKEN_SHA256);
        let status = logins.check_qr_code(&caller, &code.qr_id, last + 1).await;
        assert!(matches!(status, Ok(QrStatus::Expired)));
        let status = logins.check_qr_code(&caller, &code.qr_id, last).await;
        assert!(matches!(status, Ok(QrStatus::Confirmed(_))));
    }

    #[test]
    fn a_phone_number_is_read_as_people_write_it() {
        for text in ["+4915123456789", "49 151 2345-6789", "+49 (151) 2345.6789 "] {
            assert_eq!(normal_phone(text).unwrap(), "+4915123456789");
        }
        for text in [
            "",
            "+",
            "123456",
            "1234567890123456",
            "0491512345",
            "+49é151234",
        ] {
            assert!(normal_phone(text).is_err(), "{text}");
        }
    }
}
