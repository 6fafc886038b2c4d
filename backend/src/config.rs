//! The environment, read once: in which mode the server runs, and with which secrets.
//!
//! **Development** is when `DEBUG` is `true`, or `DEPLOY_ENV` is not set: a file `.env` is read (what
//! the process has set already wins), missing secrets are made, Telegram is emulated, and the
//! deployment's bot serves everybody that has none. **Production** is when `DEPLOY_ENV` is set: each
//! user has a bot of its own, and nothing starts with a missing or weak secret.

use std::{
    collections::{BTreeSet, HashMap},
    env::{self, VarError},
    fs, io,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{destinations::DeploymentBot, limits::RequestLimits, options::Options};

/// The variables, for the help of a program. Secrets are in the environment and not on the command
/// line, which every user of the machine can read.
pub const ENVIRONMENT_HELP: &str = "\
Environment:
  ENCRYPTION_KEY       32 bytes in base64 to seal secrets under, or a list `label:key,label:key`: the
                       first seals, all open; default: a generated key in <PATH>.key
  ENCRYPTION_KEY_FILE  a file with such a list; read again when `rotate-key` adds to it
  JWT_SECRET           secret of access tokens; default: made at the first start, and kept sealed in the
                       database
  WEBHOOK_SECRET       secret (whsec_…) that the worker and this server sign webhooks with; default:
                       those that come may be unsigned, and none is sent
  DATABASE_URL         postgres://… in place of the SQLite file
  TELEGRAM_API_URL     the Bot API that settings are checked with; default: https://api.telegram.org
  API_TOKENS           tokens of the deployment, like `admin:…,analyst:…`; each is a user of its own
  WORKER_URL           where clients upload to, for /api/auth/client-config; with WEBHOOK_SECRET, the
                       worker there is told when a user's bot, channel or key changes
  MAX_UPLOAD_BYTES     the worker's limit, for the same; default: 52412416
  TRUST_FORWARDED_FOR  `true` behind a proxy that adds the client's address to X-Forwarded-For
  RATE_LIMIT_ADDRESS_PER_MINUTE, RATE_LIMIT_USER_PER_MINUTE, RATE_LIMIT_SIGN_IN_PER_MINUTE
                       0: without limit; default: 60000, 1200, 30 in production, else none
  RUST_LOG             what is logged; default: info

Modes:
  DEPLOY_ENV           set: production. ENCRYPTION_KEY (or its file) and JWT_SECRET must be set and
                       strong
  DEBUG                true: development, whatever DEPLOY_ENV says. In development a file .env is
                       read, and these serve every user that has no bot of its own:
  TELEGRAM_BOT_TOKEN, TELEGRAM_CHANNEL_ID

What is gathered for a second before it is written, and lost when the process is killed: the counts
and times of use of API keys, and in the audit log fetches of credentials and refusals. Nothing else.";

/// The file of variables that development reads.
const ENV_FILE: &str = ".env";
/// Shortest `JWT_SECRET` in production, in bytes: the length of the hash that it keys (RFC 7518, 3.2).
const MIN_JWT_SECRET_BYTES: usize = 32;
/// Fewest different bytes in a secret. Of 32 random ones, fewer come once in 10^14 times.
const MIN_DIFFERENT_BYTES: usize = 16;
/// The same for a text, whose characters are of a smaller alphabet, such as hexadecimal.
const MIN_DIFFERENT_CHARACTERS: usize = 8;
/// What stands in examples and templates.
const EXAMPLES: [&str; 9] = [
    "change-me",
    "change_me",
    "changeme",
    "example",
    "insecure",
    "jwt_secret",
    "password",
    "secret-key",
    "your-",
];
/// Limits in production, in requests a minute, where the environment names none. A worker asks for
/// all of its users, so an address has far more than a user.
const ADDRESS_PER_MINUTE: u32 = 60_000;
const USER_PER_MINUTE: u32 = 1_200;
const SIGN_IN_PER_MINUTE: u32 = 30;

/// Why the server does not start in this environment.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A variable is not what it should be.
    #[error("{name} {what}")]
    Malformed {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A secret is missing, or can be guessed.
    #[error(
        "production (DEPLOY_ENV is set) needs a strong {name}: {what}. Make one with \
         `openssl rand -base64 32`"
    )]
    WeakSecret {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file of variables cannot be read.
    #[error("{ENV_FILE}: {0}")]
    EnvFile(String),
}

/// The variables of the process, and those of `.env` in development.
pub struct Environment {
    variables: HashMap<String, String>,
    production: bool,
}

