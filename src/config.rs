//! The settings. They are read from the environment's variables and secrets at first use.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The cloud Bot API.
pub const CLOUD_TELEGRAM_API_URL: &str = "https://api.telegram.org";
/// What the cloud Bot API takes in one request, in bytes (Bot API, "Sending files": 50 MB).
pub const CLOUD_REQUEST_BYTES: u64 = 50 * 1024 * 1024;
/// The part of it that is reserved for the envelope: parameters, headers of parts, boundaries.
const ENVELOPE_BYTES: u64 = 16 * 1024;
/// What a self-hosted Bot API server takes (Bot API, "Using a Local Bot API Server": 2000 MB).
const LOCAL_REQUEST_BYTES: u64 = 2000 * 1024 * 1024;
/// The largest file that a bot can fetch back from the cloud Bot API, in bytes
/// (tdlib/telegram-bot-api, `MAX_DOWNLOAD_FILE_SIZE`).
const CLOUD_DOWNLOAD_BYTES: u64 = 20 * 1024 * 1024;
/// The largest part that a self-hosted Bot API server accepts, with room for the envelope.
const LOCAL_PART_BYTES: u64 = 2_000_000_000;
/// 100 GiB.
const USUAL_MAX_FILE_BYTES: u64 = 100 * 1024 * 1024 * 1024;
/// The largest integer that JSON numbers hold exactly in JavaScript.
const LARGEST_FILE_BYTES: u64 = (1 << 53) - 1;

/// The longest life of an upload. Telegram deletes no message that is over 48 hours old (Bot API,
/// `deleteMessage`): an hour is left for that.
const MAX_UPLOAD_TTL_SECONDS: u64 = 169_200;

/// Everything that a deployer can set.
#[derive(Debug, Clone)]
pub struct Config {
    /// `BACKEND_URL`: origin, and path if any, without a trailing slash.
    pub backend_url: String,
    /// `TELEGRAM_API_URL`, without a trailing slash.
    pub telegram_api_url: String,
    /// `ALLOWED_ORIGINS`.
    pub allowed_origins: AllowedOrigins,
    /// `MAX_UPLOAD_BYTES`: the largest file.
    pub max_upload_bytes: u64,
    /// `CREDENTIALS_TTL_SECONDS` and `CREDENTIALS_MAX_STALE_SECONDS`.
    pub cache_policy: CachePolicy,
    /// `CREDENTIALS_TIMEOUT_MS`: for one request to the backend.
    pub credentials_timeout_ms: u32,
    /// `TELEGRAM_TIMEOUT_MS`: for Telegram to accept bytes, or to answer after it has them all.
    pub telegram_timeout_ms: u32,
    /// `UPLOAD_TIMEOUT_MS`: for an upload in total.
    pub upload_timeout_ms: u32,
    /// `WEBHOOK_SECRET`.
    pub webhook_secret: Option<WebhookSecret>,
    /// `OUTBOX_RETRY_SECONDS`: how long the outbox tries an event before it parks it.
    pub outbox_retry_ms: u64,
    /// `UPLOAD_TTL_SECONDS`: how long an unfinished upload lives from its last part.
    pub upload_ttl_ms: u64,
    /// `CHAT_MESSAGES_PER_MINUTE`: most messages that large files bring into one chat.
    pub chat_messages_per_minute: u32,
    /// `IDEMPOTENCY_LEASE_SECONDS` and `IDEMPOTENCY_TTL_SECONDS`.
    pub idempotency_policy: RecordPolicy,
    /// `PART_BYTES`: the largest part of a large file.
    pub part_bytes: u64,
    /// `MAX_FILE_BYTES`: the largest file that a resumable upload makes.
    pub max_file_bytes: u64,
    /// `LINK_SECRET`. Without it there are no links.
    pub link_secret: Option<LinkSecret>,
    /// `INTEGRITY`.
    pub integrity: Integrity,
}

