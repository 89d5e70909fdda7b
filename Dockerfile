# A tag can move to another image. No digest is written here, because none was verified for this file. To pin one:
# docker build --build-arg BASE=rust:1.95-slim-trixie@sha256:…
ARG BASE=rust:1.95-slim-trixie
FROM ${BASE} AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# The versions are those of the base image's Debian release.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ make pkg-config libc6-dev libssl-dev ca-certificates \
    && rm -rf /var/lib/apt/lists/*
# The binary says itself which crates it was built of, and scanners read it. The version is .ci/tool's, too.
RUN cargo install cargo-auditable --version =0.7.7 --locked --debug --root /usr/local
WORKDIR /build
# The release profile of Cargo.toml; .ci/image builds faster with other values.
ARG CARGO_PROFILE_RELEASE_LTO=thin
ARG CARGO_PROFILE_RELEASE_CODEGEN_UNITS=4
ARG CARGO_PROFILE_RELEASE_OPT_LEVEL=3
# Dependencies are built apart from the sources: a change in src/ does not build them again.
COPY Cargo.toml Cargo.lock ./
# Every target that Cargo.toml names needs a stand-in here.
RUN mkdir -p src tests config benches/end_to_end \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs tests/integration.rs tests/tidy.rs \
       benches/micro.rs benches/end_to_end/main.rs \
    && cargo auditable build --release --locked --all-features
COPY src ./src
COPY config ./config
# Newer than the stand-ins above, whatever the checkout's clock was.
RUN find src -name '*.rs' -exec touch {} + \
    && cargo auditable build --release --locked --all-features

# The final image is the binary, what it links to, and nothing to run a shell with.
RUN mkdir -p /image/etc/davinci-siem /image/etc/ssl/certs /image/var/lib/davinci-siem /image/var/lib/dpkg/status.d \
    && cp target/release/davinci-siem /image/davinci-siem \
    && ldd target/release/davinci-siem | awk '/=> \//{print $3} /^[[:space:]]*\//{print $1}' > libraries \
    && xargs -I{} cp -L --parents {} /image/ < libraries \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && printf '[listen]\naddress = "0.0.0.0:8080"\n\n[spool]\ndirectory = "/var/lib/davinci-siem"\n' \
       > /image/etc/davinci-siem/davinci-siem.toml \
    && echo 'davinci:x:10001:10001::/var/lib/davinci-siem:/nonexistent' > /image/etc/passwd \
    && echo 'davinci:x:10001:' > /image/etc/group \
    && chown -R 10001:10001 /image/var/lib/davinci-siem && chmod 700 /image/var/lib/davinci-siem
# The licences of the program and of what is linked into it.
COPY LICENSE .ci/notices ./
RUN mkdir -p .ci /image/usr/share/doc/davinci-siem && mv notices .ci/ && cp LICENSE /image/usr/share/doc/davinci-siem/ \
    && .ci/notices /image/usr/share/doc/davinci-siem/THIRD-PARTY-NOTICES
# Debian's packages in the image, where scanners look for them, and their licences.
RUN cp -L /etc/os-release /image/etc/os-release \
    # dpkg knows some of them by their place before /lib became a link to /usr/lib, and others by that after.
    && while read -r file; do \
           { dpkg -S "$file"; dpkg -S "/usr$file"; true; } 2>/dev/null \
           | grep -v ^diversion | cut -d: -f1 | grep . || exit 1; \
       done < libraries > packages \
    && for package in ca-certificates $(sort -u packages); do \
           dpkg-query --status "$package" > "/image/var/lib/dpkg/status.d/$package" \
           && install -D -m 644 "/usr/share/doc/$package/copyright" "/image/usr/share/doc/$package/copyright" \
           || exit 1; \
       done

FROM scratch
COPY --from=build /image/ /
# Commit, its time (RFC 3339) and the repository's URL: arguments of the build.
ARG REVISION=""
ARG CREATED=""
ARG SOURCE=""
# The rest is from Cargo.toml; tests/tidy.rs compares them.
LABEL org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.title="davinci-siem" \
      org.opencontainers.image.description="Receives PingOne DaVinci webhook events and gets every one of them into a SIEM" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 10001:10001
# A file, not variables for single keys: those would win over the file that is mounted in its place.
ENV DAVINCI_SIEM_CONFIG=/etc/davinci-siem/davinci-siem.toml
# glibc keeps freed memory for each thread otherwise (docs/performance.md, Memory).
ENV MALLOC_ARENA_MAX=2
VOLUME /var/lib/davinci-siem
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/davinci-siem", "health"]
ENTRYPOINT ["/davinci-siem"]
CMD ["serve"]
