/**
 * Somebody else's small server on rekeycast's resumable transport: whoever opens the page sees the last digit of the server's clock. Kill it with
 * -9 and start it again: the picture goes on, on the same RTCPeerConnection and under new keys.
 *
 *   PORT=8080 node examples/clock/server.mjs        (also STATE_DIR, KEYS_DIR, RUNTIME_DIR ...: docs/configuration.md)
 *
 *   page                            server
 *   POST /offer {token?, epoch?} ─▶ {token, epoch, sdp}      a known token: new keys for the same connection
 *   POST /answer {token, sdp} ────▶ {}
 *   POST /wait ───────────────────▶ is answered never: when it breaks, the server is gone, and the page makes its next offer
 */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import {
  createCertificate,
  createIceCredentials,
  createLog,
  createOffer,
  digestOf,
  fingerprintOf,
  monotonicNow,
  nextEpoch,
  openSnapshots,
  Peer,
  parseAnswer,
  ResumeTokens,
  readConfig,
  Secret,
  secureRandom,
  signingKey,
  wallNow,
} from 'rekeycast';

const PAGE = readFileSync(new URL('page.html', import.meta.url));
/** A VP8 keyframe for each digit, small enough for one packet. */
const DIGITS = JSON.parse(readFileSync(new URL('digits.json', import.meta.url), 'utf8')).map((text) =>
  Buffer.from(text, 'base64'),
);
const FRAME_MS = 100;
/** How old what the next process goes on with is at most. */
const SAVE_MS = 200;
/** Packets that may be sent before a media snapshot says so again. */
const RESERVE = 50;
/** RFC 7675 §5.1: no more is sent to who has not shown for so long that they are there. */
const CONSENT_MS = 30_000;
const MAX_BODY_BYTES = 64 * 1024;

// 1. The port first: it keeps a second process from taking what this one uses.
const config = readConfig(process.env);
const log = createLog(config.logLevel);
const udp = createSocket('udp4');
await new Promise((resolve, reject) => udp.once('error', reject).bind(config.udpPort, config.host, resolve));
const ownAddress = {
  ip: config.announced.addresses[0] ?? '127.0.0.1',
  port: config.announced.port ?? udp.address().port,
};

// 2. What the process before has left.
const { identity, media, store, keepsMedia } = await openSnapshots(config, log);
const certificate = identity?.certificate ?? (await createCertificate(secureRandom, wallNow()));
const dtls = { certificate: certificate.certificate, privateKey: signingKey(certificate) };
const tokenKey = identity?.tokenKey ?? Secret.random(32, secureRandom);
const tokens = new ResumeTokens(tokenKey, secureRandom);
const sessions = new Map();
const before = (media ?? identity)?.room.streams[0];
const ssrc = before?.ssrc ?? Math.floor(Math.random() * 2 ** 32);
/** The next packet's number: never one that may have been used under the keys that are resumed. */
let index = before?.limit ?? 0;
let reserved = index;
let timer;

for (const { id, tokenHash, nextTokenHash, connection } of identity?.sessions ?? []) {
  const { epoch, offers, localUfrag: ufrag, localPwd: pwd } = connection;
  const restored = { ...connection, remoteUfrag: connection.remoteUfrag || undefined };
  const session = addSession(Buffer.from(id).toString('hex'), { ufrag, pwd }, restored);
  Object.assign(session, { epoch, offers });
  tokens.restore(session.id, {
    current: tokenHash,
    next: nextTokenHash.length > 0 ? nextTokenHash : undefined,
  });
}
for (const { session, send, receive, epoch } of media?.peers ?? []) {
  const { peer } = sessions.get(Buffer.from(session).toString('hex')) ?? {};
  peer?.resume({ epoch, send, receive }, media.room.streams, monotonicNow() + config.staleKeyTtl);
}

// 3. Media goes on, before any page has noticed.
udp.on('message', (datagram, { address: ip, port }) =>
  run((now) => {
    const bytes = new Uint8Array(datagram.buffer, datagram.byteOffset, datagram.length);
    // Each takes what is its own. With many viewers, keep maps: by `peer.ufrags`, and by the addresses of `validated`.
    for (const { peer } of sessions.values()) peer.handleDatagram(bytes, { ip, port }, now);
  }),
);
setInterval(() => run(sendFrame), FRAME_MS);
setInterval(saveMedia, SAVE_MS);
run(sendFrame);
log.info({ event: 'started', sessions: sessions.size, contexts: media?.peers.length ?? 0 });

// 4. Signaling.
createServer((request, response) => {
  answer(request).then(
    (body) => body !== undefined && response.end(body),
    (error) => response.writeHead(400).end(String(error.message)),
  );
}).listen(config.port, config.host);

async function answer(request) {
  if (request.method === 'GET') return request.url === '/readyz' ? 'ready' : PAGE;
  if (request.url === '/wait') return undefined;
  const body = await readJson(request);
  const known = sessions.get(tokens.redeem(String(body.token)));
  if (request.url === '/answer') return acceptAnswer(known, parseAnswer(String(body.sdp)));
  return offer(known ?? addSession(randomId(), createIceCredentials(secureRandom)), Number(body.epoch ?? -1));
}

/** A restart, and an offer after the first, change the credentials and the fingerprint's digest: the browser starts a new DTLS association. */
async function offer(session, applied) {
  const { id, peer, offers } = session;
  const ice = offers === 0 ? peer.iceCredentials : createIceCredentials(secureRandom);
  session.epoch = nextEpoch(session.epoch, applied);
  session.offers++;
  session.seenAt = monotonicNow();
  run((now) => peer.offer(session.epoch, ice, false, now));
  const sdp = createOffer({
    role: 'viewer',
    connection: 1,
    offer: session.offers,
    ice,
    fingerprint: fingerprintOf(certificate.certificate, digestOf(session.epoch)),
    candidates: [ownAddress],
    videoCodecs: ['VP8'],
    cname: 'clock',
    streams: [{ kind: 'video', ssrc, rtxSsrc: 0 }],
  });
  const token = tokens.issue(id);
  // What a page is promised is on disk before.
  await saveIdentity();
  return JSON.stringify({ token, epoch: session.epoch, resumed: offers > 0, sdp });
}