impl Config {
    /// Whether Telegram's cloud limits apply: a bot cannot fetch back a file over 20 MB.
    ///
    /// A self-hosted server lifts them in its `--local` mode. Only such a server accepts more than
    /// 50 MB, so a larger `MAX_UPLOAD_BYTES` means that it is one.
    #[must_use]
    pub fn has_cloud_limits(&self) -> bool {
        self.telegram_api_url == CLOUD_TELEGRAM_API_URL
            || self.max_upload_bytes <= CLOUD_REQUEST_BYTES
    }
}

/// How long credentials live in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePolicy {
    /// Milliseconds from the fetch for which credentials are served without asking.
    pub ttl_ms: u64,
    /// Milliseconds after that for which they are served while the backend is down.
    pub max_stale_ms: u64,
}

/// How long idempotency keys are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPolicy {
    /// Milliseconds after which an upload that has not renewed its lease counts as dead.
    pub lease_ms: u64,
    /// Milliseconds from the last event until a key is forgotten.
    pub ttl_ms: u64,
}

/// The key of webhook signatures, 24 to 64 bytes. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

impl WebhookSecret {
    /// Reads `whsec_` + base64 (Standard Webhooks, "Signature scheme").
    ///
    /// # Errors
    /// What is wrong with it, continuing "`WEBHOOK_SECRET` …".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "is not whsec_ followed by the base64 of 24 to 64 bytes";
        let key = text
            .strip_prefix("whsec_")
            .and_then(|base64| STANDARD.decode(base64).ok())
            .ok_or(SHAPE)?;
        if (24..=64).contains(&key.len()) {
            Ok(Self(key))
        } else {
            Err(SHAPE)
        }
    }

    /// The bytes.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// Which pages may read the replies (Fetch standard, "CORS protocol").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// `*`
    Any,
    /// Exactly these origins.
    Listed(Vec<String>),
}

/// When an upload's SHA-256 is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integrity {
    /// `requested`: when the client sends or wants a digest.
    Requested,
    /// `always`.
    Always,
}

/// The secret under which links are sealed. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkSecret(String);

impl LinkSecret {
    /// The fewest bytes of a secret that cannot be guessed.
    const MIN_BYTES: usize = 32;

    /// Checks a secret.
    ///
    /// # Errors
    /// What is wrong with it, continuing "`LINK_SECRET` …".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() < Self::MIN_BYTES {
            return Err("has fewer than 32 characters; make one with `openssl rand -base64 32`");
        }
        Ok(Self(text.to_owned()))
    }

    /// The secret's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkSecret(…)")
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The setting's name.
    pub setting: &'static str,
    /// What is wrong with it, continuing "`NAME` …". It never repeats a secret.
    pub problem: String,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.setting, self.problem)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the settings by name; an empty value counts as not set.
    ///
    /// # Errors
    /// The first setting that is missing or cannot be used.
    pub fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, ConfigError> {
        let get = |name| {
            variable(name)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let allows_http = flag(&get, "ALLOW_INSECURE_HTTP")?;
        let url = |setting, default| base_url(setting, get(setting).or(default), allows_http);
        let cloud = Some(CLOUD_TELEGRAM_API_URL.to_owned());
        Ok(Self {
            backend_url: url("BACKEND_URL", None)?,
            telegram_api_url: url("TELEGRAM_API_URL", cloud)?,
            allowed_origins: origins(get("ALLOWED_ORIGINS").as_deref())?,
            max_upload_bytes: number(
                &get,
                "MAX_UPLOAD_BYTES",
                CLOUD_REQUEST_BYTES - ENVELOPE_BYTES,
                1..=LOCAL_REQUEST_BYTES,
            )?,
            cache_policy: cache_policy(&get)?,
            credentials_timeout_ms: number(&get, "CREDENTIALS_TIMEOUT_MS", 5000, 1..=60_000)?,
            telegram_timeout_ms: number(&get, "TELEGRAM_TIMEOUT_MS", 60_000, 1..=600_000)?,
            upload_timeout_ms: number(&get, "UPLOAD_TIMEOUT_MS", 1_800_000, 1000..=14_400_000)?,
            webhook_secret: get("WEBHOOK_SECRET")
                .map(|text| {
                    WebhookSecret::parse(&text).map_err(|why| problem("WEBHOOK_SECRET", why))
                })
                .transpose()?,
            outbox_retry_ms: 1000
                * number(&get, "OUTBOX_RETRY_SECONDS", 3 * 86_400, 1..=30 * 86_400)?,
            upload_ttl_ms: 1000
                * number(
                    &get,
                    "UPLOAD_TTL_SECONDS",
                    86_400,
                    1..=MAX_UPLOAD_TTL_SECONDS,
                )?,
            chat_messages_per_minute: number(&get, "CHAT_MESSAGES_PER_MINUTE", 20, 1..=60_000)?,
            idempotency_policy: idempotency_policy(&get)?,
            part_bytes: number(
                &get,
                "PART_BYTES",
                CLOUD_DOWNLOAD_BYTES,
                1..=LOCAL_PART_BYTES,
            )?,
            max_file_bytes: number(
                &get,
                "MAX_FILE_BYTES",
                USUAL_MAX_FILE_BYTES,
                1..=LARGEST_FILE_BYTES,
            )?,
            link_secret: get("LINK_SECRET")
                .map(|text| LinkSecret::parse(&text).map_err(|why| problem("LINK_SECRET", why)))
                .transpose()?,
            integrity: integrity(get("INTEGRITY").as_deref())?,
        })
    }
}

