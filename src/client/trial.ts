/** What is needed of an RTCPeerConnection. */
export type TrialPeer = Pick<
  RTCPeerConnection,
  | 'close'
  | 'connectionState'
  | 'createDataChannel'
  | 'iceGatheringState'
  | 'localDescription'
  | 'setLocalDescription'
  | 'setRemoteDescription'
> &
  EventTarget;

/** Loopback takes some milliseconds; a browser that does not hand over is silent for ever. */
const PATIENCE_MS = 5_000;

/**
 * Whether this browser starts a new DTLS association on a connection that it has when the fingerprint changes. It is tried on connections of the
 * page's own, over loopback, which are closed whatever comes of it:
 *
 *   1. first ◀─▶ tried: connected, the first being the DTLS client, as the server is
 *   2. other ──▶ tried: an offer with an ICE restart and the fingerprint of the other's certificate
 *   3. connected with the other one: it hands over. Nothing happens: it does not
 *
 * Anything that goes wrong says no.
 */
export async function tryRekeyInPlace(
  create: () => TrialPeer = () => new RTCPeerConnection(),
  patienceMs = PATIENCE_MS,
): Promise<boolean> {
  const peers: TrialPeer[] = [];
  const make = (): TrialPeer => {
    const peer = create();
    peers.push(peer);
    return peer;
  };
  try {
    const [first, tried, other] = [make(), make(), make()];
    const before = await connect(first, tried, patienceMs);
    if (before === undefined) return false;
    return (await connect(other, tried, patienceMs, before)) !== undefined;
  } catch {
    return false;
  } finally {
    for (const peer of peers) peer.close();
  }
}

/** Gives the offer as `to` has got it; `undefined` where the two did not connect. */
async function connect(
  from: TrialPeer,
  to: TrialPeer,
  patienceMs: number,
  before?: string,
): Promise<string | undefined> {
  from.createDataChannel('trial');
  await from.setLocalDescription();
  const offer = continuing(before, await gathered(from, patienceMs));
  await to.setRemoteDescription({ type: 'offer', sdp: offer });
  await to.setLocalDescription();
  await from.setRemoteDescription({ type: 'answer', sdp: await gathered(to, patienceMs) });
  const isUp = (): boolean => from.connectionState === 'connected';
  return (await comesAbout(from, 'connectionstatechange', isUp, patienceMs)) ? offer : undefined;
}

/** The description with its candidates. */
async function gathered(peer: TrialPeer, patienceMs: number): Promise<string> {
  const isDone = (): boolean => peer.iceGatheringState === 'complete';
  await comesAbout(peer, 'icegatheringstatechange', isDone, patienceMs);
  return peer.localDescription?.sdp ?? '';
}

/** Who offers is the DTLS client, as our server is; a later offer has to be of the same session, and newer (RFC 8829 §5.2.2). */
function continuing(before: string | undefined, sdp: string): string {
  const active = sdp.replaceAll('a=setup:actpass', 'a=setup:active');
  const origin = /^o=(\S+ \S+) (\d+) (.*)$/m.exec(before ?? '');
  if (origin === null) return active;
  return active.replace(/^o=.*$/m, `o=${origin[1]} ${Number(origin[2]) + 1} ${origin[3]}`);
}

function comesAbout(
  peer: TrialPeer,
  event: string,
  isSo: () => boolean,
  patienceMs: number,
): Promise<boolean> {
  if (isSo()) return Promise.resolve(true);
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      peer.removeEventListener(event, look);
      resolve(isSo());
    };
    const look = (): void => {
      if (isSo()) end();
    };
    const timer = setTimeout(end, patienceMs);
    peer.addEventListener(event, look);
  });
}
