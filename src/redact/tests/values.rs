//! Values of the profile in every field and spelling, values that recur, lists of addresses, and
//! networks.

use super::*;

#[test]
fn the_profile_finds_people_at_any_depth() {
    let redaction = redaction("pii = \"mask\"");
    for fields in [
        r#""_embedded":{"riskEvent":{"ip":"@","username":"@"}}"#,
        r#""_embedded":{"riskEvaluation":{"event":{"ip":"@","user":{"name":"@"}}}}"#,
        r#""_embedded":{"flowInteractionEvent":{"ipAddress":"@"}}"#,
        r#""request":{"ipAddress":"@"}"#,
        r#""lastSignOn":{"remoteIp":"@"}"#,
        r#""resources":[{"type":"SESSION","user":{"name":"@"}}]"#,
        r#""resources":[{"type":"DEVICE","name":"@"},{"type":"USER","name":"@"}]"#,
        r#""actors":[{"type":"USER","name":"@"},{"user":{"name":"@"}}]"#,
        r#""x":{"name":{"given":"@","family":"@","formatted":"@"}}"#,
        r#""x":{"givenName":"@","familyName":"@","firstName":"@","lastName":"@"}"#,
        r#""x":[{"given_name":"@","family_name":"@","preferred_username":"@","userName":"@"}]"#,
        r#""x":{"phone":"@","phoneNumber":"@","mobilePhone":"@","phone_number":"@"}"#,
        r#""x":{"ip":"@","ips":["@","@"],"clientIp":"@","client_ip":"@","sourceIp":"@"}"#,
        r#""x":{"X-Forwarded-For":"@","remoteAddress":"@","ipv4":"@","ipv6":"@","IP_ADDRESS":"@"}"#,
    ] {
        let came = event(&fields.replace('@', "canary-7"));
        assert_eq!(redacted(&redaction, &came), event(&fields.replace('@', "***")), "{fields}");
    }
    for fields in [
        r#""x":{"flowName":"Sign On","name":"Sign On","userId":"7f3a","user":{"id":"7f3a"}}"#,
        r#""x":{"zip":"12345","ship":"a","description":"10.0.0.1"}"#,
        r#""actors":{"client":{"name":"Console","id":"c"}}"#,
    ] {
        assert_eq!(redacted(&redaction, &event(fields)), event(fields), "{fields}");
    }
}

