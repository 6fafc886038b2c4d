//! How many requests an address and a user may make.

use std::{hash::Hash, net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};

use crate::error::ApiError;

/// Limits in requests a minute, each of which may come at once. `None`: without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestLimits {
    /// Requests of the API from one address.
    pub address_per_minute: Option<NonZeroU32>,
    /// Requests with a token of one user.
    pub user_per_minute: Option<NonZeroU32>,
    /// Registrations and logins from one address: each costs a slow hash.
    pub sign_in_per_minute: Option<NonZeroU32>,
}

/// Keeps count.
#[derive(Debug)]
pub(crate) struct Limits {
    addresses: Option<Limiter<IpAddr>>,
    users: Option<Limiter<String>>,
    sign_ins: Option<Limiter<IpAddr>>,
}

type Limiter<K> = DefaultKeyedRateLimiter<K>;

impl Limits {
    pub(crate) fn new(limits: RequestLimits) -> Self {
        Self {
            addresses: limits.address_per_minute.map(limiter),
            users: limits.user_per_minute.map(limiter),
            sign_ins: limits.sign_in_per_minute.map(limiter),
        }
    }

    /// Counts a request of the API.
    pub(crate) fn admit_address(&self, address: IpAddr) -> Result<(), ApiError> {
        admit(self.addresses.as_ref(), &network(address))
    }

    /// Counts a request with a token of the user.
    pub(crate) fn admit_user(&self, user_id: &str) -> Result<(), ApiError> {
        match &self.users {
            Some(users) => admit(Some(users), &user_id.to_owned()),
            None => Ok(()),
        }
    }

    /// Counts a registration or a login.
    pub(crate) fn admit_sign_in(&self, address: IpAddr) -> Result<(), ApiError> {
        admit(self.sign_ins.as_ref(), &network(address))
    }

    /// Forgets clients whose limit is full again.
    pub(crate) fn forget_idle(&self) {
        for addresses in [&self.addresses, &self.sign_ins].into_iter().flatten() {
            addresses.retain_recent();
        }
        if let Some(users) = &self.users {
            users.retain_recent();
        }
    }
}

fn limiter<K: Clone + Eq + Hash>(per_minute: NonZeroU32) -> Limiter<K> {
    RateLimiter::keyed(Quota::per_minute(per_minute))
}

fn admit<K: Clone + Eq + Hash>(limiter: Option<&Limiter<K>>, key: &K) -> Result<(), ApiError> {
    let Some(limiter) = limiter else {
        return Ok(());
    };
    limiter.check_key(key).map_err(|refused| {
        let wait = refused.wait_time_from(limiter.clock().now());
        ApiError::TooManyRequests {
            retry_after_seconds: whole_seconds(wait),
        }
    })
}

/// Rounded up: a client that waits this long is admitted.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The part of an address that names one client: all of an IPv4 address, and the first 64 bits of an IPv6
/// address, since a client can choose the others.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_takes_none_of_anothers() {
        let limits = Limits::new(RequestLimits {
            address_per_minute: NonZeroU32::new(2),
            ..RequestLimits::default()
        });
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|it| it.parse::<IpAddr>().unwrap());
        assert!(limits.admit_address(one).is_ok());
        assert!(limits.admit_address(one).is_ok());
        let Err(ApiError::TooManyRequests {
            retry_after_seconds,
        }) = limits.admit_address(one)
        else {
            panic!("admitted");
        };
        assert!((1..=30).contains(&retry_after_seconds));
        assert!(limits.admit_address(other).is_ok());
        assert!(limits.admit_user("user-1").is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::2:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }
}
