import type { IceServer } from '../signaling/protocol.ts';
import { type CertificateDigest, fingerprintOf } from './certificate.ts';
import type { ApplyOffer } from './connections.ts';
import type { PageInput } from './io.ts';
import { pathOf } from './network-path.ts';

/** How often decoded media is looked for. A picture on the screen reports itself; this is for hidden pages and for sound only. */
const PROGRESS_INTERVAL_MS = 1_000;

interface Peer {
  readonly pc: RTCPeerConnection;
  /** What arrives; empty for a broadcaster. One stream for the whole life of the connection, through every re-key. */
  readonly stream: MediaStream;
  readonly progress: ReturnType<typeof setInterval>;
  /** Offers are answered one after the other. */
  busy: Promise<void>;
  newestOffer: number;
  decoded: number;
  watched: boolean;
  /** How often its transport has become connected. */
  associations: number;
}

/** The RTCPeerConnections. */
export class Peers {
  readonly #emit: (input: PageInput) => void;
  readonly #host: string;
  readonly #peers = new Map<number, Peer>();
  #relays: readonly IceServer[] = [];

  /** @param host where the server is */
  constructor(emit: (input: PageInput) => void, host: string) {
    this.#emit = emit;
    this.#host = host;
  }

  all(): readonly number[] {
    return [...this.#peers.keys()];
  }

  streamOf(peer: number): MediaStream | undefined {
    return this.#peers.get(peer)?.stream;
  }

  /** Where packets do not get through directly. Their credentials expire: an offer that restarts ICE comes with new ones. */
  useRelays(servers: readonly IceServer[]): void {
    this.#relays = servers;
  }

  apply(offer: ApplyOffer, camera: MediaStream | undefined): void {
    const entry = offer.create ? this.#create(offer.peer) : this.#peers.get(offer.peer);
    if (entry === undefined) return;
    entry.newestOffer = offer.offer;
    const tracks = offer.role === 'broadcaster' ? camera : undefined;
    entry.busy = entry.busy.then(() => this.#answer(entry, offer, tracks));
  }

  /** Sends these tracks from now on, wherever tracks are sent; behind an answer that is under way, which may have the ones before. */
  changeCamera(camera: MediaStream): void {
    for (const entry of this.#peers.values())
      entry.busy = entry.busy.then(() => replaceTracks(entry.pc, camera));
  }

  statistics(peer: number | undefined): Promise<RTCStatsReport | undefined> {
    const pc = peer === undefined ? undefined : this.#peers.get(peer)?.pc;
    return pc === undefined ? Promise.resolve(undefined) : pc.getStats();
  }

  close(peer: number): void {
    const entry = this.#peers.get(peer);
    if (entry === undefined) return;
    this.#peers.delete(peer);
    clearInterval(entry.progress);
    entry.pc.onconnectionstatechange = null;
    entry.pc.ontrack = null;
    entry.pc.close();
  }

  /** Reports the certificate that the server has shown in the handshake, or else the one that it announced. */
  async readCertificate(peer: number): Promise<void> {
    const entry = this.#peers.get(peer);
    if (entry === undefined) return;
    const { pc, associations } = entry;
    const digest = canReadCertificates(pc) ? await transportDigest(pc) : announcedDigest(pc);
    if (digest !== undefined) this.#emit({ kind: 'certificate', peer, associations, digest });
  }

  #create(peer: number): Peer {
    const pc = new RTCPeerConnection(this.#configuration());
    const stream = new MediaStream();
    pc.ontrack = ({ track }) => stream.addTrack(track);
    pc.onconnectionstatechange = () => this.#emit({ kind: 'peerState', peer, state: pc.connectionState });
    const progress = setInterval(() => void this.#lookForProgress(peer), PROGRESS_INTERVAL_MS);
    const entry: Peer = {
      pc,
      stream,
      progress,
      busy: Promise.resolve(),
      newestOffer: 0,
      decoded: 0,
      watched: false,
      associations: 0,
    };
    this.#peers.set(peer, entry);
    return entry;
  }

  /** The answer leaves without candidates: the server is ICE-lite and learns our address from our checks (RFC 8445 §7.3.2). */
  async #answer(entry: Peer, offer: ApplyOffer, camera: MediaStream | undefined): Promise<void> {
    const { pc } = entry;
    if (entry.newestOffer !== offer.offer) return;
    try {
      if (this.#relays.length > 0) pc.setConfiguration(this.#configuration());
      await pc.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
      if (camera !== undefined) attach(pc, camera);
      await pc.setLocalDescription();
      this.#watchTransport(entry, offer.peer);
      const sdp = pc.localDescription?.sdp ?? '';
      this.#emit({ kind: 'answered', peer: offer.peer, offer: offer.offer, epoch: offer.epoch, sdp });
    } catch {
      if (pc.signalingState !== 'closed') this.#emit({ kind: 'answerFailed', peer: offer.peer });
    }
  }

  #configuration(): RTCConfiguration {
    const iceServers = this.#relays.map(({ urls, ...credentials }) => ({ urls: [...urls], ...credentials }));
    return { iceServers, bundlePolicy: 'max-bundle' };
  }

  /** The transport may have its certificates a little later than the connection says `connected`. */
  #watchTransport(entry: Peer, peer: number): void {
    const transport = transportOf(entry.pc);
    if (transport === null || entry.watched) return;
    entry.watched = true;
    transport.addEventListener('statechange', () => {
      const connected = transport.state === 'connected';
      if (connected) entry.associations++;
      this.#emit({ kind: 'transport', peer, connected });
      if (connected) void this.readCertificate(peer);
    });
  }

  async #lookForProgress(peer: number): Promise<void> {
    const entry = this.#peers.get(peer);
    if (entry === undefined) return;
    const report = await entry.pc.getStats();
    const path = pathOf(report, this.#host);
    if (path !== undefined) this.#emit({ kind: 'path', peer, path });
    if (entry.stream.getTracks().length === 0) return;
    const decoded = countDecoded(report);
    this.#emit({ kind: 'progress', peer, moved: decoded > entry.decoded });
    entry.decoded = decoded;
  }
}

/**
 * `addTrack` takes the free transceivers that the offer has made, so the answer says `sendonly` (WebRTC §5.1). A camera that was closed
 * and opened again takes the place of its old tracks.
 */
function attach(pc: RTCPeerConnection, camera: MediaStream): void {
  replaceTracks(pc, camera);
  const sent = new Set(pc.getSenders().map(({ track }) => track?.kind));
  for (const track of camera.getTracks()) if (!sent.has(track.kind)) pc.addTrack(track, camera);
}

function replaceTracks(pc: RTCPeerConnection, camera: MediaStream): void {
  for (const sender of pc.getSenders()) {
    const track = camera.getTracks().find(({ kind }) => kind === sender.track?.kind);
    // A connection that is closed meanwhile wants none.
    if (track !== undefined && track !== sender.track) sender.replaceTrack(track).catch(() => undefined);
  }
}

type InboundStats = RTCInboundRtpStreamStats & { readonly kind: string };

/** Decoded frames where there is a picture, received packets where there is sound only. */
function countDecoded(report: RTCStatsReport): number {
  let frames = 0;
  let picture = false;
  let packets = 0;
  report.forEach((stats: RTCStats) => {
    if (stats.type !== 'inbound-rtp') return;
    const inbound = stats as InboundStats;
    if (inbound.kind === 'video' && (inbound.packetsReceived ?? 0) > 0) {
      picture = true;
      frames += inbound.framesDecoded ?? 0;
    } else if (inbound.kind === 'audio') packets += inbound.packetsReceived ?? 0;
  });
  return picture ? frames : packets;
}

type ReadableTransport = EventTarget &
  Pick<RTCDtlsTransport, 'state'> & { getRemoteCertificates?(): ArrayBuffer[] };

const transportOf = (pc: RTCPeerConnection): ReadableTransport | null =>
  pc.getReceivers()[0]?.transport ?? pc.getSenders()[0]?.transport ?? null;

/** `crypto.subtle` is kept from pages that came over plain http from another host. */
const canReadCertificates = (pc: RTCPeerConnection): boolean =>
  transportOf(pc)?.getRemoteCertificates !== undefined && globalThis.crypto?.subtle !== undefined;

async function transportDigest(pc: RTCPeerConnection): Promise<CertificateDigest | undefined> {
  const der = transportOf(pc)?.getRemoteCertificates?.()[0];
  if (der === undefined) return undefined;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', der));
  const value = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { algorithm: 'sha-256', value, source: 'transport' };
}

const announcedDigest = (pc: RTCPeerConnection): CertificateDigest | undefined =>
  pc.connectionState === 'connected' ? fingerprintOf(pc.remoteDescription?.sdp ?? '') : undefined;
