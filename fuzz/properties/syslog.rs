//! Any event as syslog messages, and streams of them.

use super::rfc5424::{parse, split_counted, split_lines};
use crate::config;
use crate::decode;
use crate::event::Event;
use crate::format::{Format, FormatConfig};
use crate::format::{Received, render};
use crate::sinks::TargetConfig;
use crate::sinks::fuzzing::{Framing, HeaderFormat, SyslogSinkConfig, Transport};
use crate::sinks::{Rendered, SinkFinding};

/// Transports and framings, each with a format.
const WAYS: [(&str, Format); 7] = [
    ("", Format::Native),
    ("framing = \"lf\"", Format::Cef),
    ("bom = true\nhostname = \"h\"", Format::Leef),
    ("max_size = \"1000B\"\noversize = \"truncate\"", Format::Ecs),
    ("max_size = \"700B\"\noversize = \"compact\"\nframing = \"lf\"", Format::Native),
    ("header = \"rfc3164\"\nframing = \"lf\"\nmax_size = \"64KiB\"", Format::Leef),
    ("structured_data = false", Format::Ocsf),
];

/// Checks that a framed stream splits into the same messages, each valid by the RFC.
pub fn syslog(bytes: &[u8]) {
    let Ok(elements) = decode::body(bytes, false) else { return };
    for (more, format) in WAYS {
        let settings = settings(more);
        let mut stream = Vec::new();
        let mut messages = Vec::new();
        for element in elements.iter().take(4) {
            let Ok(typed) = &element.verdict else { continue };
            let received = Received {
                event: &typed.event,
                raw: element.raw,
                received_at: 0,
                source: "pingone",
            };
            let line = render(&FormatConfig::of(format), received).bytes;
            let Some((message, is_cut)) = message(&settings, &typed.event, &line) else { continue };
            is_well_formed(&settings, &typed.event, &message, (!is_cut).then_some(&line));
            stream.extend_from_slice(&framed(&settings, &typed.event, line).expect("as before").0);
            messages.push(message);
        }
        let found = match settings.framing {
            Framing::OctetCounting => split_counted(&stream),
            Framing::Lf if stream.is_empty() => Vec::new(),
            Framing::Lf => split_lines(&stream),
        };
        assert_eq!(found, messages, "split again");
    }
}

/// Returns the unframed message, as a datagram carries it, and whether it was cut.
fn message(settings: &SyslogSinkConfig, event: &Event<'_>, line: &[u8]) -> Option<(Vec<u8>, bool)> {
    let datagrams = SyslogSinkConfig { transport: Transport::Udp, ..settings.clone() };
    framed(&datagrams, event, line.to_vec())
}

fn framed(
    settings: &SyslogSinkConfig,
    event: &Event<'_>,
    line: Vec<u8>,
) -> Option<(Vec<u8>, bool)> {
    let target = TargetConfig::Syslog(settings.clone());
    let (payload, notice) = target.encode(Rendered { line, event, source: "pingone" }).ok()?;
    assert!(notice.is_none_or(|notice| notice == SinkFinding::Truncated));
    Some((payload, notice.is_some()))
}

fn is_well_formed(
    settings: &SyslogSinkConfig,
    event: &Event<'_>,
    message: &[u8],
    line: Option<&Vec<u8>>,
) {
    assert!(message.len() <= settings.max_size);
    let message = std::str::from_utf8(message).expect("whole characters");
    assert!(!message.contains(|c: char| c < ' ' && c != '\t'), "a line break escapes: {message:?}");
    if settings.header == HeaderFormat::Rfc3164 {
        let (head, text) = message.split_once(" davinci-siem: ").expect("a tag");
        let time = head.strip_suffix(" pingone").and_then(|head| head.split_once('>'));
        assert_eq!(time.expect("a priority").1.len(), "Feb 15 16:07:03".len(), "{head}");
        assert!(line.is_none_or(|line| text.as_bytes() == line.as_slice()));
        return;
    }
    let parsed = parse(message);
    assert!((80..88).contains(&parsed.priority), "authpriv");
    assert_eq!(parsed.header[0], "1");
    assert_eq!((parsed.header[1].len(), parsed.header[4].as_str()), (27, "-"));
    let id = &parsed.header[5];
    assert!((1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
    let shown = |text: &str| -> String {
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    };
    let id = ("id".to_owned(), shown(&event.envelope().id));
    let is_told = parsed.parameters.first() == Some(&id);
    assert_eq!(is_told, settings.structured_data, "{:?}", parsed.parameters);
    if let Some(line) = line {
        let text =
            if settings.bom { parsed.text.strip_prefix('\u{feff}') } else { Some(&*parsed.text) };
        assert_eq!(text.map(str::as_bytes), Some(line.as_slice()), "the text is the line");
    }
}

/// Returns the settings of a sink with some keys besides the required ones.
pub(crate) fn settings(more: &str) -> SyslogSinkConfig {
    let text =
        format!("[sinks.s]\ntype = \"syslog\"\naddress = \"x:1\"\ntransport = \"tcp\"\n{more}");
    let config = config::parse(&text, None, std::iter::empty()).expect("valid");
    match &config.sinks[0].target {
        TargetConfig::Syslog(settings) => settings.clone(),
        other => panic!("{other:?}"),
    }
}
