//! Header of the PROXY protocol, version 2, in which a TCP proxy names the client of a connection:
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::io;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Length of signature, version, command, family and length field.
const FIXED_HEADER_BYTES: usize = 16;

/// Maximum length of the variable part. Addresses take up to 216 bytes; other parts are ignored.
const MAX_VARIABLE_BYTES: usize = 2048;

/// Reads exactly the header. Returns the client's address, or `None` for a connection of the proxy
/// itself, for example a health check.
///
/// # Errors
///
/// The stream ends early or does not start with a valid header.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut header = vec![0; FIXED_HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if !header.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
        return Err(invalid("no header of the PROXY protocol, version 2"));
    }
    if length > MAX_VARIABLE_BYTES {
        return Err(invalid("the PROXY protocol's header is too long"));
    }
    header.resize(FIXED_HEADER_BYTES + length, 0);
    stream.read_exact(&mut header[FIXED_HEADER_BYTES..]).await?;
    let config = ParseConfig { include_tlvs: false, allow_v1: false, allow_v2: true };
    let (header, _) = ProxyHeader::parse(&header, config)
        .map_err(|_| invalid("the PROXY protocol's header is wrong"))?;
    Ok(header.proxied_address().map(|proxied| proxied.source))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proxy_header::{ProxiedAddress, Tlv};

    use super::*;

    fn run(mut bytes: &[u8]) -> (io::Result<Option<SocketAddr>>, &[u8]) {
        let read = futures_util::FutureExt::now_or_never(read(&mut bytes)).expect("no waiting");
        (read, bytes)
    }

    fn header(source: &str) -> Vec<u8> {
        let source: SocketAddr = source.parse().expect("an address");
        let to = if source.is_ipv4() { "192.0.2.1:443" } else { "[2001:db8::1]:443" };
        let address = ProxiedAddress::stream(source, to.parse().expect("an address"));
        let tlvs = [Tlv::Authority("davinci.example.com".into())];
        let mut bytes = Vec::new();
        let header = ProxyHeader::with_tlvs(Some(address), tlvs);
        header.encode_v2(&mut bytes).expect("encoded");
        bytes
    }

    #[test]
    fn the_source_is_read_and_what_follows_is_left() {
        for source in ["203.0.113.9:41000", "[2001:db8::9]:41000"] {
            let mut bytes = header(source);
            bytes.extend_from_slice(b"POST / HTTP/1.1");
            let (read, rest) = run(&bytes);
            assert_eq!(read.expect("read"), Some(source.parse().expect("an address")));
            assert_eq!(rest, b"POST / HTTP/1.1");
        }
        let mut local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
        local.extend_from_slice(b"GET /");
        let (read, rest) = run(&local);
        assert_eq!((read.expect("read"), rest), (None, &b"GET /"[..]));
    }

    #[test]
    fn invalid_headers_are_refused() {
        for wrong in [
            &b"PROXY TCP4 203.0.113.9 192.0.2.1 41000 443\r\n"[..],
            b"POST /webhooks/pingone HTTP/1.1\r\n\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x01\0",
            b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0",
            b"\r\n\r\n\0\r\nQUIT",
            b"",
        ] {
            assert!(run(wrong).0.is_err(), "{}", wrong.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(cut in 0..60_usize, changes in prop::collection::vec((0..60_usize, any::<u8>()), 0..4)) {
            let mut bytes = header("203.0.113.9:41000");
            for (at, byte) in changes {
                if let Some(slot) = bytes.get_mut(at) {
                    *slot = byte;
                }
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            drop(run(&bytes));
        }
    }
}
