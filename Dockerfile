# Verdict as a container image: docs/operations.md says how to run it. test/deploy/dockerfile.test.ts runs these steps.

FROM node:24-trixie-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# No package runs a script of its own while it is installed, but sqlite3, whose script was read: it downloads a prebuilt
# binary for this image's C library. Where it cannot be downloaded, use node:24-trixie here and below: it has the tools
# to compile it.
RUN npm ci --omit=dev --ignore-scripts --no-fund --no-audit
# A step of its own, since it is the one that runs a package's script.
# hadolint ignore=DL3059
RUN npm rebuild sqlite3

FROM dependencies AS build
RUN npm ci --ignore-scripts --no-fund --no-audit
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY build ./build
# /data is copied below with its owner: volumes that are mounted there take it over.
RUN npm run build:service && mkdir data

FROM node:24-trixie-slim
LABEL org.opencontainers.image.title="Verdict" \
      org.opencontainers.image.description="A policy decision point: Casbin models decide, every decision is recorded" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production \
    VERDICT_HOST=0.0.0.0 \
    VERDICT_PORT=3000 \
    VERDICT_POLICY_DIR=/policies \
    VERDICT_DATABASE_URL=sqlite:/data/verdict.sqlite \
    SQLITE_TMPDIR=/data
WORKDIR /app
COPY LICENSE NOTICE package.json ./
COPY --from=dependencies /app/node_modules ./node_modules
COPY templates ./templates
COPY schemas ./schemas
COPY third_party ./third_party
COPY --from=build /app/dist ./dist
COPY --from=build --chown=1000:1000 /app/data /data
# The user "node" of the base image, by number: Kubernetes' runAsNonRoot cannot tell who a name is.
USER 1000:1000
VOLUME ["/data"]
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["node", "dist/healthcheck.js"]
CMD ["node", "dist/main.js"]
