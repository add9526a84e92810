// Written by `npm run api:update`. It is what `import` finds.

/** What another token would help against. */
type AccessProblem = 'token-required' | 'token-refused' | 'token-expired' | 'publish-forbidden';

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
     * A reload of the page keeps its place and its role; true where nothing is said. The resume token lies in `sessionStorage` for as long as no
     * page is loaded.
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
}

/** A point or span on the monotonic clock, in milliseconds. Never compared across processes. */
type Millis = number & {
    readonly unit?: 'monotonic-ms';
};

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

/** What a page is in the room: one broadcasts, the others view. */
type Role = 'broadcaster' | 'viewer';

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

/** A visit of a broadcast, from {@link connect} to {@link Visit.close}. Nothing in it throws: what goes wrong is in its state. */
interface Visit {
    readonly state: VisitState;
    /**
     * Asks for the camera, and then for the broadcast. Does nothing where this page broadcasts.
     * @param stream what to broadcast in the place of what the camera would give; the visit ends its tracks
     */
    broadcast(stream?: MediaStream): void;
    /** Stops broadcasting, and goes on as a viewer. */
    stop(): void;
    /** Comes in with this token, or with another one than before. */
    enter(token: string): void;
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
 * Visits a broadcast: signaling, connections, camera. Restarts of the server, lost networks and new keys are its own affair; it comes back until the
 * server says that it is over or {@link Visit.close} is called.
 */
declare function connect(options?: ConnectOptions): Visit;

export {
  AccessProblem,
  CameraProblem,
  Capture,
  ConnectOptions,
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
