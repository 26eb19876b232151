//! The parameters that name the servers.

use std::net::IpAddr;
use std::path::Path;

use super::parameters::{ENCODE, Parameters, printable};
use super::passfile;
use super::types::{Host, HostLocation, PORT};
use crate::database::error::UrlError;

/// The hosts, each with its address and port.
pub(super) fn hosts(parameters: &mut Parameters) -> Result<Vec<Host>, UrlError> {
    let list = |text: Option<String>| -> Vec<String> {
        text.map(|text| text.split(',').map(|item| item.trim().to_owned()).collect())
            .unwrap_or_default()
    };
    let names = list(parameters.take("host"));
    let addresses = list(parameters.take("hostaddr"));
    let ports = list(parameters.take("port"));
    let ports: Vec<u16> = ports
        .iter()
        .map(|port| match port.as_str() {
            "" => Ok(PORT),
            port => self::port(port),
        })
        .collect::<Result<_, _>>()?;
    if !addresses.is_empty() && !names.is_empty() && addresses.len() != names.len() {
        return Err(UrlError::new(format!(
            "{} addresses (hostaddr) do not go with {} hosts: give one for each",
            addresses.len(),
            names.len()
        )));
    }
    let count = names.len().max(addresses.len()).max(1);
    if ports.len() > 1 && ports.len() != count {
        return Err(UrlError::new(format!(
            "{} ports do not go with {count} hosts: give one, or one for each",
            ports.len()
        )));
    }
    let mut hosts = Vec::with_capacity(count);
    for index in 0..count {
        let given = names.get(index).filter(|name| !name.is_empty());
        let address = addresses
            .get(index)
            .filter(|address| !address.is_empty())
            .map(|address| {
                address
                    .parse::<IpAddr>()
                    .map_err(|_| UrlError::new(format!("hostaddr {} is no IP address", index + 1)))
            })
            .transpose()?;
        let port = match &ports[..] {
            [] => PORT,
            [port] => *port,
            ports => ports.get(index).copied().unwrap_or(PORT),
        };
        let (location, port) = match given {
            Some(given) => parse_host(given, port, index + 1)?,
            None if address.is_some() => (HostLocation::Name(String::new()), port),
            None => (default_location(port), port),
        };
        let name = match (&location, address) {
            (HostLocation::Name(name), Some(address)) if name.is_empty() => address.to_string(),
            (HostLocation::Name(name), _) => name.clone(),
            (HostLocation::Address(address), _) => address.to_string(),
            (HostLocation::Socket(directory), _) => directory.display().to_string(),
        };
        hosts.push(Host {
            name,
            location: address.map_or(location, HostLocation::Address),
            port,
            password: None,
        });
    }
    Ok(hosts)
}

/// Parses a host: a directory with a socket, an address, or a name. SQLAlchemy and asyncpg may
/// write a port after it.
fn parse_host(text: &str, port: u16, position: usize) -> Result<(HostLocation, u16), UrlError> {
    printable("host", text)?;
    if text.starts_with(['/', '@']) {
        let path = Path::new(text);
        let own = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_prefix(".s.PGSQL.")?.parse().ok());
        return Ok(match (own, path.parent()) {
            (Some(port), Some(directory)) => (HostLocation::Socket(directory.to_owned()), port),
            _ => (HostLocation::Socket(path.to_owned()), port),
        });
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(address) = bare.parse() {
        return Ok((HostLocation::Address(address), port));
    }
    if let Some((name, own)) = text.rsplit_once(':')
        && (!name.contains(':') || name.ends_with(']'))
    {
        let port = if own.is_empty() {
            port
        } else {
            self::port(own)?
        };
        return parse_host(name, port, position);
    }
    let is_name = |character: char| character.is_alphanumeric() || "-._".contains(character);
    let has_zone = text.contains(':') && text.contains('%');
    if text.chars().all(is_name) || has_zone {
        Ok((HostLocation::Name(text.to_owned()), port))
    } else {
        Err(UrlError::new(format!(
            "host {position} of the PostgreSQL URL is neither a name nor an address: \
             {ENCODE}"
        )))
    }
}

fn port(text: &str) -> Result<u16, UrlError> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
        UrlError::new(format!(
            "a port in the PostgreSQL URL is no number from 1 to 65535; where a password \
                stands there, {ENCODE}"
        ))
    })
}

/// The default host: the first socket that exists, as in libpq, otherwise localhost.
fn default_location(port: u16) -> HostLocation {
    passfile::SOCKETS
        .iter()
        .map(Path::new)
        .find(|directory| directory.join(format!(".s.PGSQL.{port}")).exists())
        .map_or_else(
            || HostLocation::Name("localhost".to_owned()),
            |directory| HostLocation::Socket(directory.to_owned()),
        )
}