async function acceptAnswer(session, parsed) {
  if (session === undefined || parsed === undefined)
    throw new Error('unknown token, or no answer to this offer');
  run((now) => session.peer.acceptAnswer(parsed, now));
  await saveIdentity();
  return '{}';
}

function addSession(id, ice, restored) {
  const options = {
    identity: dtls,
    rng: secureRandom,
    srtpProfiles: config.srtpProfiles,
    ice,
    reserve: saveMedia,
  };
  const session = { id, peer: new Peer(options, restored), epoch: -1, offers: 0, seenAt: monotonicNow() };
  sessions.set(id, session);
  return session;
}

function sendFrame(now) {
  if (index >= reserved) saveMedia();
  const frame = DIGITS[Math.floor(wallNow() / 1000) % 10];
  const packet = Buffer.alloc(13 + frame.length);
  // RFC 3550 §5.1: version 2; marker and payload type 96, VP8 in the offer; number, timestamp at 90 kHz, source.
  packet.writeUInt16BE(0x80e0, 0);
  packet.writeUInt16BE(index % 2 ** 16, 2);
  packet.writeUInt32BE((wallNow() * 90) % 2 ** 32, 4);
  packet.writeUInt32BE(ssrc, 8);
  // RFC 7741 §4.2: the start of a frame.
  packet[12] = 0x10;
  packet.set(frame, 13);
  for (const { id, peer, seenAt } of sessions.values()) {
    const silent = now - Math.max(seenAt, peer.heardAt ?? 0);
    const to = silent < CONSENT_MS ? peer.remoteAddress : undefined;
    const datagram = to && peer.sendContext?.protectRtp(packet, index);
    if (datagram !== undefined) udp.send(datagram, to.port, to.ip);
    if (silent > config.sessionTtl) removeSession(id);
  }
  index++;
}

function removeSession(id) {
  sessions.get(id).peer.close();
  sessions.delete(id);
  tokens.remove(id);
}

/** One mutation, then everything that follows from it. */
function run(mutate) {
  const now = monotonicNow();
  mutate(now);
  let next = Number.POSITIVE_INFINITY;
  for (const { peer } of sessions.values()) {
    if (peer.nextTimeout() <= now) peer.handleTimeout(now);
    for (let output = peer.pollOutput(); output !== undefined; output = peer.pollOutput()) perform(output);
    next = Math.min(next, peer.nextTimeout() ?? next);
  }
  clearTimeout(timer);
  if (next < Number.POSITIVE_INFINITY) timer = setTimeout(run, next - now, () => {});
}

function perform(output) {
  if (output.kind === 'transmit') udp.send(output.datagram, output.to.port, output.to.ip);
  if (output.kind === 'keyed') saveMedia();
  if (output.kind === 'selected') saveIdentity();
  if (output.kind === 'keyed' || output.kind === 'stale-keys-destroyed')
    log.info({ event: output.kind, ...output });
}

/** Nothing is sent, and nothing accepted, that the next process would not know to be used: it writes before, and grants what is written. */
function saveMedia() {
  reserved = keepsMedia ? index + RESERVE : Number.POSITIVE_INFINITY;
  if (!keepsMedia) return;
  const peers = [...sessions.values()].flatMap(({ id, peer }) => {
    const { remoteAddress } = peer;
    // Keys of the process before are resumed once.
    const contexts = peer.isStale || remoteAddress === undefined ? undefined : peer.captureContexts();
    return contexts ? [{ session: Buffer.from(id, 'hex'), connection: 1, remoteAddress, ...contexts }] : [];
  });
  const writtenAt = wallNow();
  store.writeMedia({ writtenAt, notAfter: writtenAt + config.mediaTtl, room: roomOf(reserved), peers });
  for (const record of peers) sessions.get(record.session.toString('hex')).peer.granted(record);
}

async function saveIdentity() {
  const records = [...sessions.values()].flatMap(({ id, peer, epoch, offers }) => {
    const remote = peer.captureIdentity();
    if (remote === undefined) return [];
    const { current, next } = tokens.capture(id);
    const { ufrag: localUfrag, pwd: localPwd } = peer.iceCredentials;
    const remoteUfrag = remote.remoteUfrag ?? '';
    return {
      id: Buffer.from(id, 'hex'),
      tokenHash: current,
      nextTokenHash: next ?? new Uint8Array(0),
      role: 'viewer',
      capabilities: { rekeyInPlace: true },
      lastSeenAt: wallNow(),
      connection: { number: 1, offers, epoch, localUfrag, localPwd, ...remote, remoteUfrag },
    };
  });
  await store.writeIdentity({ certificate, tokenKey, room: roomOf(index), sessions: records });
}

function roomOf(limit) {
  const stream = {
    kind: 'video',
    ssrc,
    rtxSsrc: 0,
    limit,
    timestamp: 0,
    timestampAt: wallNow(),
    source: undefined,
  };
  return { producer: '', streams: [stream] };
}

function randomId() {
  const id = Buffer.alloc(8);
  secureRandom.fill(id);
  return id.toString('hex');
}

async function readJson(request) {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk;
    if (text.length > MAX_BODY_BYTES) throw new Error('too long');
  }
  return JSON.parse(text);
}
