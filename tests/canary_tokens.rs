//! Tokens in every wrong place of a configuration: in place of a file's or a variable's name, in a URL, in a line that
//! is not TOML. Then a search through the whole output of the process.

use crate::support::canary::{TOKEN, assert_silent, shown, text};
use crate::support::events::{batch, ids};
use crate::support::service::Home;
use crate::support::wait_for;

/// Configurations with a token in the wrong place; `@` stands for the token.
const WRONG_PLACES: &[(&str, &str)] = &[
    (
        "as the name of a variable",
        "[sources.a]\nbasic = [{ username = \"u\", password_env = \"@\" }]\n",
    ),
    (
        "as a variable's name in a header",
        "[sources.a]\nheaders = [{ name = \"x-k\", value_env = \"@\" }]\n",
    ),
    (
        "as the name of a file",
        "[sources.a]\nbasic = [{ username = \"u\", password_file = \"@\" }]\n",
    ),
    (
        "as a file in a directory",
        "[sources.a]\nbasic = [{ username = \"u\", password_file = \"/run/secrets/@\" }]\n",
    ),
    (
        "as a relative path",
        "[sources.a]\nbasic = [{ username = \"u\", password_file = \"./@\" }]\n",
    ),
    (
        "as a file with an ending",
        "[sources.a]\nbasic = [{ username = \"u\", password_file = \"@.txt\" }]\n",
    ),
    ("as the password", "[sources.a]\nbasic = [{ username = \"u\", password = \"@\" }]\n"),
    ("as the value", "[sources.a]\nheaders = [{ name = \"x-k\", value = \"@\" }]\n"),
    ("as the value for all tables", "[sources.a]\nbasic = \"u:@\"\n"),
    ("in a list of texts", "[sources.a]\nbasic = [\"u:@\"]\n"),
    ("as an unknown key", "[sources.a]\n@ = \"x\"\n"),
    ("as an unknown key's value", "[sources.a]\npasword = \"@\"\n"),
    ("as a table", "[sources.a.@]\nx = 1\n"),
    ("as a table of the root", "[@]\nx = 1\n"),
    ("as the name of a source", "[sources.@]\n"),
    ("as a key below a text", "[sources.a]\npath.@ = \"/x\"\n"),
    ("in a header's name", "[sources.a]\nheaders = [{ name = \"X-Key: @\", value_env = \"X\" }]\n"),
    ("in a certificate's subject", "[sources.a]\ncertificates = [{ subject = \"@\" }]\n"),
    ("as a fingerprint", "[sources.a]\ncertificates = [{ fingerprint = \"@\" }]\n"),
    ("as a name", "[sources.a]\ncertificates = [{ san = \"@\" }]\n"),
    ("in a source's path", "[sources.a]\npath = \"hooks/@?x\"\n"),
    ("in a network", "[sources.a]\nallow_from = [\"@\"]\n"),
    ("as a word", "[sources.a]\non_unparseable = \"@\"\n"),
    ("as a boolean", "[sources.a]\nstrict = \"@\"\n"),
    ("as the admin password", "[admin]\npassword = \"@\"\n"),
    ("as the admin password's file", "[admin]\npassword_file = \"@\"\n"),
    ("as the admin password's variable", "[admin]\npassword_env = \"@\"\n"),
    ("as an address", "[listen]\naddress = \"@\"\n"),
    ("as a size", "[limits]\nbody = \"@\"\n"),
    ("as a time span", "[limits]\nbody_timeout = \"@\"\n"),
    ("as a number", "[limits]\nconnections = \"@\"\n"),
    ("as the listener's key", "[listen.tls]\ncertificate = \"@\"\nkey = \"@\"\n"),
    (
        "as the listener's authority",
        "[listen.tls]\ncertificate = \"/dev/null\"\nkey = \"/dev/null\"\nclient_ca = \"@\"\n",
    ),
    ("as a redaction key's file", "[redact]\npii = \"hash\"\nkey_file = \"@\"\n"),
    ("as a redaction key's variable", "[redact]\npii = \"hash\"\nkey_env = \"@\"\n"),
    ("as a redaction path", "[redact]\nmask = [\"$.@\"]\n"),
    ("as a redaction key", "[redact]\npii = \"hash\"\nkey = \"@\"\n"),
    (
        "as an HEC token",
        "[sinks.a]\ntype = \"splunk_hec\"\nendpoint = \"https://x\"\ntoken = \"@\"\n",
    ),
    (
        "as an HEC token's variable",
        "[sinks.a]\ntype = \"splunk_hec\"\nendpoint = \"https://x\"\ntoken_env = \"@\"\n",
    ),
    (
        "as an HEC token's file",
        "[sinks.a]\ntype = \"splunk_hec\"\nendpoint = \"https://x\"\ntoken_file = \"@\"\n",
    ),
    (
        "as an API key's file",
        "[sinks.a]\ntype = \"elasticsearch\"\nendpoint = \"https://x\"\napi_key_file = \"@\"\n",
    ),
    (
        "as a data stream",
        "[sinks.a]\ntype = \"elasticsearch\"\nendpoint = \"https://x\"\ndata_stream = \"@\"\n",
    ),
    (
        "as a client secret",
        "[sinks.a]\ntype = \"sentinel\"\nendpoint = \"https://x\"\nclient_secret = { secret = \"@\" }\n",
    ),
    (
        "as a client secret's file",
        "[sinks.a]\ntype = \"sentinel\"\nendpoint = \"https://x\"\nclient_secret = { secret_file = \"@\" }\n",
    ),
    (
        "as a tenant and a client",
        "[sinks.a]\ntype = \"sentinel\"\nclient_secret = { tenant_id = \"@\", client_id = \"@\" }\n",
    ),
    (
        "as a user-assigned identity",
        "[sinks.a]\ntype = \"sentinel\"\nmanaged_identity = { client_id = \"@\", resource_id = \"@\" }\n",
    ),
    (
        "as a rule, a stream and an authority",
        "[sinks.a]\ntype = \"sentinel\"\nrule_id = \"@\"\nstream = \"@\"\nauthority = \"@\"\n",
    ),
    ("in a URL's credentials", "[sinks.a]\ntype = \"http\"\nurl = \"https://u:@@x/\"\n"),
    ("in a URL's user name", "[sinks.a]\ntype = \"http\"\nurl = \"https://@@x/\"\n"),
    ("as a URL", "[sinks.a]\ntype = \"http\"\nurl = \"@\"\n"),
    ("in a URL's port", "[sinks.a]\ntype = \"http\"\nurl = \"https://x:@/\"\n"),
    ("in a URL's scheme", "[sinks.a]\ntype = \"http\"\nurl = \"@://x\"\n"),
    (
        "in a proxy's URL",
        "[sinks.a]\ntype = \"http\"\nurl = \"https://x\"\nproxy = { url = \"http://u:@@p:1\" }\n",
    ),
    (
        "as a bearer's file",
        "[sinks.a]\ntype = \"http\"\nurl = \"https://x\"\nbearer_file = \"@\"\n",
    ),
    (
        "as a header's name",
        "[sinks.a]\ntype = \"http\"\nurl = \"https://x\"\nheaders = [{ name = \"A @\", value = \"x\" }]\n",
    ),
    (
        "as a header's broken value",
        "[sinks.a]\ntype = \"http\"\nurl = \"https://x\"\nheaders = [{ name = \"a\", value = \"@\\n\" }]\n",
    ),
    (
        "as a signing key's file",
        "[sinks.a]\ntype = \"http\"\nurl = \"https://x\"\nsigning_keys = [{ key_file = \"@\" }]\n",
    ),
    (
        "as an API key and its variable",
        "[sinks.a]\ntype = \"http\"\nurl = \"https://x\"\napi_key = \"@\"\n[sinks.b]\ntype = \"http\"\n\
         url = \"https://x\"\napi_key_env = \"@\"\n",
    ),
    (
        "as a secret URL's file and variable",
        "[sinks.a]\ntype = \"http\"\nurl_file = \"@\"\n[sinks.b]\ntype = \"http\"\nurl_env = \"@\"\n",
    ),
    (
        "as a secret URL in the configuration",
        "[sinks.a]\ntype = \"http\"\nprofile = \"sumo\"\nurl = \"https://x/receiver/@\"\n",
    ),
    (
        "as a key of a body's signature",
        "[sinks.a]\ntype = \"http\"\nurl = \"https://x\"\nhmac = { header = \"X-S\", key_env = \"@\" }\n",
    ),
    (
        "as a password of PostgreSQL",
        "[sinks.a]\ntype = \"postgres\"\naddress = \"u:@@x:1\"\ndatabase = \"d\"\nusername = \"u\"\n\
         password = \"@\"\n",
    ),
    (
        "as a connection string of Event Hubs",
        "[sinks.a]\ntype = \"kafka\"\nprofile = \"event_hubs\"\nbrokers = [\"x:1\"]\ntopic = \"t\"\n\
         sasl = { password_env = \"@\" }\nentra = { client_secret = { secret = \"@\" } }\n",
    ),
    ("as a sink's type", "[sinks.a]\ntype = \"@\"\n"),
    ("as a sink's name", "[sinks.\"@\"]\ntype = \"stdout\"\n"),
    ("as a sink's format", "[sinks.a]\ntype = \"stdout\"\nformat = \"@\"\n"),
    ("as a source in a filter", "[sinks.a]\ntype = \"stdout\"\ninclude = { sources = [\"@\"] }\n"),
    (
        "as an outcome in a filter",
        "[sinks.a]\ntype = \"stdout\"\ninclude = { outcomes = [\"@\"] }\n",
    ),
    (
        "as a sink's authority",
        "[sinks.a]\ntype = \"http\"\nurl = \"https://x\"\ntls = { ca = \"@\" }\n",
    ),
    (
        "as a sink's key",
        "[sinks.a]\ntype = \"http\"\nurl = \"https://x\"\ntls = { certificate = \"/dev/null\", key = \"@\" }\n",
    ),
    ("as a syslog address", "[sinks.a]\ntype = \"syslog\"\naddress = \"@\"\n"),
    (
        "as a syslog host's name",
        "[sinks.a]\ntype = \"syslog\"\naddress = \"x:1\"\nhostname = \"@ \"\n",
    ),
    (
        "as a trace collector's header",
        "[traces]\nendpoint = \"http://x\"\nheaders = [{ name = \"a b\", value = \"@\" }]\n",
    ),
    ("as a trace collector's bearer", "[traces]\nendpoint = \"http://x\"\nbearer_env = \"@\"\n"),
    ("without quotation marks", "[sources.a]\nbasic = [{ username = \"u\", password_file = @ }]\n"),
    ("with one quotation mark", "[admin]\npassword_file = \"@\n"),
    ("with the other quotation mark", "[admin]\npassword_file = @\"\n"),
    ("with a colon", "[admin]\npassword: \"@\"\n"),
    ("without an equals sign", "[admin]\npassword_file \"@\"\n"),
    ("on a line of its own", "[admin]\n@\n"),
    ("after a value", "[admin]\npassword_file = \"x\" @\n"),
    ("with a wrong escape", "[admin]\npassword_file = \"\\q@\"\n"),
    ("twice", "[admin]\npassword_file = \"@\"\npassword_file = \"@\"\n"),
    ("as a key that is there twice", "[admin]\n@ = 1\n@ = 1\n"),
    ("as a table that is there twice", "[@]\n[@]\n"),
    ("as a key that is a table, too", "[admin]\n@ = 1\n@.x = 1\n"),
    ("in a table's name that is not closed", "[admin.@\n"),
    (
        "in an inline table that is not closed",
        "[sources.a]\nbasic = [{ username = \"u\", password = \"@\"\n",
    ),
    ("in a text over several lines", "[admin]\npassword_file = \"\"\"@\n"),
    ("with a control character", "[admin]\npassword_file = \"@\u{1}\"\n"),
];

