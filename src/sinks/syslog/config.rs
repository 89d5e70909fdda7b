//! Settings of `type = "syslog"`: RFC 5424 or RFC 3164 messages over UDP, TCP or TLS.

use std::time::Duration;

use crate::settings::{Reading, Section};
use crate::tls::TlsConfig;

const EXAMPLE: &str = "syslog.example.com:6514";

/// Lower bound of `max_size`, in bytes, which every receiver has to accept (RFC 5424, 6.1). The default is below the
/// 8096 bytes to which rsyslog cuts messages.
const MIN_MESSAGE_BYTES: u64 = 480;

/// Upper bound of a UDP datagram's payload over IPv4, in bytes.
const MAX_DATAGRAM_BYTES: usize = 65_507;

/// `type = "syslog"`.
#[derive(Debug, Clone)]
pub struct SyslogSinkConfig {
    /// Host and port.
    pub address: String,
    pub transport: Transport,
    /// Framing of the messages in a stream.
    pub framing: Framing,
    /// Certificates, for TLS.
    pub tls: TlsConfig,
    /// Timeout of connecting, the TLS handshake included.
    pub connect_timeout: Duration,
    /// Time that the receiver may accept no byte.
    pub timeout: Duration,
    pub header: HeaderFormat,
    /// RFC 5424's facility number.
    pub facility: u8,
    /// HOSTNAME
    pub hostname: String,
    /// APP-NAME, or RFC 3164's TAG.
    pub app_name: String,
    /// Private enterprise number of the structured data's id.
    pub enterprise_number: u64,
    /// True if messages carry structured data.
    pub structured_data: bool,
    /// True if the text begins with a byte order mark.
    pub bom: bool,
    /// Upper bound of a message, its header included, in bytes.
    pub max_size: usize,
    /// Action on a message that is longer.
    pub oversize: Oversize,
    /// Messages that are sent again after a lost connection.
    pub resend: ResendConfig,
}

/// Transport of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// RFC 5426: one message per datagram; losses are not reported.
    Udp,
    /// RFC 6587.
    Tcp,
    /// RFC 5425.
    Tls,
}

/// Framing of the messages in a stream (RFC 6587).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The length before each message.
    OctetCounting,
    /// A line feed after each message.
    Lf,
}

/// Header of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFormat {
    /// The current one.
    Rfc5424,
    /// The old one.
    Rfc3164,
}

/// Action on a message that is longer than `max_size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oversize {
    /// The event goes to quarantine.
    DeadLetter,
    /// The end of its text is cut off.
    Truncate,
    /// Its text is left out; the structured data remains.
    Compact,
}

/// Messages that are sent again after a lost connection: the receiver may not have read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResendConfig {
    /// Upper bound of these messages.
    pub messages: usize,
    /// Time within which they were sent.
    pub age: Duration,
}

/// RFC 5424, table 1, and `local0` to `local7`.
const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

