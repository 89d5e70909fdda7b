//! Strength of a credential that protects a public listener. It must be impossible to guess, because correct
//! credentials are accepted after any number of wrong ones.

/// Minimum length of a credential, in characters.
const MIN_CHARACTERS: usize = 16;

/// Words of examples and common passwords; they do not count as random characters.
const WORDS: [&str; 14] = [
    "changeme",
    "change-me",
    "password",
    "passw0rd",
    "secret",
    "example",
    "pingone",
    "davinci",
    "siem",
    "splunk",
    "webhook",
    "admin",
    "letmein",
    "qwerty",
];

/// Returns the weakness of a credential; `None` if it is strong enough.
pub(crate) fn weakness(credential: &str, username: Option<&str>) -> Option<&'static str> {
    if credential.chars().count() < MIN_CHARACTERS {
        return Some("is shorter than 16 characters");
    }
    let mut rest = credential.to_lowercase();
    let username = username.map(str::to_lowercase).filter(|name| name.len() > 2);
    for word in WORDS.into_iter().chain(username.as_deref()) {
        rest = rest.replace(word, "");
    }
    let mut distinct: Vec<char> = rest.chars().filter(|c| c.is_alphanumeric()).collect();
    distinct.sort_unstable();
    distinct.dedup();
    (distinct.len() < 8).then_some("is an example, or made of too few different characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessable_secrets_are_refused() {
        for weak in [
            "",
            "hunter2",
            "fifteen-letters",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "1111222233334444",
            "changemechangemechangeme",
            "Password-Password-1234",
            "pingone-webhook-secret-1",
            "CHANGE-ME-CHANGE-ME",
        ] {
            assert!(weakness(weak, None).is_some(), "{weak}");
        }
        assert!(weakness("john.williams123john.williams", Some("John.Williams")).is_some());
    }

    #[test]
    fn random_or_long_secrets_are_accepted() {
        for strong in [
            "q3Vx8LmZ0tR7yBnK",
            "b7e0d4c19f6a82537d1c0b9ae84f6253",
            "correct horse battery staple",
            "Splunk 6f1d2c3b-9a8e-4d7c-b5f4-e3a2b1c0d9f8",
        ] {
            assert_eq!(weakness(strong, Some("pingone")), None, "{strong}");
        }
    }
}
