//! Redaction, by tables. Properties are in a file of their own.

mod properties;
mod values;

use super::*;
use crate::config::parse;
use crate::receive::Credential;
use crate::redact::RedactAction;
use crate::secret::Secret;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Makes a redaction from a `[redact]` table, with [`KEY`] if it hashes.
fn redaction(rules: &str) -> Redaction {
    let text = format!("[redact]\nkey_env = \"KEY\"\n{rules}\n");
    let variables = [("KEY".into(), KEY.into())].into_iter();
    let config = parse(&text, None, variables).expect("valid");
    Redaction::new(&config.redact.expect("a table"))
}

fn hash(value: &str) -> String {
    redaction("").key.expect("a key").hash(value)
}

/// Returns an event with `fields` beside the required ones.
fn event(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { ", " };
    format!(
        r#"{{"id":"i","recordedAt":"2024-01-01T00:00:00Z","action":{{"type":"X"}}{comma}{fields}}}"#
    )
}

fn redacted(redaction: &Redaction, text: &str) -> String {
    String::from_utf8(redaction.event(text.as_bytes()).into_owned()).expect("UTF-8")
}

fn fragment(redaction: &Redaction, text: &str) -> String {
    String::from_utf8(redaction.fragment(text.as_bytes()).into_owned()).expect("UTF-8")
}

#[test]
fn hashes_are_those_of_rfc_4231() {
    // Test case 2 of RFC 4231; its key is shorter than a configuration accepts.
    let key = b"Jefe";
    let digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let text = "[redact]\nhash = [\"a\"]\nkey_env = \"KEY\"";
    let variables = |key: &str| [("KEY".into(), key.into())].into_iter();
    assert!(parse(text, None, variables("Jefe")).is_err(), "too short");
    let mut config = parse(text, None, variables(KEY)).expect("valid");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("key");
    std::fs::write(&file, key).expect("written");
    let mut redact = config.redact.take().expect("a table");
    redact.key = Some(secret_of(&file));
    let redaction = Redaction::new(&redact);
    let hash = redaction.key.as_ref().expect("a key").hash("what do ya want for nothing?");
    assert_eq!(hash, digest);
}

/// Reads a short secret through another key of the configuration.
fn secret_of(file: &std::path::Path) -> Secret {
    let text =
        format!("[sources.a]\nheaders = [{{ name = \"a\", value_file = {:?} }}]", file.display());
    let config = parse(&text, None, std::iter::empty()).expect("valid");
    let [Credential::Header { value, .. }] = config.sources[0].credentials.as_slice() else {
        panic!("a header")
    };
    value.clone()
}

