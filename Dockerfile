# syntax=docker/dockerfile:1
# The image of rekeycast: what `npm pack` ships, on Node, as a user of its own. See docs/operations.md for how to run it.

FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY src src
COPY public public
COPY deploy deploy
COPY docs docs
COPY api api
COPY examples examples
COPY bench bench
COPY tsconfig.json SECURITY.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md LICENSE README.md ./
RUN node src/build/bundle.mjs
# Only what the package holds goes on: the archive is unpacked where the image will have it. It asks no registry: its dependencies are in it.
RUN npm pack --ignore-scripts --pack-destination /tmp \
 && mkdir /opt/rekeycast \
 && tar -xzf /tmp/rekeycast-*.tgz -C /opt/rekeycast --strip-components=1
# What has media leave many datagrams at a time, where npm has it for this machine. The package does not hold it.
RUN for part in koffi @koromix; do if [ -d node_modules/$part ]; then cp -r node_modules/$part /opt/rekeycast/node_modules/; fi; done

FROM node:24-bookworm-slim
ENV NODE_ENV=production \
    STATE_DIR=/var/lib/rekeycast/state \
    KEYS_DIR=/var/lib/rekeycast/keys \
    RUNTIME_DIR=/run/rekeycast/media
COPY --from=build /opt/rekeycast /opt/rekeycast
# Node's image has a user without rights: 1000. Volumes take over whom these folders belong to.
RUN mkdir -p /var/lib/rekeycast/state /var/lib/rekeycast/keys /run/rekeycast \
 && chmod 700 /var/lib/rekeycast/state /var/lib/rekeycast/keys \
 && chown -R node:node /var/lib/rekeycast /run/rekeycast \
 && ln -s /opt/rekeycast/dist/rekeycast.js /usr/local/bin/rekeycast \
 && rekeycast compile
WORKDIR /var/lib/rekeycast
USER 1000:1000
# Opens nothing; with WORKERS there are UDP ports behind this one, to be published with it.
EXPOSE 8080/tcp 8080/udp
# It handles both signals itself and leaves no child behind: no init is needed in front of it.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
  CMD ["rekeycast", "health"]
ENTRYPOINT ["rekeycast"]
CMD ["serve"]