fn cache_policy(get: &impl Fn(&'static str) -> Option<String>) -> Result<CachePolicy, ConfigError> {
    Ok(CachePolicy {
        ttl_ms: 1000 * number(get, "CREDENTIALS_TTL_SECONDS", 3600, 1..=30 * 86_400)?,
        max_stale_ms: 1000
            * number(
                get,
                "CREDENTIALS_MAX_STALE_SECONDS",
                86_400,
                0..=30 * 86_400,
            )?,
    })
}

fn idempotency_policy(
    get: &impl Fn(&'static str) -> Option<String>,
) -> Result<RecordPolicy, ConfigError> {
    Ok(RecordPolicy {
        lease_ms: 1000 * number(get, "IDEMPOTENCY_LEASE_SECONDS", 60, 1..=3600)?,
        ttl_ms: 1000 * number(get, "IDEMPOTENCY_TTL_SECONDS", 86_400, 1..=30 * 86_400)?,
    })
}

fn problem(setting: &'static str, problem: impl Into<String>) -> ConfigError {
    ConfigError {
        setting,
        problem: problem.into(),
    }
}

/// An `http(s)://host[:port][/path]`, without credentials, query, fragment or trailing slash. Both
/// the user's token and the bot's travel there: unless `allows_http`, `http` is for this machine.
fn base_url(
    setting: &'static str,
    text: Option<String>,
    allows_http: bool,
) -> Result<String, ConfigError> {
    let text = text.ok_or_else(|| problem(setting, "is not set"))?;
    let insecure = text.strip_prefix("http://");
    let authority = text
        .strip_prefix("https://")
        .or(insecure)
        .and_then(|rest| rest.split('/').next())
        .unwrap_or_default();
    let clean = text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains(['?', '#', '@', '\\']);
    if authority.is_empty() || !clean {
        return Err(problem(
            setting,
            "is not a URL like https://example.org, without query or user name",
        ));
    }
    if insecure.is_some() && !allows_http && !is_loopback(authority) {
        return Err(problem(
            setting,
            "begins with http://, which sends tokens unencrypted to another machine. Use https://, or set \
             ALLOW_INSECURE_HTTP to true",
        ));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Whether a `host[:port]` is this machine (RFC 6761 section 6.3, RFC 1122 section 3.2.1.3, RFC 4291
/// section 2.5.3).
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    host.eq_ignore_ascii_case("localhost")
        || host == "[::1]"
        || host
            .parse()
            .is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback())
}

fn flag(
    get: &impl Fn(&'static str) -> Option<String>,
    setting: &'static str,
) -> Result<bool, ConfigError> {
    match get(setting).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(problem(setting, "is neither `true` nor `false`")),
    }
}

fn integrity(text: Option<&str>) -> Result<Integrity, ConfigError> {
    match text {
        None | Some("requested") => Ok(Integrity::Requested),
        Some("always") => Ok(Integrity::Always),
        Some(_) => Err(problem("INTEGRITY", "is neither `always` nor `requested`")),
    }
}

fn origins(text: Option<&str>) -> Result<AllowedOrigins, ConfigError> {
    let listed: Vec<String> = text
        .unwrap_or("*")
        .split([',', ' ', '\n'])
        .map(|origin| origin.trim().trim_end_matches('/').to_ascii_lowercase())
        .filter(|origin| !origin.is_empty())
        .collect();
    if listed.iter().any(|origin| origin == "*") {
        return Ok(AllowedOrigins::Any);
    }
    match listed.iter().find(|origin| !origin.contains("://")) {
        Some(origin) => Err(problem(
            "ALLOWED_ORIGINS",
            format!("has {origin:?}, which is not like https://example.org"),
        )),
        None => Ok(AllowedOrigins::Listed(listed)),
    }
}

fn number<T>(
    get: &impl Fn(&'static str) -> Option<String>,
    setting: &'static str,
    default: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, ConfigError>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let Some(text) = get(setting) else {
        return Ok(default);
    };
    text.parse()
        .ok()
        .filter(|value| range.contains(value))
        .ok_or_else(|| {
            problem(
                setting,
                format!(
                    "is not a whole number from {} to {}",
                    range.start(),
                    range.end()
                ),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Config, String> {
        let find = |name: &'static str| {
            let found = settings.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Config::read(find).map_err(|error| error.setting.to_owned())
    }

    #[test]
    fn http_is_for_this_machine_unless_it_is_allowed() {
        for (url, is_local) in [
            ("http://localhost", true),
            ("http://LOCALHOST:8788/api", true),
            ("http://127.0.0.1:8788", true),
            ("http://127.8.9.1/", true),
            ("http://[::1]:8788", true),
            ("http://[::1]", true),
            ("http://backend", false),
            ("http://backend.example.org", false),
            ("http://localhost.example.org", false),
            ("http://127.0.0.1.example.org", false),
            ("http://10.0.0.1:80", false),
            ("http://[::2]:80", false),
            ("http://[::1].example.org", false),
            ("http://::1", false),
        ] {
            let telegram = |url| {
                [
                    ("BACKEND_URL", "https://backend"),
                    ("TELEGRAM_API_URL", url),
                ]
            };
            for (setting, settings) in [
                ("BACKEND_URL", vec![("BACKEND_URL", url)]),
                ("TELEGRAM_API_URL", telegram(url).to_vec()),
            ] {
                let expected = if is_local {
                    Ok(())
                } else {
                    Err(setting.to_owned())
                };
                assert_eq!(read(&settings).map(drop), expected, "{url}");
                let allowed = [&settings[..], &[("ALLOW_INSECURE_HTTP", "true")]].concat();
                assert_eq!(read(&allowed).map(drop), Ok(()), "{url}");
                let forbidden = [&settings[..], &[("ALLOW_INSECURE_HTTP", "false")]].concat();
                assert_eq!(read(&forbidden).map(drop), expected, "{url}");
            }
        }
        assert!(read(&[("BACKEND_URL", "https://10.0.0.1")]).is_ok());
        let unclear = [("BACKEND_URL", "https://b"), ("ALLOW_INSECURE_HTTP", "yes")];
        assert_eq!(
            read(&unclear).map(drop),
            Err("ALLOW_INSECURE_HTTP".to_owned())
        );
    }
}
