//! Settings of `type = "postgres"`: a table of PostgreSQL.

use std::time::Duration;

use crate::secret::{Form, Secret};
use crate::settings::Section;
use crate::tls::TlsConfig;

/// `type = "postgres"`.
#[derive(Debug, Clone)]
pub struct PostgresSinkConfig {
    /// Host and port.
    pub address: String,
    /// True if the connection is encrypted.
    pub is_encrypted: bool,
    /// Certificates, for an encrypted connection.
    pub tls: TlsConfig,
    pub database: String,
    pub username: String,
    /// Password; without one the server must accept the client certificate.
    pub password: Option<Secret>,
    /// Table, with its schema.
    pub table: String,
    /// Timeout of one insert.
    pub timeout: Duration,
    pub connect_timeout: Duration,
}

const EXAMPLE: &str = "db.example.com:5432";

pub(super) fn read(section: &mut Section<'_>) -> Option<PostgresSinkConfig> {
    let address = section.text_as("address", "Host and port of the server.", parse_address);
    let address = address.required(EXAMPLE);
    let transports = [("tls", true), ("tcp", false)];
    let is_encrypted = section.choice("transport", &transports, "Transport to the server.");
    let is_encrypted = is_encrypted.or("tls");
    let tls = TlsConfig::read(section);
    let database = section.text("database", "Database.").required("siem");
    let username = section.text("username", "Role that inserts.").required("davinci_siem");
    let password = section.optional_secret("password", Form::Line, "Password of the role.");
    let doc = "Table, with its schema.";
    let table = section.text_as("table", doc, parse_table).or("public.pingone_events");
    let timeout = section.timeout("timeout", "Timeout of one insert.").or("30s");
    let connect_timeout = section.timeout("connect_timeout", "Timeout of connecting.").or("10s");
    let config = PostgresSinkConfig {
        address: address?,
        is_encrypted: is_encrypted?,
        tls: tls?,
        database: database?,
        username: username?,
        password: password?,
        table: table?,
        timeout: timeout?,
        connect_timeout: connect_timeout?,
    };
    if !config.is_encrypted && config.tls != TlsConfig::default() {
        section.report("tls", "is for transport = \"tls\" only; leave it out");
    }
    Some(config)
}

impl PostgresSinkConfig {
    /// Returns the host of the address, without the brackets of IPv6.
    #[cfg(feature = "postgres")]
    pub(super) fn host(&self) -> &str {
        let host = self.address.rsplit_once(':').map_or("", |(host, _)| host);
        host.trim_matches(['[', ']'])
    }
}

/// Parses a host and a port.
fn parse_address(text: &str) -> Result<String, String> {
    let is_plain = text.chars().all(|c| c.is_ascii_graphic() && !",/@?".contains(c));
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match is_plain && parts.is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        true => Ok(text.to_owned()),
        false => {
            Err(format!("is not a host with its port; write for example address = {EXAMPLE:?}"))
        }
    }
}

/// Parses the name of a table and its schema. It becomes a part of a statement.
fn parse_table(text: &str) -> Result<String, &'static str> {
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        (1..=63).contains(&name.len())
            && bytes.next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_')
            && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let parts: Vec<&str> = text.split('.').collect();
    match parts.len() <= 2 && parts.iter().all(|part| is_name(part)) {
        true => Ok(text.to_owned()),
        false => Err("is not a table: use a-z, 0-9 and _, with its schema and a dot before it"),
    }
}