impl Environment {
    /// Reads the variables of the process, and in development those of `.env` in the working folder.
    ///
    /// # Errors
    /// When a variable is not UTF-8, or `.env` cannot be read.
    pub fn read() -> Result<Self, ConfigError> {
        let mut variables = HashMap::new();
        for name in VARIABLES {
            match env::var(name) {
                Ok(text) => {
                    variables.insert(name.to_owned(), text);
                }
                Err(VarError::NotPresent) => {}
                Err(VarError::NotUnicode(_)) => return Err(malformed(name, "is not UTF-8")),
            }
        }
        let environment = Self::of(variables);
        if environment.production {
            return Ok(environment);
        }
        environment.with_file(Path::new(ENV_FILE))
    }

    fn of(mut variables: HashMap<String, String>) -> Self {
        // One that is set to nothing counts as not set.
        variables.retain(|_, text| !text.trim().is_empty());
        let debug = variables
            .get("DEBUG")
            .is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1");
        Self {
            production: !debug && variables.contains_key("DEPLOY_ENV"),
            variables,
        }
    }

    fn with_file(mut self, path: &Path) -> Result<Self, ConfigError> {
        let entries = match dotenvy::from_path_iter(path) {
            Ok(entries) => entries,
            Err(dotenvy::Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(self);
            }
            Err(_) => return Err(ConfigError::EnvFile("cannot be read".to_owned())),
        };
        for entry in entries {
            // The error of the crate shows the line, which may hold a secret.
            let (name, text) = entry
                .map_err(|_| ConfigError::EnvFile("a line is not like NAME=value".to_owned()))?;
            if !text.trim().is_empty() {
                self.variables.entry(name).or_insert(text);
            }
        }
        Ok(self)
    }

    /// Whether real users are served: `DEPLOY_ENV` is set, and `DEBUG` is not `true`.
    #[must_use]
    pub fn is_production(&self) -> bool {
        self.production
    }

    /// Fills in what the environment says.
    ///
    /// # Errors
    /// When a variable is malformed, or in production a secret is missing or weak, or a flag is set
    /// that belongs to development.
    pub fn apply(&self, options: Options) -> Result<Options, ConfigError> {
        if self.production {
            self.check_production()?;
        }
        Ok(Options {
            database_url: self.text("DATABASE_URL"),
            encryption_key: self.text("ENCRYPTION_KEY"),
            encryption_key_file: self.text("ENCRYPTION_KEY_FILE").map(PathBuf::from),
            jwt_secret: self.text("JWT_SECRET"),
            webhook_secret: self.parsed("WEBHOOK_SECRET")?,
            api_tokens: self.parsed("API_TOKENS")?.unwrap_or_default(),
            deployment_bot: self.deployment_bot()?,
            telegram_api_url: self.text("TELEGRAM_API_URL"),
            request_limits: self.request_limits()?,
            trust_forwarded_for: self.parsed("TRUST_FORWARDED_FOR")?.unwrap_or_default(),
            worker_url: self.worker_url()?,
            max_upload_bytes: self
                .parsed("MAX_UPLOAD_BYTES")?
                .unwrap_or(options.max_upload_bytes),
            ..options
        })
    }

    fn check_production(&self) -> Result<(), ConfigError> {
        let weak = |name, what| ConfigError::WeakSecret { name, what };
        let keys = match (
            self.text("ENCRYPTION_KEY"),
            self.text("ENCRYPTION_KEY_FILE"),
        ) {
            (Some(keys), _) => keys,
            (None, Some(path)) => fs::read_to_string(path)
                .map_err(|error| malformed("ENCRYPTION_KEY_FILE", &error.to_string()))?,
            (None, None) => return Err(weak("ENCRYPTION_KEY", "it is not set")),
        };
        if let Some(what) = weakness_of_keys(&keys) {
            return Err(weak("ENCRYPTION_KEY", what));
        }
        let jwt_secret = self.text("JWT_SECRET");
        let jwt_secret = jwt_secret.ok_or(weak("JWT_SECRET", "it is not set"))?;
        match weakness_of_text(&jwt_secret) {
            Some(what) => Err(weak("JWT_SECRET", what)),
            None => Ok(()),
        }
    }

    fn worker_url(&self) -> Result<Option<String>, ConfigError> {
        let url: Option<reqwest::Url> = self.parsed("WORKER_URL")?;
        match url {
            Some(url) if !["http", "https"].contains(&url.scheme()) => Err(malformed(
                "WORKER_URL",
                "must begin with https:// or http://",
            )),
            _ => Ok(self.text("WORKER_URL")),
        }
    }