pub(super) fn read(section: &mut Section<'_>) -> Option<SyslogSinkConfig> {
    let doc = "Host and port of the receiver.";
    let address = section.text_as("address", doc, parse_address).required(EXAMPLE);
    let transports = [("tls", Transport::Tls), ("tcp", Transport::Tcp), ("udp", Transport::Udp)];
    let transport = section.choice("transport", &transports, "Transport of the messages.");
    let transport = transport.or("tls");
    let framings = [("octet_counting", Framing::OctetCounting), ("lf", Framing::Lf)];
    let doc = "Framing of the messages in a stream; lf is for tcp only.";
    let framing = section.choice("framing", &framings, doc).or("octet_counting");
    let tls = TlsConfig::read(section);
    let doc = "Timeout of connecting, the TLS handshake included.";
    let connect_timeout = section.timeout("connect_timeout", doc).or("10s");
    let doc = "Time that the receiver may accept no byte.";
    let timeout = section.timeout("timeout", doc).or("30s");
    let headers = [("rfc5424", HeaderFormat::Rfc5424), ("rfc3164", HeaderFormat::Rfc3164)];
    let header = section.choice("header", &headers, "Header of a message.").or("rfc5424");
    let facility = section.choice("facility", &FACILITIES, "Facility.").or("authpriv");
    let hostname = read_name(section, "hostname", "HOSTNAME.", 255).or("pingone");
    let doc = "APP-NAME, or TAG of RFC 3164.";
    let app_name = read_name(section, "app_name", doc, 48).or("davinci-siem");
    let doc = "Private enterprise number of the structured data's id; the default is for examples.";
    let enterprise_number = section.integer("enterprise_number", 1..=u64::MAX, doc).or("32473");
    let doc = "True: messages carry structured data.";
    let structured_data = section.boolean("structured_data", doc).or("true");
    let bom = section.boolean("bom", "True: the text begins with a byte order mark.").or("false");
    let doc = "Upper bound of one message, its header included.";
    let max_size = section.size("max_size", MIN_MESSAGE_BYTES..=u64::MAX, doc).or("8000B");
    let oversizes = [
        ("dead_letter", Oversize::DeadLetter),
        ("truncate", Oversize::Truncate),
        ("compact", Oversize::Compact),
    ];
    let doc = "Action on a longer message: to quarantine, cut the text, or leave the text out.";
    let oversize = section.choice("oversize", &oversizes, doc).or("dead_letter");
    let doc = "Messages that are sent again after a lost connection.";
    let resend = section.table("resend", doc, read_resend);
    let config = SyslogSinkConfig {
        address: address?,
        transport: transport?,
        framing: framing?,
        tls: tls?,
        connect_timeout: connect_timeout?,
        timeout: timeout?,
        header: header?,
        facility: facility?,
        hostname: hostname?,
        app_name: app_name?,
        enterprise_number: enterprise_number?,
        structured_data: structured_data?,
        bom: bom?,
        max_size: max_size? as usize,
        oversize: oversize?,
        resend: resend?,
    };
    check(&config, section);
    Some(config)
}

fn check(config: &SyslogSinkConfig, section: &mut Section<'_>) {
    if config.transport != Transport::Tcp && config.framing == Framing::Lf {
        section.report("framing", "\"lf\" is for transport = \"tcp\" only; leave it out");
    }
    if config.transport != Transport::Tls && config.tls != TlsConfig::default() {
        section.report("tls", "is for transport = \"tls\" only; leave it out");
    }
    if config.transport == Transport::Udp && config.max_size > MAX_DATAGRAM_BYTES {
        section.report("max_size", "cannot be more than 65507 bytes over UDP");
    }
    let carries_data = config.header == HeaderFormat::Rfc5424 && config.structured_data;
    if config.oversize == Oversize::Compact && !carries_data {
        let message = "\"compact\" leaves structured data only, and there is none; use another";
        section.report("oversize", message);
    }
}

fn read_resend(section: &mut Section<'_>) -> Option<ResendConfig> {
    let doc = "Upper bound of these messages, which are kept in memory.";
    // The send and receive buffers of two systems hold up to about 6 MB: 4000 messages of a usual size.
    let messages = section.integer("messages", 0..=100_000, doc).or("5000");
    let doc = "Only messages that were sent within this time are sent again.";
    let age = section.duration("age", doc).or("30s");
    Some(ResendConfig { messages: messages? as usize, age: age? })
}

/// The text is not a host and a port.
#[derive(Debug, thiserror::Error)]
#[error("is not a host and port such as {:?}", EXAMPLE)]
struct AddressError;

fn parse_address(text: &str) -> Result<String, AddressError> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(_) => Ok(text.to_owned()),
        None => Err(AddressError),
    }
}

/// Reads a header field: visible ASCII, of bounded length (RFC 5424, 6).
fn read_name<'s, 'p>(
    section: &'s mut Section<'p>,
    key: &str,
    doc: &str,
    max_bytes: usize,
) -> Reading<'s, 'p, String> {
    section.text_as(key, doc, move |name| {
        let is_visible = name.bytes().all(|byte| byte.is_ascii_graphic());
        match (1..=max_bytes).contains(&name.len()) && is_visible {
            true => Ok(name.to_owned()),
            false => Err(format!("must be 1 to {max_bytes} visible ASCII characters")),
        }
    })
}
