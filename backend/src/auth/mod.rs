//! Who somebody is: passwords, access tokens, API keys, and tokens of the deployment.

pub(crate) mod api_key;
pub(crate) mod caller;
pub(crate) mod password;
pub(crate) mod refusals;
pub(crate) mod static_tokens;
pub(crate) mod token;
