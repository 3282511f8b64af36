# The image holds the program and the files it needs, nothing else: no shell, no settings, no key.
# Settings come from the environment or a mounted file; docker-compose.yml is a safe example.

# Pinned by tag. For builds that repeat byte for byte, add the digest of the day: FROM rust:…@sha256:…
FROM rust:1.95.0-slim-bookworm AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /build

# Dependencies first, against empty sources: this layer lasts until Cargo.toml or Cargo.lock changes.
# The benchmarks are a member of the workspace, and only their manifest is needed here.
COPY Cargo.toml Cargo.lock ./
COPY bench/Cargo.toml bench/
RUN mkdir -p src tests/it bench/src bench/{instructions,peers,siege,storm,watchers} \
    && echo 'fn main() {}' | tee src/main.rs tests/it/main.rs bench/{instructions,peers,siege,storm,watchers}/main.rs \
    && touch src/lib.rs bench/src/lib.rs \
    && cargo build --release --locked

# Cargo goes by time stamps, and those of the copied files may be older than the empty ones'.
COPY src src
# The page that `taskgate demo` serves is built in.
COPY examples/browser examples/browser
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked

# The root of the image: the program, the C libraries it links, CA roots, and which packages those came from
# (for vulnerability scanners). The last line proves that nothing is missing.
WORKDIR /root-of-image
RUN mkdir -p etc/ssl/certs usr/local/bin var/lib/dpkg \
    && cp /build/target/release/taskgate usr/local/bin/ \
    && ldd usr/local/bin/taskgate | grep -o '/[^ ]*' | xargs cp --parents --dereference --target-directory=. \
    && cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/ \
    && cp /etc/os-release etc/ \
    && echo 'hosts: files dns' > etc/nsswitch.conf \
    && dpkg --status libc6 libgcc-s1 ca-certificates > var/lib/dpkg/status \
    && chroot . /usr/local/bin/taskgate --help

# Why scratch and glibc: about 10 MB in all. distroless/cc is 24 MB before the program is in it, and musl's
# allocator slows threads down.
FROM scratch
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="taskgate" \
      org.opencontainers.image.description="A local gateway in front of an async-task API" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /root-of-image /
# A number, so that Kubernetes' runAsNonRoot can judge it. Nothing is ever written: the root may be read-only.
USER 65532:65532
EXPOSE 8787
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/taskgate", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/taskgate"]
CMD ["serve"]