#[test]
fn a_token_in_the_wrong_place_is_not_shown() {
    for (place, config) in WRONG_PLACES {
        let home = Home::new("");
        // On its own, because the tables of a test's configuration do not allow it beside others.
        std::fs::write(
            home.path("test.toml"),
            config
                .replacen("@@", "\u{1a}@", 1)
                .replace('@', TOKEN)
                .replace(&format!("\u{1a}{TOKEN}"), &format!("{TOKEN}@")),
        )
        .expect("written");
        for arguments in
            [&["check"][..], &["check", "--connect"], &["serve"], &["spool", "stats"], &["status"]]
        {
            let output = home.run(arguments);
            let said = text(&output);
            let looks = ["spool", "status"].contains(&arguments[0]);
            assert!(looks || !output.status.success(), "{place}: {arguments:?}: {said}");
            assert_silent(&said, TOKEN, &format!("{place}: {arguments:?}"));
        }
    }
}

#[test]
fn a_token_in_an_overriding_variable_is_not_shown() {
    for key in [
        "ADMIN__PASSWORD",
        "ADMIN__PASSWORD_ENV",
        "ADMIN__PASSWORD_FILE",
        "ADMIN__READ_ONLY",
        "ADMIN__ADDRESS",
        "LISTEN__TLS",
        "LISTEN__TLS__KEY",
        "SOURCES__A__BASIC",
        "SOURCES__A__ALLOW_FROM",
        "SOURCES__A__PATH",
        "SINKS__A__TYPE",
        "SINKS__A__URL",
        "SINKS__A__TOKEN",
        "SPOOL__MAX_SIZE",
        "SPOOL",
        "LOG__LEVEL",
        "REDACT__KEY_ENV",
    ] {
        let home = Home::new("").with_variables(&[(&format!("DAVINCI_SIEM__{key}"), TOKEN)]);
        let output = home.run(&["check"]);
        assert_eq!(output.status.code(), Some(64), "{key}: {}", text(&output));
        assert_silent(&text(&output), TOKEN, key);
    }
}

