//! Passwords: Argon2id.

use argon2::{
    Argon2, Params,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::{sync::Semaphore, task};

use crate::error::ApiError;

/// Hashes computed at once. Each takes 19 MiB, so a flood of logins waits instead of using up the memory.
static HASHERS: Semaphore = Semaphore::const_new(4);

/// How much a password hash costs, for an attacker and for a login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordCost {
    /// 19 MiB, two passes, one lane: the OWASP minimum for Argon2id, about 20 ms a login.
    #[default]
    Standard,
    /// The least that Argon2 allows, for tests of something else.
    Minimal,
}

impl PasswordCost {
    fn hasher(self) -> Result<Argon2<'static>, ApiError> {
        let (memory_kib, passes) = match self {
            Self::Standard => (19_456, 2),
            Self::Minimal => (Params::MIN_M_COST, Params::MIN_T_COST),
        };
        Params::new(memory_kib, passes, 1, None)
            .map(Argon2::from)
            .map_err(|error| failed(&error))
    }
}

/// The PHC string of a password.
pub(crate) async fn hash(cost: PasswordCost, password: String) -> Result<String, ApiError> {
    blocking(move || {
        let hash: PasswordHash = cost
            .hasher()?
            .hash_password(password.as_bytes())
            .map_err(|error| failed(&error))?;
        Ok(hash.to_string())
    })
    .await
}

/// Whether the password is the one that the PHC string was made of.
///
/// It takes the same time without a PHC string, so that a reply's timing does not reveal which accounts
/// exist.
pub(crate) async fn verify(
    cost: PasswordCost,
    password: String,
    phc: Option<String>,
) -> Result<bool, ApiError> {
    blocking(move || {
        let hasher = cost.hasher()?;
        if let Some(phc) = phc {
            return Ok(hasher
                .verify_password(password.as_bytes(), phc.as_str())
                .is_ok());
        }
        let _: PasswordHash = hasher
            .hash_password(password.as_bytes())
            .map_err(|error| failed(&error))?;
        Ok(false)
    })
    .await
}

// Hashing takes milliseconds of CPU time, which would block other requests on an async thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let _permit = HASHERS.acquire().await.map_err(|error| failed(&error))?;
    task::spawn_blocking(work)
        .await
        .map_err(|error| failed(&error))?
}

fn failed(error: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(%error, "a password could not be hashed");
    ApiError::Internal
}