#[test]
fn every_spelling_of_an_at_sign_is_found() {
    let masking = redaction("pii = \"mask\"");
    let hashing = redaction("pii = \"hash\"");
    for sign in [
        "@",
        "%40",
        "%2540",
        "%252540",
        "%25252540",
        r"\\u0040",
        r"\\\\u0040",
        r"\\\\\\\\u0040",
        r"\u0040",
        "&#64;",
        "&#064;",
        "&#x40;",
        "&#X0040;",
        "&amp;#64;",
        "&commat;",
        "＠",
        "\\uff20",
        "%EF%BC%A0",
        "﹫",
    ] {
        for domain in ["example.com", "[192.0.2.1]", "[IPv6:2001:db8::1]"] {
            let text = |address: &str| event(&format!("\"t\":\"to {address}, now\""));
            let came = text(&format!("jdoe{sign}{domain}"));
            assert_eq!(redacted(&masking, &came), text("***"), "{came}");
            let expected = text(&hash(&format!("jdoe@{domain}")));
            assert_eq!(redacted(&hashing, &came), expected, "{came}");
        }
    }
    let came = event(r#""t":"jdoe%40%5B192.0.2.1%5D""#);
    assert_eq!(redacted(&masking, &came), event(r#""t":"***""#));
}

#[test]
fn redacted_values_are_replaced_wherever_they_recur() {
    let user = |name: &str, rest: &str| {
        event(&format!(r#""actors":{{"user":{{"name":"{name}","id":"7"}}}},{rest}"#))
    };
    let masking = redaction("pii = \"mask\"");
    for (text, expected) in [
        (
            r#""result":{"description":"Passed by jdoe."}"#,
            r#""result":{"description":"Passed by ***."}"#,
        ),
        (
            r#""a":["jdoe",{"b":"jdoe"}],"c":"jdoe jdoe""#,
            r#""a":["***",{"b":"***"}],"c":"*** ***""#,
        ),
        (r#""t":"jdoes jDoe xjdoe""#, r#""t":"jdoes jDoe xjdoe""#),
        (r#""t":"jdo\u0065 \u00e9""#, r#""t":"*** \u00e9""#),
        (r#""t":"{\"u\":\"jdoe\"}\\njdoe""#, r#""t":"{\"u\":\"***\"}\\n***""#),
        (r#""t":"?u=%20jdoe&v""#, r#""t":"?u=%20***&v""#),
        (r#""t":"jdoe@x.co, jdoe""#, r#""t":"***, ***""#),
        (r#""jdoe":1,"status":"jdoe""#, r#""jdoe":1,"status":"jdoe""#),
    ] {
        assert_eq!(redacted(&masking, &user("jdoe", text)), user("***", expected), "{text}");
        // The element in a wrapper is not an event.
        let wrapped = |event: String| format!(r#"{{"x":[{event}]}}"#);
        let found = fragment(&masking, &wrapped(user("jdoe", text)));
        assert_eq!(found, wrapped(user("***", expected)), "{text}");
    }
    // A value before its field, and a hash that is the same in both places.
    let came = event(r#""t":"by Zoë Bell","resources":[{"type":"USER","name":"Zoë Bell"}]"#);
    let found = redacted(&redaction("pii = \"hash\""), &came);
    assert_eq!(found.matches(&hash("Zoë Bell")).count(), 2, "{found}");
    // Short values, and words that every event contains.
    for name in ["jd", "12345", "***", ""] {
        let came = user(name, r#""t":"jd 12345 *** x""#);
        assert_eq!(redacted(&masking, &came), user("***", r#""t":"jd 12345 *** x""#), "{name}");
    }
}

#[test]
fn values_of_rules_recur_too() {
    let came = event(
        r#""t":"Ann Lee of Oslo, unit-9","x":{"who":"Ann Lee","at":{"city":"Oslo","unitId":"unit-9"}}"#,
    );
    for (rules, expected) in [
        (
            "mask = [\"x.who\"]",
            r#""t":"*** of Oslo, unit-9","x":{"who":"***","at":{"city":"Oslo","unitId":"unit-9"}}"#,
        ),
        ("drop = [\"x.at\"]", r#""t":"Ann Lee of ***, unit-9","x":{"who":"Ann Lee"}"#),
        (
            "drop = [\"x.at.unitId\"]",
            r#""t":"Ann Lee of Oslo, ***","x":{"who":"Ann Lee","at":{"city":"Oslo"}}"#,
        ),
        ("drop = [\"x\"]", r#""t":"*** of ***, unit-9""#),
    ] {
        assert_eq!(redacted(&redaction(rules), &came), event(expected), "{rules}");
    }
    let kept = redaction("pii = \"mask\"\nkeep = [\"t\"]");
    let came = event(r#""t":"jdoe","u":"jdoe","user":{"name":"jdoe"}"#);
    let expected = event(r#""t":"jdoe","u":"***","user":{"name":"***"}"#);
    assert_eq!(redacted(&kept, &came), expected);
}

#[test]
fn addresses_in_a_list_have_the_hash_of_the_single_address() {
    let redaction = redaction("pii = \"hash\"");
    let (one, two) = (hash("192.0.2.1"), hash("2001:db8::7"));
    for (came, expected) in [
        (r#""192.0.2.1, 2001:db8::7""#, format!("\"{one}, {two}\"")),
        (r#""192.0.2.1,2001:db8::7""#, format!("\"{one},{two}\"")),
        (r#"["192.0.2.1","2001:db8::7"]"#, format!("[\"{one}\",\"{two}\"]")),
        (r#""192.0.2.1""#, format!("\"{one}\"")),
        (r#""192.0.2.1, bob""#, format!("\"{}\"", hash("192.0.2.1, bob"))),
    ] {
        let came = event(&format!("\"source\":{{\"ipAddress\":{came}}}"));
        let expected = event(&format!("\"source\":{{\"ipAddress\":{expected}}}"));
        let found = redacted(&redaction, &came);
        assert_eq!(found, expected, "{came}");
        assert_eq!(redacted(&redaction.again(), &found), found);
    }
    let came = event(r#""source":{"ipAddress":"192.0.2.1, 192.0.2.9"},"t":"from 192.0.2.1""#);
    assert_eq!(redacted(&redaction, &came).matches(&one).count(), 2, "in texts, too");
}

#[test]
fn addresses_are_truncated_and_names_are_not() {
    let redaction = redaction("pii = \"hash\"\naddresses = \"truncate\"\nmask = [\"m.ip\"]");
    let name = hash("jdoe");
    let came = event(
        r#""source":{"ipAddress":"192.0.2.77, 2001:db8:1:2::3"},"ip":"[2001:db8:1:2::3]:9","t":"jdoe from 192.0.2.77","user":{"name":"jdoe"},"request":{"ipAddress":"n/a"},"m":{"ip":"198.51.100.1"}"#,
    );
    let expected = event(&format!(
        r#""source":{{"ipAddress":"192.0.2.0, 2001:db8:1::"}},"ip":"[2001:db8:1::]:9","t":"{name} from 192.0.2.0","user":{{"name":"{name}"}},"request":{{"ipAddress":"{}"}},"m":{{"ip":"***"}}"#,
        hash("n/a")
    ));
    assert_eq!(redacted(&redaction, &came), expected);
    assert_eq!(redacted(&redaction.again(), &expected), expected);
    let came = r#"{"x":[{"ipAddress":"::ffff:192.0.2.77"}]}"#;
    assert_eq!(fragment(&redaction, came), r#"{"x":[{"ipAddress":"::ffff:192.0.2.0"}]}"#);
    let dropping = self::redaction("pii = \"drop\"\naddresses = \"truncate\"");
    let came = event(r#""ip":"192.0.2.77","x":{"ip":"n/a"},"y":{"clientIp":7}"#);
    let expected = event(r#""ip":"192.0.2.0","x":{"ip":"***"},"y":{"clientIp":"***"}"#);
    assert_eq!(redacted(&dropping, &came), expected);
}
