# Dependencies are built apart from the sources: a change in src/ does not build them again.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev ca-certificates \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
# Every target that Cargo.toml names needs a stand-in here.
RUN mkdir -p src tests config benches/end_to_end \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs tests/integration.rs tests/tidy.rs \
       benches/micro.rs benches/end_to_end/main.rs \
    && cargo build --release --locked
COPY src ./src
COPY config ./config
# Newer than the stand-ins above, whatever the checkout's clock was.
RUN find src -name '*.rs' -exec touch {} + && cargo build --release --locked

# The final image is the binary, what it links to, and nothing to run a shell with.
RUN mkdir -p /image/etc/ssl/certs /image/var/lib/davinci-siem \
    && cp target/release/davinci-siem /image/davinci-siem \
    && ldd target/release/davinci-siem | awk '/=> \//{print $3} /^[[:space:]]*\//{print $1}' \
       | xargs -I{} cp -L --parents {} /image/ \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && echo 'davinci:x:10001:10001::/var/lib/davinci-siem:/nonexistent' > /image/etc/passwd \
    && echo 'davinci:x:10001:' > /image/etc/group \
    && chown -R 10001:10001 /image/var/lib/davinci-siem && chmod 700 /image/var/lib/davinci-siem

FROM scratch
COPY --from=build /image/ /
USER 10001:10001
ENV DAVINCI_SIEM__SPOOL__DIRECTORY=/var/lib/davinci-siem \
    DAVINCI_SIEM__LISTEN__ADDRESS=0.0.0.0:8080
VOLUME /var/lib/davinci-siem
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/davinci-siem", "health"]
ENTRYPOINT ["/davinci-siem"]
CMD ["serve"]
