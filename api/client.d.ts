// Written by `npm run api:update`. It is what `import` finds.

/** What another token would help against. */
type AccessProblem = 'token-required' | 'token-refused' | 'token-expired' | 'publish-forbidden';

interface Bucket {
    readonly frames: number;
    readonly watching: Watching;
}

/** Why this page does not broadcast. */
type CameraProblem = 'camera-denied' | 'camera-missing' | 'camera-in-use' | 'camera-insecure' | 'camera-lost' | 'camera-failed';

/** What is being sent. */
interface Capture {
    readonly camera: 'none' | 'on' | 'off';
    readonly microphone: 'none' | 'on' | 'off';
    /** The screen is shown in the place of the camera. */
    readonly screen: boolean;
    /** Ids of what is in use. */
    readonly devices: Devices;
}

interface CertificateDigest {
    /** Name of the hash function as in SDP (RFC 8122 §5): `sha-256`, `sha-512`. */
    readonly algorithm: string;
    /** Lower-case hex. */
    readonly value: string;
    /** `transport`: computed from the certificate of the handshake. `sdp`: announced by the server, checked by the browser. */
    readonly source: 'transport' | 'sdp';
}

/** `same`, `changed`, or `unknown` where nothing comparable has been seen. */
type CertificateVerdict = 'same' | 'changed' | 'unknown';

/** What {@link connect} is told. */
interface ConnectOptions {
    /**
     * Where the server is; by default, where the page comes from. A page of another origin speaks to a server that has it in PUBLIC_ORIGIN, and to no
     * other.
     */
    readonly url?: string | URL;
    /** `viewer`: never takes the camera by itself, and leaves the broadcast to others until {@link Visit.broadcast} is called. */
    readonly role?: 'any' | 'viewer';
    /**
     * A reload of the page keeps its place and its role, and a microphone or camera that is off; true where nothing is said. The resume token lies in
     * `sessionStorage` for as long as no page is loaded.
     */
    readonly keepPlace?: boolean;
    /** What lets the page in, where the server asks for it. */
    readonly token?: string;
    /**
     * Two videos, one over the other, of which the one with the class `front` is to be seen: a new connection starts behind and comes to the front with
     * its first frame. Without them `onStream` gives the stream to be shown, and a change of connections may be seen.
     */
    readonly videos?: readonly [HTMLVideoElement, HTMLVideoElement];
    /** What to open when the page is to broadcast; the browser's own choice by default. */
    readonly devices?: Devices;
    /** The broadcast, or one's own camera, when there is another stream than before; one stream outlives restarts and re-keys in place. */
    readonly onStream?: (stream: MediaStream) => void;
    /** Something has changed, or may have: everything that is known now. */
    readonly onChange?: (state: VisitState) => void;
}

/** What the panel reads. */
interface ContinuityReading {
    /** Changes with everything that the panel says in words. */
    readonly version: number;
    readonly timeline: TimelineReading;
    readonly seal: SealReading;
    /** The last ones, oldest first. */
    readonly outages: readonly Outage[];
    /** Of the timeline's minute, oldest first. */
    marks(now: Millis): readonly Mark[];
    /** Since when the picture has been standing, where the last outage has brought that about. */
    standingSince(now: Millis): Millis | undefined;
    /** Epoch of the keys at that time, or `undefined` before the first ones, or where that is too long ago. */
    epochAt(at: Millis): number | undefined;
}

/** What the buttons of a demonstration do to the server. */
declare const DEMO_ACTIONS: readonly ['kill', 'deploy', 'rotate'];

/** A button of the demonstration: it kills the server, replaces it by another one, or replaces its snapshot keys. */
type DemoAction = (typeof DEMO_ACTIONS)[number];

/** What a server that demonstrates itself lets this visitor press. */
interface DemoOffer {
    /** Those that do something now. */
    readonly actions: readonly DemoAction[];
    /** What the server has said of the last one. Of a server that was killed or replaced, the next one's `instance` tells. */
    readonly outcome?: DemoOutcome & {
        readonly action: DemoAction;
    };
}

/** What has come of one. `words` are for the visitor. */
interface DemoOutcome {
    readonly done: boolean;
    readonly words: string;
}

/** Which devices, by the ids that the browser has given them; the browser's own choice where nothing is said. */
interface Devices {
    readonly camera?: string;
    readonly microphone?: string;
}