    fn deployment_bot(&self) -> Result<Option<DeploymentBot>, ConfigError> {
        if self.production {
            return Ok(None);
        }
        match (
            self.text("TELEGRAM_BOT_TOKEN"),
            self.text("TELEGRAM_CHANNEL_ID"),
        ) {
            (Some(bot_token), Some(channel_id)) => Ok(Some(DeploymentBot {
                bot_token,
                channel_id,
            })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(malformed(
                "TELEGRAM_BOT_TOKEN",
                "is set without TELEGRAM_CHANNEL_ID",
            )),
            (None, Some(_)) => Err(malformed(
                "TELEGRAM_CHANNEL_ID",
                "is set without TELEGRAM_BOT_TOKEN",
            )),
        }
    }

    fn request_limits(&self) -> Result<RequestLimits, ConfigError> {
        let limit = |name, in_production| {
            let by_default = if self.production { in_production } else { 0 };
            let limit = self.parsed(name)?.unwrap_or(by_default);
            Ok(NonZeroU32::new(limit))
        };
        Ok(RequestLimits {
            address_per_minute: limit("RATE_LIMIT_ADDRESS_PER_MINUTE", ADDRESS_PER_MINUTE)?,
            user_per_minute: limit("RATE_LIMIT_USER_PER_MINUTE", USER_PER_MINUTE)?,
            sign_in_per_minute: limit("RATE_LIMIT_SIGN_IN_PER_MINUTE", SIGN_IN_PER_MINUTE)?,
        })
    }

    fn text(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|text| text.trim().to_owned())
    }

    fn parsed<T>(&self, name: &'static str) -> Result<Option<T>, ConfigError>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        self.text(name)
            .map(|text| text.parse())
            .transpose()
            .map_err(|error: T::Err| malformed(name, &format!("cannot be used: {error}")))
    }
}

/// Every variable that the process is asked for.
const VARIABLES: [&str; 17] = [
    "API_TOKENS",
    "DATABASE_URL",
    "DEBUG",
    "DEPLOY_ENV",
    "ENCRYPTION_KEY",
    "ENCRYPTION_KEY_FILE",
    "JWT_SECRET",
    "MAX_UPLOAD_BYTES",
    "RATE_LIMIT_ADDRESS_PER_MINUTE",
    "RATE_LIMIT_SIGN_IN_PER_MINUTE",
    "RATE_LIMIT_USER_PER_MINUTE",
    "TELEGRAM_API_URL",
    "TELEGRAM_BOT_TOKEN",
    "TELEGRAM_CHANNEL_ID",
    "TRUST_FORWARDED_FOR",
    "WEBHOOK_SECRET",
    "WORKER_URL",
];

fn malformed(name: &'static str, what: &str) -> ConfigError {
    ConfigError::Malformed {
        name,
        what: what.to_owned(),
    }
}

/// What makes one of the keys easy to guess. A list that cannot be read is refused where it is read.
fn weakness_of_keys(keys: &str) -> Option<&'static str> {
    keys.split([',', '\n']).find_map(|entry| {
        let key = entry.split_once(':').map_or(entry, |(_, key)| key);
        let bytes = STANDARD.decode(key.trim()).ok()?;
        let different: BTreeSet<&u8> = bytes.iter().collect();
        let readable = bytes
            .iter()
            .all(|byte| byte.is_ascii_graphic() || *byte == b' ');
        if bytes.is_empty() {
            None
        } else if readable {
            Some("it is a text in base64, not random bytes")
        } else if different.len() < MIN_DIFFERENT_BYTES {
            Some("its bytes repeat")
        } else {
            None
        }
    })
}

