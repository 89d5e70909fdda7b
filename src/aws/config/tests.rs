//! Endpoints of a role, and the files that are watched.

use super::*;
use crate::config;
use crate::sinks::TargetConfig;

/// Reads a sink whose container has these variables. Returns its endpoint and watched files, or the problems.
fn container(variables: &[(&str, &str)]) -> Result<(String, Vec<PathBuf>), String> {
    let text = "[sinks.s]\ntype = \"kinesis\"\nregion = \"eu-central-1\"\nstream = \"s\"\n";
    let variables: Vec<_> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let config = config::parse(text, None, variables.into_iter());
    let config = config.map_err(|problems| problems.to_string())?;
    let TargetConfig::Kinesis(sink) = &config.sinks[0].target else { panic!("a sink") };
    let url = match &sink.aws.identity {
        AwsIdentity::Container(endpoint) => endpoint.url.to_string(),
        other => panic!("{other:?}"),
    };
    Ok((url, sink.aws.files()))
}

#[test]
fn a_container_sends_its_token_only_where_it_is_safe() {
    let (relative, full) =
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    for url in [
        "http://127.0.0.1:80/x",
        "http://[::1]/x",
        "http://localhost/x",
        "http://169.254.170.2/x",
        "http://169.254.170.23/v1/credentials",
        "http://[fd00:ec2::23]/v1/credentials",
        "https://example.com/x",
    ] {
        let (found, _) = container(&[(full, url)]).expect(url);
        assert_eq!(found.replace(":80/", "/"), url.replace(":80/", "/"));
    }
    for url in ["http://example.com/x", "http://169.254.170.2.example.com/x", "http://10.0.0.1/"] {
        let found = container(&[(full, url)]).expect_err(url);
        assert!(found.contains("without TLS; write https"), "{found}");
    }
    let both = [(full, "http://localhost/full"), (relative, "/relative")];
    assert_eq!(container(&both).expect("valid").0, "http://169.254.170.2/relative");
    let (file, token) =
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    for (variables, files) in [
        (vec![(relative, "/r"), (file, "/run/token")], vec![PathBuf::from("/run/token")]),
        (vec![(relative, "/r"), (file, ""), (token, "")], Vec::new()),
        (vec![(relative, "/r"), (file, ""), (token, "t")], Vec::new()),
    ] {
        assert_eq!(container(&variables).expect("valid").1, files, "{variables:?}");
    }
}
