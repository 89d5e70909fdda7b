//! `type = "syslog"`: RFC 5424 or RFC 3164 messages over UDP, TCP or TLS.

use std::time::Duration;

use super::client;
use crate::config::section::Section;
use crate::tls::Tls;

/// `type = "syslog"`.
#[derive(Debug, Clone)]
pub struct SyslogSink {
    /// Host and port.
    pub address: String,
    /// What carries the messages.
    pub transport: Transport,
    /// How messages are told apart in a stream.
    pub framing: Framing,
    /// Certificates, for TLS.
    pub tls: Tls,
    /// For connecting, the TLS handshake included.
    pub connect_timeout: Duration,
    /// How long the receiver may take no byte.
    pub timeout: Duration,
    /// Which header a message has.
    pub header: HeaderFormat,
    /// RFC 5424's facility number.
    pub facility: u8,
    /// HOSTNAME
    pub hostname: String,
    /// APP-NAME, or RFC 3164's TAG.
    pub app_name: String,
    /// The private enterprise number of the structured data's id.
    pub enterprise_number: u64,
    /// Whether messages carry structured data.
    pub structured_data: bool,
    /// Whether the message begins with a byte order mark.
    pub bom: bool,
    /// Bytes of a message at most, its header included.
    pub max_size: usize,
    /// What happens to a message that is longer.
    pub oversize: Oversize,
    /// What is sent again after a connection was lost.
    pub resend: Resend,
}

/// What carries the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// RFC 5426: one message per datagram, and no way to learn that it was lost.
    Udp,
    /// RFC 6587.
    Tcp,
    /// RFC 5425.
    Tls,
}

/// How messages are told apart in a stream (RFC 6587).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The length in front.
    OctetCounting,
    /// A line feed behind.
    Lf,
}

/// Which header a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFormat {
    /// The current one.
    Rfc5424,
    /// The old one.
    Rfc3164,
}

/// What happens to a message that is longer than `max_size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oversize {
    /// The event goes to quarantine.
    DeadLetter,
    /// Its text is cut, and what is lost is only the text's end.
    Truncate,
    /// Its text is left out; what structured data says remains.
    Compact,
}

/// What is sent again after a connection was lost: the receiver may not have read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resend {
    /// Messages at most.
    pub messages: usize,
    /// Only what was sent within this time.
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

pub(super) fn read(section: &mut Section<'_>) -> SyslogSink {
    let transports = [("tls", Transport::Tls), ("tcp", Transport::Tcp), ("udp", Transport::Udp)];
    let framings = [("octet_counting", Framing::OctetCounting), ("lf", Framing::Lf)];
    let oversize = [
        ("dead_letter", Oversize::DeadLetter),
        ("truncate", Oversize::Truncate),
        ("compact", Oversize::Compact),
    ];
    let address = section.required_text("address", "syslog.example.com:6514").unwrap_or_default();
    let port = address
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty())
        .and_then(|(_, port)| port.parse::<u16>().ok());
    if !address.is_empty() && port.is_none() {
        section.report(
            "address",
            "is not a host and port such as \"syslog.example.com:6514\"".to_owned(),
        );
    }
    let headers = [("rfc5424", HeaderFormat::Rfc5424), ("rfc3164", HeaderFormat::Rfc3164)];
    let header = section.choice("header", &headers).unwrap_or(HeaderFormat::Rfc5424);
    let sink = SyslogSink {
        address,
        transport: section.choice("transport", &transports).unwrap_or(Transport::Tls),
        framing: section.choice("framing", &framings).unwrap_or(Framing::OctetCounting),
        tls: client::read_tls(section.table("tls")),
        connect_timeout: section.timeout("connect_timeout").unwrap_or(Duration::from_secs(10)),
        timeout: section.timeout("timeout").unwrap_or(Duration::from_secs(30)),
        header,
        facility: section.choice("facility", &FACILITIES).unwrap_or(10),
        hostname: read_name(section, "hostname", "pingone", 255),
        app_name: read_name(section, "app_name", "davinci-siem", 48),
        enterprise_number: section.integer("enterprise_number", 1).unwrap_or(32473),
        structured_data: section.boolean("structured_data").unwrap_or(true),
        bom: section.boolean("bom").unwrap_or(false),
        // The smallest that every receiver has to take is 480 (RFC 5424, 6.1).
        // rsyslog cuts messages of more than 8096 bytes unless it is told otherwise.
        max_size: section.size("max_size", 480).unwrap_or(8000) as usize,
        oversize: section.choice("oversize", &oversize).unwrap_or(Oversize::DeadLetter),
        resend: read_resend(section.table("resend")),
    };
    check(&sink, section);
    sink
}

fn check(sink: &SyslogSink, section: &Section<'_>) {
    if sink.transport != Transport::Tcp && sink.framing == Framing::Lf {
        section
            .report("framing", "\"lf\" is for transport = \"tcp\" only; leave it out".to_owned());
    }
    if sink.transport != Transport::Tls && sink.tls != Tls::default() {
        section.report("tls", "is for transport = \"tls\" only; leave it out".to_owned());
    }
    if sink.transport == Transport::Udp && sink.max_size > 65_507 {
        section.report("max_size", "cannot be more than 65507 bytes over UDP".to_owned());
    }
    let carries_data = sink.header == HeaderFormat::Rfc5424 && sink.structured_data;
    if sink.oversize == Oversize::Compact && !carries_data {
        section.report(
            "oversize",
            "\"compact\" leaves structured data only, and there is none; use another".to_owned(),
        );
    }
}

/// What two systems hold between two programs is up to about 6 MB: 4000 messages of a usual size.
fn read_resend(mut section: Section<'_>) -> Resend {
    let resend = Resend {
        messages: section.integer("messages", 0).unwrap_or(5000) as usize,
        age: section.duration("age").unwrap_or(Duration::from_secs(30)),
    };
    if resend.messages > 100_000 {
        section.report("messages", "must be at most 100000; they are kept in memory".to_owned());
    }
    section.finish();
    resend
}

/// A header field: visible ASCII, not too long (RFC 5424, 6).
fn read_name(section: &mut Section<'_>, key: &str, default: &str, longest: usize) -> String {
    let name = section.text(key).unwrap_or_else(|| default.to_owned());
    if name.is_empty() || name.len() > longest || !name.bytes().all(|byte| byte.is_ascii_graphic())
    {
        section.report(key, format!("must be 1 to {longest} visible ASCII characters"));
    }
    name
}
