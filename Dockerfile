# The image holds only the program and the files that it needs: no shell, no settings, no key.
# Settings come from environment variables or a mounted file; docker-compose.yml is a safe example.

# Pinned by tag. For reproducible builds, add the current digest: FROM rust:…@sha256:…
FROM rust:1.95.0-slim-bookworm AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /build

# Dependencies first, with empty sources: this layer is cached until Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
COPY bench/Cargo.toml bench/
RUN mkdir -p src tests/it bench/src bench/{instructions,peers,siege,storm,watchers} \
    && echo 'fn main() {}' | tee src/main.rs tests/it/main.rs bench/{instructions,peers,siege,storm,watchers}/main.rs \
    && touch src/lib.rs bench/src/lib.rs \
    && cargo build --release --locked

# Cargo compares time stamps, and the copied files may be older than the empty ones, hence the touch.
COPY src src
# The program includes the page that `taskgate demo` serves, and the module for pages.
COPY examples/browser examples/browser
COPY clients/js clients/js
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked

# The root of the image: the program, its C libraries, CA roots, and for vulnerability scanners the list of
# their packages. The last line proves that the program runs there.
WORKDIR /root-of-image
RUN mkdir -p etc/ssl/certs usr/local/bin var/lib/dpkg \
    && cp /build/target/release/taskgate usr/local/bin/ \
    && ldd usr/local/bin/taskgate | grep -o '/[^ ]*' | xargs cp --parents --dereference --target-directory=. \
    && cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/ \
    && cp /etc/os-release etc/ \
    && echo 'hosts: files dns' > etc/nsswitch.conf \
    && dpkg --status libc6 libgcc-s1 ca-certificates > var/lib/dpkg/status \
    && chroot . /usr/local/bin/taskgate --help

# scratch with glibc takes about 10 MB in all. distroless/cc takes 24 MB without the program, and musl's
# allocator slows threads down.
FROM scratch
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="taskgate" \
      org.opencontainers.image.description="A local gateway in front of an async-task API" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /root-of-image /
# A number, so that Kubernetes can check it for runAsNonRoot. No file is written: the root may be read-only.
USER 65532:65532
EXPOSE 8787
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/taskgate", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/taskgate"]
CMD ["serve"]