#[test]
fn fields_are_dropped_with_their_comma() {
    let redaction = redaction("drop = [\"x\"]");
    for (fields, expected) in [
        (r#"{"a":1, "x":2, "b":3}"#, r#"{"a":1, "b":3}"#),
        (r#"{"x":1, "a":2}"#, r#"{"a":2}"#),
        (r#"{ "a":1 , "x":2 }"#, r#"{ "a":1 }"#),
        (r#"{ "x":1 }"#, r#"{  }"#),
        (r#"{"x":1,"x":2}"#, r#"{}"#),
        (r#"{"x":1,"a":2,"x":3,"X":4}"#, r#"{"a":2}"#),
        (r#"{"a":{},"x":[{"y":"]}\""}],"b":[]}"#, r#"{"a":{},"b":[]}"#),
        (r#"{"a":{"x":1},"b":[{"x":1}]}"#, r#"{"a":{"x":1},"b":[{"x":1}]}"#),
        ("{\n  \"x\": null,\n  \"a\": 1\n}", "{\n  \"a\": 1\n}"),
        (r#"{"\u0078":1,"a":1}"#, r#"{"a":1}"#),
    ] {
        assert_eq!(redacted(&redaction, fields), expected, "{fields}");
    }
}

#[test]
fn scalars_are_replaced_and_everything_else_stays() {
    let redaction = redaction("mask = [\"m\", \"*.inner\"]\nhash = [\"h\", \"list.name\"]");
    let hashed = |text: &str| format!("\"{}\"", hash(text));
    for (fields, expected) in [
        (r#""m": "x\"y" "#, r#""m": "***" "#.to_owned()),
        (r#""m":1e+5"#, r#""m":"***""#.to_owned()),
        (
            r#""m":[1,[true,null],{"k":"v"},{},""]"#,
            r#""m":["***",["***",null],{"k":"***"},{},"***"]"#.to_owned(),
        ),
        (r#""m":null,"n":1.50"#, r#""m":null,"n":1.50"#.to_owned()),
        (r#""h":"a\u00e9\ud83d\ude00""#, format!("\"h\":{}", hashed("aé😀"))),
        (r#""h":"\ud83d""#, format!("\"h\":{}", hashed("\u{fffd}"))),
        (r#""h":10.0,"h":true"#, format!("\"h\":{},\"h\":{}", hashed("10.0"), hashed("true"))),
        (
            r#""LIST":[{"Name":"a"},{"name":"b"}]"#,
            format!(r#""LIST":[{{"Name":{}}},{{"name":{}}}]"#, hashed("a"), hashed("b")),
        ),
        (
            r#""list":{"name":"a"},"name":"a""#,
            format!(r#""list":{{"name":{}}},"name":"a""#, hashed("a")),
        ),
        (
            r#""o":{"inner":{"deep":1}},"inner":1"#,
            r#""o":{"inner":{"deep":"***"}},"inner":1"#.to_owned(),
        ),
        (r#""m\u0020":1,"\u006d":1"#, r#""m\u0020":1,"\u006d":"***""#.to_owned()),
        (r#""\ud800m":1"#, r#""\ud800m":1"#.to_owned()),
    ] {
        assert_eq!(redacted(&redaction, &event(fields)), event(&expected), "{fields}");
    }
}

#[test]
fn the_strongest_rule_wins_and_rules_beat_the_profile() {
    let user = r#""actors":{"user":{"name":"bob","id":"7"}}"#;
    let left = |name: &str| format!(r#""actors":{{"user":{{{name}"id":"7"}}}}"#);
    let masked = left(r#""name":"***","#);
    let hashed = left(&format!(r#""name":"{}","#, hash("bob")));
    for (rules, expected) in [
        ("pii = \"mask\"", masked.clone()),
        ("pii = \"hash\"", hashed.clone()),
        ("pii = \"drop\"", left("")),
        ("pii = \"drop\"\nhash = [\"actors.user.name\"]", hashed),
        ("pii = \"hash\"\nkeep = [\"actors.user.name\"]", user.to_owned()),
        ("pii = \"hash\"\nkeep = [\"actors\"]", user.to_owned()),
        ("pii = \"hash\"\nkeep = [\"actors\"]\nmask = [\"**.name\"]", masked.clone()),
        ("mask = [\"**.name\"]\nhash = [\"actors.user.name\"]", masked),
        ("drop = [\"**.name\"]\nmask = [\"actors.user.name\"]", left("")),
        ("mask = [\"**.none\"]", user.to_owned()),
    ] {
        assert_eq!(redacted(&redaction(rules), &event(user)), event(&expected), "{rules}");
    }
    // Values inside a field inherit its action; a stronger rule inside still applies.
    let rules = redaction("hash = [\"a\"]\nmask = [\"a.m\"]\ndrop = [\"a.d\"]");
    let expected = format!(r#""a":{{"h":"{}","m":"***"}}"#, hash("1"));
    assert_eq!(redacted(&rules, &event(r#""a":{"h":1,"m":2,"d":3}"#)), event(&expected));
    let rules = redaction("mask = [\"a\"]\nhash = [\"a.m\"]");
    assert_eq!(redacted(&rules, &event(r#""a":{"m":2}"#)), event(r#""a":{"m":"***"}"#));
}

#[test]
fn the_profile_finds_people_and_leaves_programs_and_flows() {
    let redaction = redaction("pii = \"mask\"");
    for (fields, expected) in [
        (r#""actors":{"client":{"name":"Console"}}"#, r#""actors":{"client":{"name":"Console"}}"#),
        (
            r#""source":{"ipAddress":"1.2.3.4","userAgent":"curl"}"#,
            r#""source":{"ipAddress":"***","userAgent":"***"}"#,
        ),
        (
            r#""actors":[{"type":"USER","name":"bob"}],"a":{"ipAddress":"1.2.3.4"}"#,
            r#""actors":[{"type":"USER","name":"***"}],"a":{"ipAddress":"***"}"#,
        ),
        (
            r#""resources":[{"type":"DEVICE","name":"+1 555","user":{"name":"bob"}}]"#,
            r#""resources":[{"type":"DEVICE","name":"***","user":{"name":"***"}}]"#,
        ),
        (
            r#""_embedded":{"riskEvent":{"ip":"1.2.3.4","username":"bob","level":"HIGH"}}"#,
            r#""_embedded":{"riskEvent":{"ip":"***","username":"***","level":"HIGH"}}"#,
        ),
        (
            r#""_embedded":{"riskEvaluation":{"event":{"ip":"1.2.3.4","user":{"name":"b","id":"7"}}}}"#,
            r#""_embedded":{"riskEvaluation":{"event":{"ip":"***","user":{"name":"***","id":"7"}}}}"#,
        ),
        (
            r#""u":{"name":{"given":"B","family":"C"},"lastSignOn":{"remoteIp":"1.2.3.4"}}"#,
            r#""u":{"name":{"given":"***","family":"***"},"lastSignOn":{"remoteIp":"***"}}"#,
        ),
        (r#""t":"bob&#64;x.co or bob\uff20x.co""#, r#""t":"*** or ***""#),
        (r#""x":[{"useragent":["a"]}]"#, r#""x":[{"useragent":["***"]}]"#),
        (
            r#""resources":[{"type":"FLOW","name":"Sign On"},{"name":"bob","type":"User"}]"#,
            r#""resources":[{"type":"FLOW","name":"Sign On"},{"name":"***","type":"User"}]"#,
        ),
        (
            r#""resources":{"name":"bob","\u0074ype":"USER"}"#,
            r#""resources":{"name":"***","\u0074ype":"USER"}"#,
        ),
        (
            r#""x":{"resources":{"name":"bob","type":"USER"}}"#,
            r#""x":{"resources":{"name":"bob","type":"USER"}}"#,
        ),
        (r#""t":"to \"bob@x.co\"\n or b%40x.co""#, r#""t":"to \"***\"\n or ***""#),
        (r#""t":"bob\u0040x.co \u00e9 \ud83d""#, r#""t":"*** \u00e9 \ud83d""#),
        (r#""bob@x.co":{"a@b.co":1}"#, r#""***":{"***":1}"#),
        (r#""t":["a@b.co",7,null,"a@b"]"#, r#""t":["***",7,null,"a@b"]"#),
    ] {
        assert_eq!(redacted(&redaction, &event(fields)), event(expected), "{fields}");
    }
    let hashing = self::redaction("pii = \"hash\"");
    let fields = r#""t":"u=bob%40x.co","actors":{"user":{"name":"bob@x.co"}}"#;
    let twice = redacted(&hashing, &event(fields)).matches(&hash("bob@x.co")).count();
    assert_eq!(twice, 2, "an address has one hash, wherever it stands");
    let dropping = self::redaction("pii = \"drop\"");
    let expected = event(r#""t":"to  now","***":1"#);
    assert_eq!(redacted(&dropping, &event(r#""t":"to a@b.co now","a@b.co":1"#)), expected);
    let keeping = self::redaction("pii = \"drop\"\nkeep = [\"t\"]");
    assert_eq!(redacted(&keeping, &event(r#""t":["a@b.co"]"#)), event(r#""t":["a@b.co"]"#));
}

#[test]
fn required_fields_are_not_searched() {
    let text = r#"{"id":"a@b.co","recordedAt":"2024-01-01T00:00:00Z","action":{"type":"a@b.co","description":"a@b.co"},"_embedded":{"flowInteractionEvent":{"interactionId":"a@b.co","id":"a@b.co"}},"id":"c@d.co","ID":"a@b.co"}"#;
    let expected = r#"{"id":"a@b.co","recordedAt":"2024-01-01T00:00:00Z","action":{"type":"a@b.co","description":"***"},"_embedded":{"flowInteractionEvent":{"interactionId":"a@b.co","id":"***"}},"id":"c@d.co","ID":"***"}"#;
    assert_eq!(redacted(&redaction("pii = \"mask\""), text), expected);
    // Only required fields are skipped: an event whose `id` is an array is not an event.
    assert_eq!(redacted(&redaction("pii = \"mask\""), r#"{"id":["a@b.co"]}"#), r#"{"id":["***"]}"#);
}

#[test]
fn events_without_a_match_are_not_copied() {
    let redaction = redaction("pii = \"mask\"\ndrop = [\"nothing\"]\nmask = [\"m\"]");
    for text in [event(""), event(r#""m":"***","n":[1,{}]"#), event(r#""e":"caf\u00e9 50% \\@""#)] {
        assert!(matches!(redaction.event(text.as_bytes()), Cow::Borrowed(_)), "{text}");
        assert!(matches!(redaction.fragment(text.as_bytes()), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn in_fragments_a_wrapper_hides_nothing() {
    let redaction =
        redaction("mask = [\"actors.user.name\", \"actors.user.id\"]\ndrop = [\"source\"]");
    for (text, expected) in [
        (
            r#"{"event":{"actors":{"user":{"name":"x"}},"id":"i"}}"#,
            r#"{"event":{"actors":{"user":{"name":"***"}},"id":"i"}}"#,
        ),
        (r#"[[{"source":1,"id":"i"}]]"#, r#"[[{"id":"i"}]]"#),
        (
            r#"{"user":{"name":"x","id":"y"},"id":"i"}"#,
            r#"{"user":{"name":"***","id":"***"},"id":"i"}"#,
        ),
        (r#"{"name":"x"}"#, r#"{"name":"***"}"#),
        (r#"{"flow":{"name":"x"}}"#, r#"{"flow":{"name":"x"}}"#),
        (r#""bob""#, r#""***""#),
        (r#"[1,"bob",[true,null]]"#, r#"["***","***",["***",null]]"#),
        ("{\"name\":1}\n{\"name\":2}\n", "{\"name\":\"***\"}\n{\"name\":\"***\"}\n"),
        ("\u{feff}{\"name\":1}", "\u{feff}{\"name\":\"***\"}"),
        (r#"{"name":"a"} trailing {"name":"b"}"#, r#"{"name":"***"} xxxxxxxx {"xxxx":"x"}"#),
        (r#"{"name":"bob", broken}"#, r#"{"xxxx":"xxx", xxxxxx}"#),
        ("Zoë said: 12", "xxxx xxxx: xx"),
        ("", ""),
    ] {
        assert_eq!(fragment(&redaction, text), expected, "{text}");
    }
    assert_eq!(&*redaction.fragment(b"{\"a\":\"\xff\"}"), b"{\"x\":\"x\"}");
    assert_eq!(redaction.hide(b"\x1f\x8b{a}"), b"\x1fx{x}");
}

#[test]
fn depth_and_length_are_no_way_out() {
    let redaction = redaction("hash = [\"**.name\"]\npii = \"mask\"");
    let deep = format!("{}{{\"name\":\"x\"}}{}", "[".repeat(100_000), "]".repeat(100_000));
    let found = fragment(&redaction, &deep);
    assert!(found.contains(&hash("x")) && found.len() > deep.len());
    let deep = format!("{}\"a@b.co\"{}", "{\"a\":".repeat(50_000), "}".repeat(50_000));
    assert!(fragment(&redaction, &deep).contains("\"***\""));
    // An array of digits cannot fill the memory with hashes.
    let long = event(&format!("\"name\":[{}1]", "1,".repeat(100_000)));
    let found = redacted(&redaction, &long);
    assert!(found.len() < 5 * long.len() + 8192, "{} of {}", found.len(), long.len());
    assert!(found.ends_with("\"***\"]}"), "what has no room for a hash is masked");
}

#[test]
fn a_second_time_changes_no_hash() {
    let redaction = redaction("hash = [\"h\"]\nmask = [\"m\"]\npii = \"hash\"");
    let text = event(r#""h":["a",5],"m":1,"t":"a@b.co","source":{"ipAddress":"1.1.1.1"}"#);
    let once = redacted(&redaction, &text);
    assert_eq!(redacted(&redaction.again(), &once), once);
    assert_ne!(redacted(&redaction, &once), once, "what came is hashed, whatever it looks like");
    let late = redacted(&redaction.again(), &event(r#""h":"0123""#));
    assert_eq!(late, event(&format!(r#""h":"{}""#, hash("0123"))));
}

#[test]
fn texts_of_an_event_lose_their_addresses() {
    let redaction = redaction("pii = \"drop\"");
    assert_eq!(redaction.text("$.a: bob@x.co, c%40d.co"), "$.a: ***, ***");
    assert_eq!(self::redaction("mask = [\"a\"]").text("bob@x.co"), "bob@x.co", "no profile");
    assert_eq!(redaction.profile_action(), Some(RedactAction::Drop));
    assert!(!format!("{redaction:?}").contains(&KEY[..8]), "Debug shows no key");
    assert!(!MASK.contains(['"', '\\']), "a mask is written between quotes as it is");
}
