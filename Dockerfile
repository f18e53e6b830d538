# flashnode and flashctl in a small image that runs as nobody in particular.
#
#   docker build -t flashnode .
#
# PROFILE is Cargo's: `--build-arg PROFILE=dev` builds faster what runs slower.

# What the dependencies follow from: the manifests, and sources that say nothing. This stage's result
# changes with them alone, so that the next stage builds dependencies once.
FROM rust:1.95-slim-bookworm AS manifests
WORKDIR /src
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -path '*/src/lib.rs' ! -path '*/src/main.rs' \
      ! -path '*/benches/*.rs' -delete \
 && find . -path '*/src/lib.rs' -exec sh -c ': > "$1"' _ {} \; \
 && find . \( -path '*/src/main.rs' -o -path '*/benches/*.rs' \) \
      -exec sh -c 'echo "fn main() { }" > "$1"' _ {} \; \
 && find . -type d -empty -delete

FROM rust:1.95-slim-bookworm AS dependencies
ARG PROFILE=release
WORKDIR /src
COPY --from=manifests /src .
RUN cargo build --profile "$PROFILE" --locked -p node -p client

FROM dependencies AS build
COPY . .
# What was built of the empty sources is newer than the true ones. Sources that dependencies have made
# for themselves, below target, stay as old as they are.
ARG PROFILE=release
RUN find . -path ./target -prune -o -name '*.rs' -exec touch {} + \
 && cargo build --profile "$PROFILE" --locked -p node -p client \
 && mkdir /out && cp target/*/flashnode target/*/flashctl /out/

FROM debian:bookworm-slim
RUN groupadd --system --gid 10001 flashnode \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /data flashnode \
 && mkdir /data && chown flashnode:flashnode /data
COPY --from=build /out/flashnode /out/flashctl /usr/local/bin/
USER flashnode
WORKDIR /data
VOLUME /data
# Buyers, and the other nodes.
EXPOSE 8100 7100
ENV FLASHNODE_HTTP=0.0.0.0:8100 FLASHNODE_DATA=/data FLASHCTL_NODES=127.0.0.1:8100
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 CMD ["flashctl", "ready"]
# SIGTERM hands leadership over and answers what is asked: no buy fails.
STOPSIGNAL SIGTERM
ENTRYPOINT ["flashnode"]
