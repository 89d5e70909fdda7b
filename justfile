# The usual commands; `just` lists them. CI runs `.ci/run`, which has more steps.

# Lists the recipes.
default:
    @just --list

# Runs the service with the default configuration and writes events to standard output.
run *arguments:
    cargo run -- {{ arguments }}

# Sends the five documented events to a running service.
send:
    cargo run -- send fixtures/documented_batch.json

# Runs the tests of the default build.
test *filter:
    cargo test {{ filter }}

# Checks format and lints, and runs the tests; before each commit.
check:
    .ci/run format clippy
    cargo test

# Runs named steps of CI, or all of them (about half an hour): `just ci docs deploy`.
ci *steps:
    .ci/run {{ steps }}

# Builds the program with all features, as releases have it.
release:
    cargo build --release --all-features

# Builds the container image.
image:
    docker build --tag davinci-siem .

# Rewrites the snapshots of the decoder and of the formats.
snapshots:
    INSTA_UPDATE=always cargo test --lib

# Opens the documentation of the code, private items included.
doc:
    cargo doc --no-deps --document-private-items --all-features --open
