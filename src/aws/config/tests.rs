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
fn a_role_of_a_service_account_goes_before_that_of_the_container_or_machine() {
    let read = |keys: &str, variables: &[(&str, &str)]| {
        let text = format!(
            "[sinks.s]\ntype = \"kinesis\"\nstream = \"s\"\nregion = \"eu-central-1\"\n{keys}"
        );
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let config = config::parse(&text, None, variables.into_iter());
        let config = config.map_err(|problems| problems.to_string())?;
        let TargetConfig::Kinesis(sink) = &config.sinks[0].target else { panic!("a sink") };
        let files = sink.aws.files();
        let identity = match &sink.aws.identity {
            AwsIdentity::Key(_) => "key".to_owned(),
            AwsIdentity::WebIdentity(identity, url) => format!("{} {url}", identity.role_arn),
            AwsIdentity::Container(endpoint) => endpoint.url.to_string(),
            AwsIdentity::Instance(url) => url.to_string(),
        };
        let role = sink.aws.assume_role.as_ref();
        let role =
            role.map(|(role, url)| format!("{} {:?} {url}", role.role_arn, role.external_id));
        Ok::<_, String>((identity, role, files))
    };
    let arn = "arn:aws:iam::123456789012:role/pod";
    let pod = [
        ("AWS_ROLE_ARN", arn),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/token"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/relative"),
        ("S", "secret"),
    ];
    let sts = "https://sts.eu-central-1.amazonaws.com/";
    let (identity, role, files) = read("", &pod).expect("valid");
    assert_eq!((identity, role), (format!("{arn} {sts}"), None));
    assert_eq!(files, [PathBuf::from("/run/token")]);
    assert_eq!(read("web_identity = {}", &pod).expect("valid").0, format!("{arn} {sts}"));
    assert_eq!(read("", &pod[1..]).expect("valid").0, "http://169.254.170.2/relative");
    let key = "access_key = { id = \"AKIAIOSFODNN7EXAMPLE\", secret_env = \"S\" }\n";
    assert_eq!(read(key, &pod).expect("valid").0, "key");
    let lake = "assume_role = { role_arn = \"arn:aws:iam::1:role/lake\", external_id = \"x1\", sts_endpoint = \"https://sts.example.com/\" }";
    let role = read(&format!("{key}{lake}"), &pod).expect("valid").1.expect("a role");
    assert_eq!(role, "arn:aws:iam::1:role/lake Some(\"x1\") https://sts.example.com/");
    for (keys, variables, words) in [
        (
            format!("{key}web_identity = {{}}"),
            &pod[..],
            "web_identity: and access_key are both given",
        ),
        (
            "web_identity = {}".to_owned(),
            &[],
            "web_identity.role_arn: is missing; write it, or set AWS_ROLE_ARN",
        ),
        (
            String::new(),
            &[("AWS_ROLE_ARN", "role"), pod[1]],
            "the variable AWS_ROLE_ARN is not the ARN",
        ),
        (
            "assume_role = { role_arn = \"lake\" }".to_owned(),
            &pod[3..],
            "assume_role.role_arn: is not the ARN",
        ),
        (
            "assume_role = { role_arn = \"arn:aws:iam::1:role/x\", external_id = \"?\" }"
                .to_owned(),
            &pod[3..],
            "external_id: is not an external id",
        ),
    ] {
        let found = read(&keys, variables).expect_err(&keys);
        assert!(found.contains(words), "{keys}: {found}");
    }
    let iso = "[sinks.s]\ntype = \"kinesis\"\nstream = \"s\"\nregion = \"us-iso-east-1\"\nendpoint = \"https://x\"\n";
    let variables = [pod[0], pod[1]].map(|(name, value)| (name.into(), value.into()));
    let found = config::parse(iso, None, variables.into_iter()).expect_err("no endpoint");
    assert!(found.to_string().contains("web_identity: has no sts_endpoint"), "{found}");
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
