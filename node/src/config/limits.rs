//! The rate limits and the proxies that are believed, as flags and file write them.

use super::ConfigError;
use super::file::RateLimitEntry;
use crate::front::TrustedProxies;
use crate::rate::{Quota, RateLimits};
use ipnet::IpNet;
use std::net::IpAddr;

/// What a limit's setting says, from flag or variable before the file.
pub(super) fn limits(
    per_user: Option<String>,
    per_ip: Option<String>,
    file: Option<RateLimitEntry>,
) -> Result<RateLimits, ConfigError> {
    let file = file.unwrap_or_default();
    let limit = |name: &str, given: Option<String>| {
        let quota = given.map(|text| Quota::setting(&text)).transpose();
        let quota = quota.map_err(|why| ConfigError::OutOfRange(format!("{name}: {why}")))?;
        Ok::<_, ConfigError>(quota.flatten())
    };
    Ok(RateLimits {
        per_user: limit("--rate-limit-per-user", per_user.or(file.per_user))?,
        per_ip: limit("--rate-limit-per-ip", per_ip.or(file.per_ip))?,
    })
}

/// Addresses and CIDR blocks: a flag's list with commas, else the file's.
pub(super) fn proxies(
    given: Option<&str>,
    file: Option<Vec<String>>,
) -> Result<TrustedProxies, ConfigError> {
    let texts = match given {
        Some(text) => text.split(',').map(|text| text.trim().to_owned()).collect(),
        None => file.unwrap_or_default(),
    };
    let nets = texts.iter().map(|text| net(text)).collect::<Result<Vec<IpNet>, _>>()?;
    Ok(TrustedProxies(nets))
}

fn net(text: &str) -> Result<IpNet, ConfigError> {
    let address = |text: &str| text.parse::<IpAddr>().ok().map(IpNet::from);
    let net = text.parse().ok().or_else(|| address(text));
    net.ok_or_else(|| {
        ConfigError::OutOfRange(format!(
            "--trusted-proxies: {text:?} is neither an address nor a CIDR block, such as \
             192.0.2.7, 10.0.0.0/8 or 2001:db8::/48"
        ))
    })
}