fn weakness_of_text(secret: &str) -> Option<&'static str> {
    let different: BTreeSet<u8> = secret.bytes().collect();
    let lower = secret.to_lowercase();
    if EXAMPLES.iter().any(|example| lower.contains(example)) {
        Some("it is one of those that stand in examples")
    } else if secret.len() < MIN_JWT_SECRET_BYTES {
        Some("it has less than 32 characters")
    } else if different.len() < MIN_DIFFERENT_CHARACTERS {
        Some("its characters repeat")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "q83vEjRWeJCrze8SNFZ4kBI0VniQq83vmrze8BI0Vng=";
    const STRONG_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const STRONG_SECRET: &str = "kJ8vQz2LmX4nR7tYw1pB6cHd9sFgA0eU";

    fn apply(variables: &[(&str, &str)], options: Options) -> Result<Options, ConfigError> {
        let variables = variables.iter();
        Environment::of(
            variables
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
        )
        .apply(options)
    }

    fn refusal(variables: &[(&str, &str)]) -> String {
        match apply(variables, Options::default()) {
            Ok(_) => panic!("started"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn production_does_not_start_with_a_missing_or_weak_secret() {
        let zeros = STANDARD.encode([0; 32]);
        let text = STANDARD.encode("0123456789abcdefghijklmnopqrstuv");
        for (key, secret, named) in [
            ("", STRONG_SECRET, "ENCRYPTION_KEY: it is not set"),
            (&zeros, STRONG_SECRET, "its bytes repeat"),
            (KEY, STRONG_SECRET, "its bytes repeat"),
            (&text, STRONG_SECRET, "it is a text in base64"),
            (STRONG_KEY, "", "JWT_SECRET: it is not set"),
            (STRONG_KEY, "short", "less than 32 characters"),
            (STRONG_KEY, &"ab".repeat(20), "its characters repeat"),
            (
                STRONG_KEY,
                "your-256-bit-secret-please-change-me",
                "in examples",
            ),
        ] {
            let refusal = refusal(&[
                ("DEPLOY_ENV", "production"),
                ("ENCRYPTION_KEY", key),
                ("JWT_SECRET", secret),
            ]);
            assert!(refusal.contains(named), "{refusal}");
            assert!(refusal.contains("openssl rand -base64 32"), "{refusal}");
            if !secret.is_empty() {
                assert!(!refusal.contains(secret), "{refusal}");
            }
        }
    }

    #[test]
    fn production_has_no_bot_for_everybody() {
        let good = [
            ("DEPLOY_ENV", "production"),
            ("ENCRYPTION_KEY", STRONG_KEY),
            ("JWT_SECRET", STRONG_SECRET),
            ("TELEGRAM_BOT_TOKEN", "1:x"),
            ("TELEGRAM_CHANNEL_ID", "-100"),
        ];
        let Ok(options) = apply(&good, Options::default()) else {
            panic!("refused");
        };
        assert!(options.deployment_bot.is_none());
        assert_eq!(
            options.request_limits.user_per_minute,
            NonZeroU32::new(USER_PER_MINUTE)
        );
    }

    #[test]
    fn development_starts_with_nothing_set_and_lends_the_deployments_bot() {
        for variables in [
            [("DEPLOY_ENV", ""), ("DEBUG", "")],
            [("DEPLOY_ENV", "production"), ("DEBUG", "True")],
        ] {
            let bot = [
                ("TELEGRAM_BOT_TOKEN", "1:x"),
                ("TELEGRAM_CHANNEL_ID", "-100"),
            ];
            let variables = [variables, bot].concat();
            let Ok(options) = apply(&variables, Options::default()) else {
                panic!("refused");
            };
            assert!(options.deployment_bot.is_some());
            assert_eq!(options.request_limits, RequestLimits::default());
        }
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_named() {
        for (name, text) in [
            ("WEBHOOK_SECRET", "nonsense"),
            ("API_TOKENS", "a:"),
            ("RATE_LIMIT_USER_PER_MINUTE", "-1"),
            ("TRUST_FORWARDED_FOR", "perhaps"),
            ("TELEGRAM_BOT_TOKEN", "1:x"),
            ("WORKER_URL", "worker.example"),
            ("WORKER_URL", "ftp://worker.example"),
        ] {
            let refusal = refusal(&[(name, text)]);
            assert!(refusal.starts_with(name), "{refusal}");
        }
    }

    /// What development makes of these variables and a `.env` of this text; `None`: there is none.
    fn with_file(variables: &[(&str, &str)], text: Option<&str>) -> Result<Options, ConfigError> {
        let path = env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let environment = Environment::of(variables.iter().map(owned).collect()).with_file(&path);
        if text.is_some() {
            fs::remove_file(&path).unwrap();
        }
        environment?.apply(Options::default())
    }

    #[test]
    fn the_file_of_variables_gives_what_the_process_does_not_have() {
        let text = "# a comment\n\nWORKER_URL=https://file.example\n\
                    export JWT_SECRET=\"of the file\"\nMAX_UPLOAD_BYTES=7\nDATABASE_URL=\n\
                    UNKNOWN_TO_US=x\n";
        let process = [
            ("WORKER_URL", "https://process.example"),
            ("JWT_SECRET", ""),
        ];
        let Ok(options) = with_file(&process, Some(text)) else {
            panic!("refused");
        };
        let worker_url = options.worker_url.as_deref();
        assert_eq!(worker_url, Some("https://process.example"));
        assert_eq!(options.jwt_secret.as_deref(), Some("of the file"));
        assert_eq!(options.max_upload_bytes, 7);
        assert_eq!(options.database_url, None);
    }

    #[test]
    fn without_a_file_of_variables_those_of_the_process_are_all() {
        let process = [("WORKER_URL", "https://process.example")];
        let Ok(options) = with_file(&process, None) else {
            panic!("refused");
        };
        assert!(options.worker_url.is_some());
    }

    #[test]
    fn a_line_that_is_no_variable_is_refused_and_not_shown() {
        let refused = with_file(&[], Some("MAX_UPLOAD_BYTES=1\nJWT SECRET s3cret\n"));
        let said = match refused {
            Ok(_) => panic!("started"),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, ".env: a line is not like NAME=value");
    }
}