/** What the page shows: in words on its face, and as data attributes of `<main id="app">`. */
interface Facts {
    readonly role: Role | undefined;
    readonly state: PageState;
    /** Key epoch confirmed by the server. */
    readonly epoch: number | undefined;
    readonly viewers: number;
    readonly onAir: boolean;
    /** When the present broadcast began, on this page's monotonic clock (`performance.now()`); may lie before the page was opened. */
    readonly onAirSince: Millis | undefined;
    /** Restarts of the server during which this page kept its session and its picture. */
    readonly restarts: number;
    /** RTCPeerConnections ever made. */
    readonly connections: number;
    readonly certificate: CertificateVerdict;
    readonly certificateSource: CertificateDigest['source'] | undefined;
    readonly certificateSha256: string;
    /** What the browser itself has seen of the server's identity and of new keys. */
    readonly seal: SealState;
    /** Longest time without a frame (a broadcaster: without a connection) around the last restart. */
    readonly lastGapMs: number | undefined;
    readonly frames: number;
    readonly instance: string;
    readonly problem: Problem | undefined;
    /** The room shows something on this page now. */
    readonly picture: boolean;
    readonly canBroadcast: boolean;
    readonly canStop: boolean;
    /** The visitor is asked for a token. */
    readonly asksForToken: boolean;
    /** The buttons of a demonstration, where the server has offered any. */
    readonly demo: DemoOffer | undefined;
}

/** A time without a frame. */
interface Gap {
    readonly from: Millis;
    readonly to: Millis;
}

/** What a handshake of the connection in use has shown. */
interface Handshake {
    /** Epoch of the offer that it belongs to. */
    readonly epoch: number;
    readonly offeredAt: Millis;
    /** Counts those of this page. */
    readonly ordinal: number;
}

/** A moment on the timeline. */
interface Mark {
    readonly kind: 'gone' | 'back' | 'media' | 'keys';
    readonly at: Millis;
    /** Of keys. */
    readonly epoch?: number;
    /** The keys that this page has begun with. */
    readonly first?: boolean;
}

/** A point or span on the monotonic clock, in milliseconds. Never compared across processes. */
type Millis = number & {
    readonly unit?: 'monotonic-ms';
};

/** The way that packets take to the server. */
interface NetworkPath {
    /** Of the selected candidate pair. */
    readonly roundTripMs: number;
    /** The server is on this machine: a round trip says nothing. */
    readonly local: boolean;
}

/** A time without the server. */
interface Outage {
    /** Counts from 1. */
    readonly number: number;
    readonly role: Role;
    readonly lostAt: Millis;
    /** When the WebSocket was open again. */
    readonly backAt: Millis | undefined;
    /** Another run of the server took the page back, or the same one; `undefined` while neither has. */
    readonly restarted: boolean | undefined;
    /** The longest time without a frame around it; for a broadcaster, without a connection. */
    readonly gap: Gap | undefined;
    /** Some of it was not looked at, or there was nothing to see: frames tell only a part. */
    readonly unwatched: boolean;
    /** As it was last measured before. */
    readonly path: NetworkPath | undefined;
    readonly epochBefore: number | undefined;
    readonly rekey: Rekey | undefined;
}

/**
 * - `connecting`: not taken in yet, or the first connection is not up
 * - `camera`: waiting for the camera
 * - `live`: media moves
 * - `waiting`: nobody broadcasts
 * - `rekeying`: new keys are being agreed on, on the same connection
 * - `interrupted`: the media connection is down, signaling is up
 * - `reconnecting`: signaling is lost; the media may well go on
 * - `locked`: the server does not let the page in without a token, or with this one
 * - `stopped`: the page does not come back by itself
 */
type PageState = 'connecting' | 'camera' | 'live' | 'waiting' | 'rekeying' | 'interrupted' | 'reconnecting' | 'locked' | 'stopped';

/** How the picture is to be; what is not said is left to the browser, around 720p and 30 frames a second. */
interface PictureWish {
    /** Lines. */
    readonly height?: number;
    /** Frames a second. */
    readonly frameRate?: number;
}

/** What stands between the visitor and the broadcast, or did until a moment ago. */
type Problem = CameraProblem | 'broadcaster-present' | 'room-full' | 'too-many-visits' | 'shutting-down' | AccessProblem | 'rate-limited' | 'superseded' | 'left' | 'unreachable' | 'refused';

/** New keys, as this browser has seen them come. */
interface Rekey {
    /** When its offer was there. */
    readonly from: Millis;
    /** When the handshake was complete and the server had said that it has the keys. */
    readonly to: Millis;
    readonly way: RekeyWay;
    readonly epoch: number;
}