#[test]
fn secrets_in_urls_that_work_are_not_shown() {
    let config = format!(
        "[sinks.path]\ntype = \"http\"\nurl = \"http://127.0.0.1:1/hooks/{TOKEN}\"\n\
         [sinks.query]\ntype = \"http\"\nurl = \"http://127.0.0.1:1/x?key={TOKEN}#{TOKEN}\"\n\
         [sinks.hec]\ntype = \"splunk_hec\"\nendpoint = \"http://127.0.0.1:1/{TOKEN}\"\ntoken_env = \"TOKEN\"\n\
         [sinks.elastic]\ntype = \"elasticsearch\"\nendpoint = \"http://127.0.0.1:1/{TOKEN}\"\napi_key_env = \"TOKEN\"\n\
         [sinks.plain]\ntype = \"http\"\nurl = \"http://127.0.0.1:1/x\"\nheaders = [{{ name = \"a\", value = \"{TOKEN}\" }}]\n"
    );
    let home = Home::new(&config).with_variables(&[("TOKEN", TOKEN)]);
    for arguments in [&["check"][..], &["check", "--json"], &["check", "--connect"]] {
        assert_silent(&text(&home.run(arguments)), TOKEN, "check");
    }
    let service = home.start();
    service.post(&batch(ids(1)));
    wait_for("every sink to retry", || {
        let sinks = service.readiness()["sinks"].clone();
        let sinks = sinks.as_array().expect("sinks");
        sinks.iter().all(|sink| sink["state"] == "retrying").then_some(())
    });
    let mut said = shown(&service);
    for arguments in [&["sink", "list"][..], &["status"]] {
        said.push_str(&text(&home.run_with(&service, arguments)));
    }
    said.push_str(&service.terminate().1);
    assert_silent(&said, TOKEN, "the service");
}
