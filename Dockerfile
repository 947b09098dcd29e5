# The service: an issuer by default; a verifier, or any other command, by argument.
#   docker run -v gatepass:/data -e GATEPASS_SECRET=... -p 4000:4000 gatepass
#   docker run -e GATEPASS_ISSUER=https://auth.example.com -p 4100:4100 gatepass verifier

FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
COPY scripts scripts
# No package needs its install script here. `npm ci` refuses the shortened package.json; `npm install`
# takes the versions of the lock file too.
RUN node scripts/keep-build-tools.ts && npm install --ignore-scripts
COPY tsconfig.json tsconfig.build.json tsconfig.page.json tsconfig.page-build.json ./
COPY src src
RUN npm run build && npm run bundle
RUN node scripts/warm-up.ts
RUN install -d -m 700 /data /data/keys

FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --omit=dev

FROM node:24-slim
LABEL org.opencontainers.image.title="Gatepass" \
      org.opencontainers.image.description="Stateless JWT authentication: an issuer that signs, any number of verifiers that check alone." \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build --chown=0:0 /app/dist dist
COPY package.json LICENSE ./
COPY --from=build --chown=1000:1000 /data /data

# The user "node", by number, because Kubernetes cannot tell whether a name is root (runAsNonRoot).
USER 1000:1000
# Relative paths start here. Gatepass writes to this folder only, so the root file system may be
# read-only.
WORKDIR /data
VOLUME /data
# NODE_OPTIONS: by default, V8 gives young objects far more memory than requests of this size use.
# MALLOC_ARENA_MAX: the threads of a process share their spare memory.
ENV NODE_OPTIONS=--max-semi-space-size=2 \
    MALLOC_ARENA_MAX=1 \
    GATEPASS_HOST=0.0.0.0

# Without the admin ports, because `docker run -P` publishes every port that is listed.
EXPOSE 4000 4100
# Asks the configured admin port, or else the default admin ports of the issuer and the verifier.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --start-interval=1s \
  CMD ["node", "-e", "const set = process.env.GATEPASS_ADMIN_PORT; Promise.any((set ? [set] : [4001, 4101]).map(async (port) => { if (!(await fetch(`http://127.0.0.1:${port}/livez`)).ok) throw port })).catch(() => process.exit(1))"]

ENTRYPOINT ["node", "/app/dist/cli/main.js"]
CMD ["issuer"]
