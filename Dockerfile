# glibc, because the Temporal SDK's core is built for it; the current LTS of Node.
ARG NODE_IMAGE=node:24.11.1-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
RUN npm run build && rm -rf dist/test dist/demo dist/bench && npm prune --omit=dev

# rclone for Google Drive and Mega: built from its Go module, whose content the checksum database of Go vouches for.
FROM golang:1.26-bookworm AS rclone
RUN CGO_ENABLED=0 GOBIN=/out go install -trimpath -ldflags '-s -w -X github.com/rclone/rclone/fs.Version=v1.75.1' github.com/rclone/rclone@v1.75.1

FROM ${NODE_IMAGE}
# A dump is made by the client of the server's own major version, so every supported one is here: PostgreSQL's own repository has them all.
ADD --chmod=644 https://www.postgresql.org/media/keys/ACCC4CF8.asc /usr/share/keyrings/postgresql.asc
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates \
  && echo 'deb [signed-by=/usr/share/keyrings/postgresql.asc] https://apt.postgresql.org/pub/repos/apt bookworm-pgdg main' \
    > /etc/apt/sources.list.d/postgresql.list \
  && apt-get update \
  && apt-get install -y --no-install-recommends \
    postgresql-client-12 postgresql-client-13 postgresql-client-14 postgresql-client-15 \
    postgresql-client-16 postgresql-client-17 postgresql-client-18 \
    zstd age tar util-linux tini tzdata \
  && rm -rf /var/lib/apt/lists/*
# The folders of the volumes: a new volume takes over their owner.
RUN useradd --system --uid 10001 --home-dir /var/lib/cofre --shell /usr/sbin/nologin cofre \
  && install -d -o cofre -g cofre -m 700 /var/lib/cofre /var/lib/cofre/spool /backups
COPY --from=rclone /out/rclone /usr/local/bin/rclone
WORKDIR /app
COPY --from=build /build/package.json /build/LICENSE ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist dist
ENV NODE_ENV=production COFRE_CONFIG=/etc/cofre/cofre.yaml
USER cofre
# tini ends the children of a killed tool; exec form, so that SIGTERM reaches node and the worker shuts down in order.
ENTRYPOINT ["tini", "--", "node", "--enable-source-maps", "/app/dist/cli/cofre.js"]
CMD ["worker"]