/** How new keys came: on the same connection, on a second one, or with a session that was begun anew. */
type RekeyWay = 'in-place' | 'second-connection' | 'anew';

/** What a page is in the room: one broadcasts, the others view. */
type Role = 'broadcaster' | 'viewer';

/** What is known of the server's identity and of the keys in use. */
interface SealReading {
    readonly state: SealState;
    /** The handshake behind the keys in use, or `undefined` before the first one. */
    readonly handshake: Handshake | undefined;
    readonly certificates: {
        readonly verdict: CertificateVerdict;
        readonly source: CertificateDigest['source'] | undefined;
        /** In hex, or empty. */
        readonly sha256: string;
    };
}

/**
 * What this browser has seen itself of the keys in use:
 *
 * - `not-yet`: nothing to compare: the first keys, or the server is away
 * - `keys-pending`: the server is back, and no new handshake has taken place
 * - `sealed`: same server, new keys: a handshake since, and in it the certificate of the first one
 * - `unknown`: new keys, and a certificate that this browser does not let the page compare
 * - `changed`: another certificate than at first
 */
type SealState = 'not-yet' | 'keys-pending' | 'sealed' | 'unknown' | 'changed';

/** What is to be seen on a timeline. */
interface TimelineReading {
    /** Number of the newest bucket with something in it, or `undefined` where nothing has happened yet. */
    readonly newest: number | undefined;
    readonly watching: Watching;
    /** The bucket of this number, counted from the clock's zero. `undefined` where it is over a minute old. */
    bucket(number: number): Bucket | undefined;
}

/** A visit of a broadcast, from {@link connect} to {@link Visit.close}. Nothing in it throws: what goes wrong is in its state. */
interface Visit {
    readonly state: VisitState;
    /** What restarts have cost, and what of the server's identity and of new keys this browser has seen itself. */
    readonly continuity: ContinuityReading;
    /**
     * Asks for the camera, and then for the broadcast. Does nothing where this page broadcasts.
     * @param stream what to broadcast in the place of what the camera would give; the visit ends its tracks
     */
    broadcast(stream?: MediaStream): void;
    /** Stops broadcasting, and goes on as a viewer. */
    stop(): void;
    /** Comes in with this token, or with another one than before. */
    enter(token: string): void;
    /** Presses a button of the demonstration: one of `state.demo`. */
    demonstrate(action: DemoAction): void;
    /** Sound of the videos on or off; browsers want a click before. */
    toggleSound(): void;
    /** @param volume 0 to 1 */
    setVolume(volume: number): void;
    /** Broadcasts from other devices, on the same connection. Says what kept it from that; the ones before go on then. */
    use(devices: Devices): Promise<CameraProblem | undefined>;
    /** While the microphone is off, viewers hear nothing. */
    setMicrophone(on: boolean): void;
    /** While the camera is off, viewers see black. */
    setCamera(on: boolean): void;
    /** Shows the screen in the place of the camera, or the camera again. */
    shareScreen(on: boolean): Promise<CameraProblem | undefined>;
    /** How fine the picture is that this page sends, now or later. */
    setPicture(wish: PictureWish): Promise<void>;
    /** What the browser counts of the connection in use. */
    statistics(): Promise<RTCStatsReport | undefined>;
    /** Leaves: the session is over, and the camera is off. */
    close(): void;
}

/** What is known of a visit. */
interface VisitState extends Facts {
    /** The broadcast is heard. Always false without `videos`. */
    readonly sound: boolean;
    /** 0 to 1, of the videos. */
    readonly volume: number;
    /** What this page sends, where it broadcasts. */
    readonly capture: Capture;
}

/**
 * - `picture`: frames are to be expected, and a time without any is a gap
 * - `hidden`: nobody looks at the page, and the browser presents no frames
 * - `idle`: there is nothing to show
 */
type Watching = 'picture' | 'hidden' | 'idle';

/**
 * Visits a broadcast: signaling, connections, camera. Restarts of the server, lost networks and new keys are its own affair; it comes back until the
 * server says that it is over or {@link Visit.close} is called.
 */
declare function connect(options?: ConnectOptions): Visit;

export {
  AccessProblem,
  CameraProblem,
  Capture,
  ConnectOptions,
  DemoAction,
  DemoOffer,
  DemoOutcome,
  Devices,
  Facts,
  PageState,
  PictureWish,
  Problem,
  Role,
  Visit,
  VisitState,
  connect,
};
