// Written by `npm run api:update`. It is what `import` finds.
import type { KeyObject } from 'node:crypto';
import type { inspect } from 'node:util';

/** A transport address: where a datagram comes from or goes to. `ip` is as node:dgram prints it. */
interface Address {
    readonly ip: string;
    readonly port: number;
}

/** What somebody may do here. Who publishes may view as well. */
interface Admission {
    readonly right: Right;
    /** After that nothing new may be begun with it: neither a visit nor a broadcast. What has begun goes on. */
    readonly until: WallMillis | undefined;
    /** It came with PUBLISH_TOKEN itself. */
    readonly byPublishToken?: boolean;
}

/** What an answer says of the other side. */
interface Answer {
    readonly ice: IceCredentials;
    readonly fingerprints: readonly Fingerprint[];
    /** Whether the peer took the video, the audio. */
    readonly video: boolean;
    readonly audio: boolean;
}

/**
 * The server as an engine: one mutation (`handle…`, `openPage`, `closePage`, `rekeyAll`), then drain {@link pollOutput} until `undefined`; call
 * {@link handleTimeout} when {@link nextTimeout} has passed. Nothing from the network or from a page makes it throw: it is dropped and counted.
 *
 * A restart hands in what the store had (`restored`), whose secrets it takes over.
 */
declare class Broadcast {
    #private;
    readonly drops: Counters<BroadcastDropReason>;
    constructor(options: BroadcastOptions, now: Millis, restored?: {
        identity: IdentitySnapshot;
        media: MediaSnapshot | undefined;
    });
    handleDatagram(datagram: Uint8Array, from: Address, now: Millis): void;
    /** A page has opened its WebSocket; with a token that holds it gets its session back and its new offer in the same turn. */
    openPage(opened: OpenedPage, token: string | undefined, position: PagePosition | undefined, now: Millis): void;
    handleMessage(page: PageId, message: ClientMessage, now: Millis): void;
    /** A page's WebSocket is gone; its media goes on. */
    closePage(page: PageId, now: Millis): void;
    /** Whether every page that is there has keys of its own since then, and no others. */
    isRekeyedSince(time: Millis): boolean;
    /** Media snapshots hold no keys of before from now on: who has no others resumes by re-key alone. */
    writeOnlySince(time: Millis): void;
    /** Takes nobody new from now on; who has a session keeps it, and may come back to it. */
    refuseNew(): void;
    /** What every handshake shows that begins from now on. */
    get certificate(): CertificateRecord;
    /** Takes another certificate, which has to be on file by now, and moves everybody to it, unnoticed. The former one's key is wiped. */
    replaceCertificate(certificate: CertificateRecord, identity: DtlsIdentity, now: Millis): void;
    /** New keys for everybody, unnoticed (an operator's order). */
    rekeyAll(now: Millis, reason?: 'order' | 'certificate'): void;
    handleTimeout(now: Millis): void;
    /** May be early, and is never late. */
    nextTimeout(): Millis | undefined;
    pollOutput(): BroadcastOutput | undefined;
    captureIdentity(): IdentitySnapshot;
    /** The wall clock was set, or stood still while the machine slept: deadlines in snapshots go by it. */
    adjustWall(wallOffset: number): void;
    /** Keeps the media snapshot ahead of what is used, and its deadline ahead of the time. */
    refreshMedia(now: Millis): void;
    /** The SRTP contexts with proposed index limits: binding once {@link granted}. */
    captureMedia(): MediaSnapshot;
    /** This snapshot has been written: indices up to its limits may be used. */
    granted(snapshot: MediaSnapshot): void;
    /** Counts of everything dropped so far, by engine and reason. */
    get dropCounts(): Counters<string>;
    /** Ends every session and wipes every key. */
    close(): void;
}

type BroadcastDropReason = 'unanswerable' | 'unknown kind' | 'unknown peer' | 'media queue full';

/** What happened, for a log: `event` names it, and nothing in it is secret. */
type BroadcastEvent = SessionEvent | {
    readonly event: 'session-opened' | 'session-resumed' | 'session-closed';
    readonly session: string;
    readonly role: Role;
} | {
    readonly event: 'token-refused';
} | {
    readonly event: 'certificate-replaced';
    readonly sha256: string;
    readonly before: string;
} | {
    readonly event: 'protect-failed';
    readonly connection: string;
    readonly reason: string;
} | {
    readonly event: 'first-media-forwarded';
};

/** What a {@link Broadcast} is made with. Times are spans in milliseconds. */
interface BroadcastOptions {
    readonly certificate: CertificateRecord;
    readonly identity: DtlsIdentity;
    readonly tokenKey: Secret;
    /** Names this run of the server to the pages. */
    readonly instance: string;
    readonly rng: RandomSource;
    readonly candidates: readonly Address[];
    readonly videoCodecs: readonly VideoCodec[];
    readonly srtpProfiles: readonly SrtpProfile[];
    readonly staleKeyTtl: Millis;
    readonly sessionTtl: Millis;
    readonly rekeyInterval: Millis | undefined;
    /** Relays that a page of this session is told with each offer. */
    readonly relaysFor?: ((session: string, wall: WallMillis) => readonly IceServer[]) | undefined;
    /** Wall-clock time minus monotonic time, as of now. */
    readonly wallOffset: number;
    /** More visitors than one process can feed are told that the room is full; as many as it can feed where it is absent. */
    readonly maxSessions?: number;
    /** As many of one owner (see `ownerOf`), however many there may be. */
    readonly maxSessionsPerOwner?: number | undefined;
    /** How long the contexts in a media snapshot may be resumed. */
    readonly mediaTtl: Millis;
    /**
     * Writes a media snapshot before it returns, or gives `false` when there is none on file any more. Absent in strict mode: no context
     * is ever written, and no index is limited.
     */
    readonly persistMedia?: (snapshot: MediaSnapshot) => boolean;
}

/** What a {@link Broadcast} wants done: datagrams sent, pages told, the identity written. */
type BroadcastOutput = {
    readonly kind: 'transmit';
    readonly to: Address;
    readonly datagram: Uint8Array;
}
/** `afterWrite`: only once the identity snapshot holds what the message promises. */
 | {
    readonly kind: 'message';
    readonly page: PageId;
    readonly message: ServerMessage;
    readonly afterWrite: boolean;
} | {
    readonly kind: 'disconnect';
    readonly page: PageId;
    readonly code: number;
    readonly reason: string;
}
/** The identity snapshot is out of date. */
 | {
    readonly kind: 'identity-changed';
} | {
    readonly kind: 'event';
    readonly event: BroadcastEvent;
};

/** What the page's browser can do, found by the page. */
interface Capabilities {
    /** A changed fingerprint and an ICE restart start a new DTLS association on the same RTCPeerConnection. */
    readonly rekeyInPlace: boolean;
}

/** The DTLS identity of the server. */
interface CertificateRecord {
    /** X.509, DER. */
    readonly certificate: Uint8Array;
    /** PKCS #8, DER. */
    readonly privateKey: Secret;
    readonly createdAt: WallMillis;
}

/** What a page says, as JSON. */
type ClientMessage = {
    readonly type: 'join';
    readonly capabilities: Capabilities;
}
/** Holds the token of the last `welcome`: the one before it is void from now on. */
 | {
    readonly type: 'confirm';
}
/** The answer to offer number `offer` of `connection`. */
 | {
    readonly type: 'answer';
    readonly connection: number;
    readonly offer: number;
    readonly sdp: string;
}
/** The connection shows frames evenly (viewer), or is connected (broadcaster; there the server waits for the first frame). */
 | {
    readonly type: 'playing';
    readonly connection: number;
}
/** Nothing arrives or leaves on this connection though it should: asks for a replacement. */
 | {
    readonly type: 'stalled';
    readonly connection: number;
}
/** Wants to broadcast. */
 | {
    readonly type: 'publish';
}
/** Cannot or does not want to broadcast (camera denied, stopped): stays as a viewer. */
 | {
    readonly type: 'decline';
    readonly reason: string;
}
/** The browser can do more, or less, than the page has said when it joined: it was tried meanwhile. */
 | {
    readonly type: 'capabilities';
    readonly capabilities: Capabilities;
}
/** Is anybody there? Asked where the media says that something is wrong, or the machine has slept. */
 | {
    readonly type: 'ping';
}
/** The page is going, and may be back in a moment, without its connections: it cannot tell a reload from a close. */
 | {
    readonly type: 'away';
} | {
    readonly type: 'leave';
};

/** Everything the server is told, read once. */
interface Config {
    readonly host: string;
    readonly port: number;
    readonly udpPort: number;
    readonly stateDir: string;
    readonly keysDir: string;
    readonly keyFile: string | undefined;
    /** Program and arguments. */
    readonly keyCommand: readonly string[] | undefined;
    readonly keyTimeout: Millis;
    readonly passphraseFile: string | undefined;
    readonly runtimeDir: string | undefined;
    /** `auto`: SRTP contexts are kept in memory-backed storage where there is any. `strict`: they are written nowhere. */
    readonly resume: 'auto' | 'strict';
    /** How long resumed keys are used at most. */
    readonly staleKeyTtl: Millis;
    /** How long a written media snapshot may be resumed. */
    readonly mediaTtl: Millis;
    /** How long a session is kept without its page. */
    readonly sessionTtl: Millis;
    readonly rekeyInterval: Millis | undefined;
    /** Age at which the server's certificate is replaced. */
    readonly certMaxAge: Millis;
    /** What a server does before it hands over: nothing, or new keys for everybody. */
    readonly handoff: 'current' | 'fresh';
    /** How long a server that drains waits for those whom it has. */
    readonly shutdownMaxWait: Millis;
    /** Origins, beside this machine's own names and addresses, under which browsers reach the page. */
    readonly publicOrigins: readonly string[];
    readonly announced: {
        readonly addresses: readonly string[];
        readonly port: number | undefined;
    };
    /** At a time; `undefined`: an address may have as many as there are. */
    readonly limits: {
        readonly sessions: number;
        readonly sessionsPerAddress: number | undefined;
        readonly connections: number;
        readonly connectionsPerAddress: number | undefined;
    };
    /** Who may come in; everybody where nothing of it is set. */
    readonly access: {
        readonly publishToken: SecretSource | undefined;
        readonly viewToken: SecretSource | undefined;
        readonly publicKeyFile: string | undefined;
        readonly audience: string;
        readonly issuer: string | undefined;
    };
    /** Where monitoring asks; nowhere unless told. */
    readonly admin: {
        readonly host: string;
        readonly port: number;
    } | undefined;
    /** Files of the page's certificate and its key; HTTP without TLS where they are absent. */
    readonly tls: {
        readonly cert: string;
        readonly key: string;
    } | undefined;
    /** Networks of proxies that may say for whom they ask. */
    readonly trustedProxies: readonly string[];
    readonly turn: {
        readonly urls: readonly string[];
        readonly secret: SecretSource;
        readonly ttl: Millis;
    } | undefined;
    readonly videoCodecs: readonly VideoCodec[];
    readonly srtpProfiles: readonly SrtpProfile[];
    /** The page has buttons that kill, deploy and rotate, for who may press them. */
    readonly demoControls: boolean;
    /** Threads that viewers are spread over; with 0 there is the one that does everything. */
    readonly workers: number;
    /** How media leaves: the fastest way that works, or this one or a slower. */
    readonly sendPath: 'auto' | 'gso' | 'sendmmsg' | 'dgram';
    readonly logLevel: string;
}

/** The connection in use of a session: enough to answer STUN and to offer new keys. */
interface ConnectionRecord {
    readonly number: number;
    /** Count of offers made for it: SDP session version and message number. */
    readonly offers: number;
    readonly epoch: number;
    readonly localUfrag: string;
    readonly localPwd: string;
    /** Empty while an ICE restart has not been answered. */
    readonly remoteUfrag: string;
    readonly remoteFingerprint: Fingerprint;
    readonly remoteAddress: Address | undefined;
}

/**
 * Counts by reason: every datagram that is dropped is counted under one of the literal reasons of the engine
 * that dropped it.
 */
declare class Counters<Reason extends string> {
    #private;
    add(reason: Reason, count?: number): void;
    get(reason: Reason): number;
    /** Adds the counts of another. */
    absorb(other: Counters<Reason>): void;
    get total(): number;
    toJSON(): Record<string, number>;
}

/** What the buttons of a demonstration do to the server. */
declare const DEMO_ACTIONS: readonly ['kill', 'deploy', 'rotate'];

/** A button of the demonstration: it kills the server, replaces it by another one, or replaces its snapshot keys. */
type DemoAction = (typeof DEMO_ACTIONS)[number];

/** What has come of one. `words` are for the visitor. */
interface DemoOutcome {
    readonly done: boolean;
    readonly words: string;
}

/** By what the buttons of a demonstration work: somebody outside of this process, who starts the next one. */
interface DemoWorks {
    /** Resolves with what has come of it; after a deploy that went well, nobody is left to hear it. */
    ask(action: Exclude<DemoAction, 'kill'>): Promise<DemoOutcome>;
    /** Ends this process, as `kill -9` does. */
    die(): Promise<void>;
}

/** Why a server has had enough: the last visitor has left, or some have stayed for too long. */
type DrainEnd = 'drained' | 'drain-timeout';

/** Why a handshake ended without keys. Fatal to this association only. */
type DtlsFailure = 
/** Not done in time. */
'timeout'
/** The peer ended it, authentically. */
 | 'closed-by-peer' | 'unsupported-version' | 'unsupported-suite' | 'unsupported-extension' | 'illegal-parameter' | 'no-extended-master-secret' | 'no-srtp-profile' | 'fingerprint-mismatch' | 'bad-certificate' | 'bad-key-share' | 'bad-signature' | 'no-client-authentication' | 'bad-finished'
/** Authentic, but not what belongs here. */
 | 'unexpected-message';

/** What the server shows in handshakes, and proves to have. */
interface DtlsIdentity {
    /** X.509, DER. */
    readonly certificate: Uint8Array;
    /** EC P-256. */
    readonly privateKey: KeyObject;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * What can go wrong in words a script can match. Hostile network input is never one of these: it is dropped
 * and counted.
 */
type ErrorCode = 'CONFIG_INVALID' | 'PORT_IN_USE' | 'ADDRESS_UNAVAILABLE' | 'KEY_MODE_TOO_OPEN' | 'KEY_MISSING' | 'KEY_INVALID' | 'KEY_SOURCE_FAILED' | 'KEY_SOURCE_READ_ONLY' | 'STATE_UNWRITABLE' | 'STATE_IN_USE' | 'SEALED_FILE_INVALID' | 'SERVER_UNRESPONSIVE' | 'HANDOVER_REFUSED' | 'SECRET_DISPOSED' | 'NONCE_REUSE';

/** A certificate fingerprint as SDP carries it (RFC 8122 §5): a digest over the DER of the certificate. */
interface Fingerprint {
    readonly algorithm: 'sha-256' | 'sha-384' | 'sha-512';
    readonly digest: Uint8Array;
}

/** What the next connection of a session counts on from. */
interface FormerConnection {
    readonly number: number;
    readonly epoch: number;
    /** Its page has gone, and may be back in a moment: it is being loaded again. */
    readonly away: boolean;
}

/** Of one side, for the checks that it receives. */
interface IceCredentials {
    readonly ufrag: string;
    /** At least 128 random bits. */
    readonly pwd: string;
}

/** As `RTCIceServer` has it. */
interface IceServer {
    readonly urls: readonly string[];
    readonly username: string;
    readonly credential: string;
}

/** What has to survive on disk: who the server is and who its visitors are. Nothing in it decrypts media. Its secrets belong to who holds it. */
interface IdentitySnapshot {
    readonly certificate: CertificateRecord;
    /** Key of the token hashes, 32 bytes. */
    readonly tokenKey: Secret;
    /** The streams' numbering as of this write; `media.sealed` has the newer one. */
    readonly room: RoomState;
    readonly sessions: readonly SessionRecord[];
}

interface InheritedSocket {
    readonly fd: number;
    readonly family: 'IPv4' | 'IPv6';
}

interface InheritedSockets {
    readonly udp?: InheritedSocket;
    readonly tcp?: InheritedSocket;
    /** Sockets were there and are not used: why, in words for the operator. */
    readonly ignored?: string;
}

/**
 * A snapshot key on disk is two files: `<id>.json`, which says what it is and may be read by anybody who may list the directory, and
 * `<id>.secret`, the 32 raw bytes of its X25519 secret key. Raw, so that no parser makes a string of them, which could
 * not be wiped. The id is the first 8 bytes of the SHA-256 of the public key, in hex.
 *
 * All changes are a new file renamed over the old one, so that a key is before or after a change and never between.
 */
interface KeyEntry {
    readonly id: string;
    readonly publicKey: Uint8Array;
    /** `destroyed` is a tombstone: the secret is gone, the dates stay. */
    readonly state: 'enabled' | 'disabled' | 'destroyed';
    /**
     * 0: never was primary. Otherwise the count of promotions when it was promoted: the enabled key with the highest one is
     * primary. So a promotion is one write, and there is no moment with two primary keys or none.
     */
    readonly promotion: number;
    /** `undefined` where others keep the keys, and nobody tells. */
    readonly createdAt: string | undefined;
    readonly destroyedAt: string | undefined;
}

/** Where snapshot keys come from. A keyring does not know which it is. */
interface KeySource {
    /** For people: a directory, a file, a command. */
    readonly place: string;
    /** Through which keys are changed; `undefined` where others keep them, and this program only reads. */
    readonly store: KeyStore | undefined;
    /** How keys are replaced there, in words, where others keep them. */
    readonly rotation: string;
    /** Fetches what has to be fetched. Throws `KEY_SOURCE_FAILED` or `KEY_INVALID`, and what was fetched before is still good then. */
    load(): Promise<void>;
    /** A number that changes with the keys; `undefined` where it cannot be told. */
    changedAt(): number | undefined;
    entries(): readonly KeyEntry[];
    hasSecret(id: string): boolean;
    /** For the caller to dispose; `undefined` where there is none. */
    readSecret(id: string): Secret | undefined;
    /** What became of a secret that is not there, in words that follow the key's name. */
    whyNoSecret(id: string): string;
    /** Wipes the secrets that it holds. They come back with {@link load}. */
    forget(): void;
}

/** What keys are changed by. Each step leaves a key as before or as after it. */
interface KeyStore {
    prepare(): void;
    foreignOwner(uid: number | undefined): number | undefined;
    writeEntry(entry: KeyEntry): Promise<void>;
    writeSecret(id: string, secret: Secret): Promise<void>;
    destroySecret(id: string): Promise<void>;
    removeLeftovers(now: number): void;
}

/** Where events are told: one call for each, its data first, words for people second. Any logger of pino's kind is one. */
interface Logger {
    debug(event: object, words?: string): void;
    info(event: object, words?: string): void;
    warn(event: object, words?: string): void;
    error(event: object, words?: string): void;
}

/** The two media of a room. */
type MediaKind = 'audio' | 'video';

/** What lets media go on in the first instant: for RAM only, sealed, and to be taken once. Its secrets belong to who holds it. */
interface MediaSnapshot {
    readonly writtenAt: WallMillis;
    /** Past this time the contexts are deleted unread. */
    readonly notAfter: WallMillis;
    readonly room: RoomState;
    readonly peers: readonly PeerMediaRecord[];
}

/** A point or span on the monotonic clock, in milliseconds. Never compared across processes. */
type Millis = number & {
    readonly unit?: 'monotonic-ms';
};

/**
 * `first`: the first connection of this page. `rekey`: new keys for the same connection, in place. `replacement`: a new connection
 * beside the one in use, which is closed when the page says `playing`.
 */
type OfferKind = 'first' | 'rekey' | 'replacement';

/** What an offer says of one connection. */
interface OfferOptions {
    readonly role: Role;
    /** Number of the connection: the SDP session id. */
    readonly connection: number;
    /** Number of the offer: the SDP session version (RFC 8866 §5.2), higher with each offer. */
    readonly offer: number;
    readonly ice: IceCredentials;
    /** The server's certificate under the digest of this epoch. */
    readonly fingerprint: Fingerprint;
    readonly candidates: readonly Address[];
    readonly videoCodecs: readonly VideoCodec[];
    /** The room's CNAME and streams, announced to viewers: the same as in its sender reports (RFC 5576 §6.1). */
    readonly cname: string;
    readonly streams: readonly Pick<RoomStreamState, 'kind' | 'ssrc' | 'rtxSsrc'>[];
}

/** A page whose connection for signaling has just come about. */
interface OpenedPage {
    readonly id: PageId;
    /** Whose it is: places that run out are shared out by owner. */
    readonly owner: string;
    /** Everything and for ever, where it is absent. */
    readonly admission?: Admission;
}

/** A WebSocket of a page. */
type PageId = number;

/** Where a page that comes back stands, as it says itself: what it says may cost it its media, and nobody else anything. */
interface PagePosition {
    readonly connection: number;
    readonly epoch: number;
    readonly settled: boolean;
}

/**
 * One connection to one browser. One mutation, then drain {@link pollOutput} until `undefined`; call {@link handleTimeout} when {@link nextTimeout}
 * has passed. A hostile datagram is dropped and counted, never thrown.
 *
 * What has to survive is {@link captureIdentity} and {@link captureContexts}; another process hands the first to the constructor and the second to
 * {@link resume}.
 */
declare class Peer {
    #private;
    readonly drops: Counters<PeerDropReason>;
    constructor(options: PeerOptions, restored?: PeerIdentity);
    get iceCredentials(): IceCredentials;
    /** Local ufrags under which checks for this peer may come. */
    get ufrags(): readonly string[];
    get remoteAddress(): Address | undefined;
    /** When the address that media goes to has last shown that the peer is there. */
    get heardAt(): Millis | undefined;
    /** The epoch of the keys in use; `undefined` while there are none. */
    get keyEpoch(): number | undefined;
    /** Its keys are an earlier process's. */
    get isStale(): boolean;
    /** Protects what is sent; `undefined` while there are no keys. */
    get sendContext(): SrtpSendContext | undefined;
    isValidated(address: Address): boolean;
    isProbing(transaction: string): boolean;
    /** Counts of everything dropped, also by handshakes and contexts that have ended: `<engine>: <reason>`. */
    get dropCounts(): Counters<string>;
    /**
     * Takes contexts of an earlier process. They are stale: they end at a re-key or at `deadline`. Nothing is sent below `floors`, the room's
     * limits in the same snapshot.
     */
    resume(contexts: PeerContexts, floors: readonly SendFloor[], deadline: Millis): void;
    /**
     * An offer with these credentials leaves now: new keys are wanted under `epoch`. With `early` the ClientHello leaves with it, where address
     * and fingerprint are known: the browser takes it as soon as it has applied the offer. Else it waits for the answer.
     */
    offer(epoch: number, ice: IceCredentials, early: boolean, now: Millis): void;
    /** The answer to the last offer: the browser has given up the old keys. */
    acceptAnswer(answer: RemoteParameters, now: Millis): void;
    handleDatagram(datagram: Uint8Array, from: Address, now: Millis): void;
    /** Protects and sends a compound RTCP packet; dropped where there are no keys or no address. */
    sendRtcp(packet: Uint8Array): void;
    handleTimeout(now: Millis): void;
    nextTimeout(): Millis | undefined;
    pollOutput(): PeerOutput | undefined;
    /** Identity for the snapshot; `undefined` before the first answer. */
    captureIdentity(): PeerIdentity | undefined;
    /** The contexts in use with fresh limits; `undefined` while there are none. */
    captureContexts(): PeerContexts | undefined;
    /** The captured contexts are written: indices up to their limits may be used. */
    granted(contexts: PeerContexts): void;
    /** Ends everything and wipes all keys. */
    close(): void;
}

/** The SRTP contexts of a peer as plain data. */
interface PeerContexts {
    readonly epoch: number;
    readonly send: SrtpSendState;
    readonly receive: SrtpReceiveState;
}

type PeerDropReason = 'unknown kind' | 'address not validated' | 'no handshake' | 'no keys';

/** What survives of a peer apart from its SRTP contexts. */
interface PeerIdentity {
    /** `undefined` while an ICE restart has not been answered. */
    readonly remoteUfrag: string | undefined;
    readonly remoteFingerprint: Fingerprint;
    readonly remoteAddress: Address | undefined;
}

/** The SRTP contexts of one connection. */
interface PeerMediaRecord {
    readonly session: Uint8Array;
    readonly connection: number;
    readonly epoch: number;
    readonly remoteAddress: Address;
    readonly send: SrtpSendState;
    readonly receive: SrtpReceiveState;
}

/** What a {@link Peer} is made with. */
interface PeerOptions {
    /** Asked for at each offer, and shown in the handshake of that one: by then there may be another. */
    readonly identity: DtlsIdentity;
    readonly rng: RandomSource;
    readonly srtpProfiles: readonly SrtpProfile[];
    readonly ice: IceCredentials;
    /** Called when a context needs higher index limits: writes a snapshot before it returns (ARCHITECTURE, "never the same nonce twice"). */
    readonly reserve: () => void;
    /** The next {@link Peer.captureContexts} may give others than the last, or another address is to be kept with them. Called again and again until it is asked. */
    readonly contextsChanged?: () => void;
}

/** What a {@link Peer} wants done, and what has come of it. */
type PeerOutput = {
    readonly kind: 'transmit';
    readonly to: Address;
    readonly datagram: Uint8Array;
}
/** A STUN response with this transaction id, as hex, is for this peer. */
 | {
    readonly kind: 'probing';
    readonly transaction: string;
}
/** Datagrams from this address belong to this peer: said of each proof that it is there, since another may have been before. */
 | {
    readonly kind: 'validated';
    readonly address: Address;
}
/** Media goes to this address from now on. */
 | {
    readonly kind: 'selected';
    readonly address: Address;
} | {
    readonly kind: 'rtp';
    readonly packet: Uint8Array;
} | {
    readonly kind: 'rtcp';
    readonly packet: Uint8Array;
}
/** The keys before `epoch` have been wiped. */
 | {
    readonly kind: 'stale-keys-destroyed';
    readonly by: StaleKeysEnd;
}
/** Fresh keys are in use, for sending at once: the peer's certificate and signature have been verified. */
 | {
    readonly kind: 'keyed';
    readonly epoch: number;
}
/** The handshake is complete: the peer's Finished has been verified and the DTLS secrets are wiped. */
 | {
    readonly kind: 'connected';
    readonly epoch: number;
} | {
    readonly kind: 'failed';
    readonly reason: DtlsFailure;
};

/** Where random bytes come from. Engines take one; outside tests it is always {@link secureRandom}. */
interface RandomSource {
    fill(target: Uint8Array): void;
}

/** Why new keys are wanted. */
type RekeyReason = 'resume' | 'interval' | 'order' | 'certificate' | 'stalled' | 'missed-deadline';

/**
 * Everything that this program throws on purpose. `code` is for programs and stays; the message is for people: what was asked, why not, what to
 * do. `cause` is kept.
 */
declare class RekeycastError extends Error {
    readonly code: ErrorCode;
    constructor(code: ErrorCode, message: string, options?: {
        cause?: unknown;
    });
}

/** What an answer says of the browser (see `parseAnswer`). */
interface RemoteParameters {
    readonly ice: IceCredentials;
    readonly fingerprints: readonly Fingerprint[];
}

/**
 * Resume tokens. The page holds the token; the server keeps a keyed hash, so that what lies on disk resumes nothing.
 *
 * A token is used once: a resume hands out the next one, and both are good until the page confirms that it has it.
 */
declare class ResumeTokens {
    #private;
    constructor(key: Secret, rng: RandomSource);
    /** The session a token resumes; `undefined` where it is unknown, void or malformed. Using the newest token confirms it. */
    redeem(token: string): string | undefined;
    /** A new token for a session; the one before it stays good until {@link confirm}. */
    issue(session: string): string;
    /** The page holds the newest token: the one before it is void. */
    confirm(session: string): void;
    restore(session: string, hashes: TokenHashes): void;
    capture(session: string): TokenHashes | undefined;
    remove(session: string): void;
}

type Right = 'publish' | 'view';

/** What a page is in the room: one broadcasts, the others view. */
type Role = 'broadcaster' | 'viewer';

/** How the broadcaster's numbering maps to the room's. */
interface RoomSourceState {
    readonly ssrc: number;
    /** Highest extended sequence number seen from the source. */
    readonly highest: number;
    /** room index = extended sequence number + indexOffset. */
    readonly indexOffset: number;
    /** room timestamp = (source timestamp + timestampOffset) mod 2^32. */
    readonly timestampOffset: number;
}

/** What a room needs to go on as the same streams in another process. Plain data. */
interface RoomState {
    /** Connection id of the broadcaster (`<session in hex>/<number>`), or empty. */
    readonly producer: string;
    readonly streams: readonly RoomStreamState[];
}

interface RoomStreamState {
    readonly kind: MediaKind;
    readonly ssrc: number;
    /** 0 where the stream has no retransmission stream. */
    readonly rtxSsrc: number;
    /** No room index at or above this one has been sent. */
    readonly limit: number;
    /** Timestamp of the newest packet sent, and the wall-clock time it was sent at (ms), for a successor's timestamps. */
    readonly timestamp: number;
    readonly timestampAt: number;
    /** The current source; `undefined` before the first packet. */
    readonly source: RoomSourceState | undefined;
}

/** A server that serves. */
interface RunningServer {
    readonly port: number;
    readonly udpPort: number;
    /** A drain is over: it is to be shut down. Stays pending otherwise. */
    readonly drained: Promise<DrainEnd>;
    /** Another server has taken over: this one is shut down. Stays pending otherwise. */
    readonly handedOver: Promise<void>;
    /** Is not ready any more, writes both snapshots a last time, tells the pages and closes. */
    shutdown(): Promise<void>;
}

/**
 * Secret bytes. Printed or serialized it shows its length only; `dispose()` zeroes it.
 *
 * The bytes lie in an off-heap slab and not in an array of their own: V8 keeps small typed arrays on its
 * heap, where the collector copies them about and leaves the copies behind.
 */
declare class Secret {
    #private;
    readonly length: number;
    private constructor();
    /** A secret of zeroes, to be filled through {@link bytes}. */
    static alloc(length: number): Secret;
    /** Moves bytes in: they are copied and the source is zeroed. */
    static take(source: Uint8Array): Secret;
    /** Copies bytes in; the source stays as it is (a view of another secret). */
    static copy(source: Uint8Array): Secret;
    static random(length: number, rng: RandomSource): Secret;
    /** A live view, not a copy: valid until `dispose()`. Throws `SECRET_DISPOSED` afterwards. */
    get bytes(): Uint8Array;
    get disposed(): boolean;
    /** Zeroes the bytes and gives their place back. Calling it again does nothing. */
    dispose(): void;
    toString(): string;
    toJSON(): never;
    [inspect.custom](): string;
}

/** A secret, or where it is read from when the server starts: commands that need none do not have to be able to. */
type SecretSource = {
    readonly name: string;
    readonly value: Secret;
} | {
    readonly name: string;
    readonly file: string;
};

/** The lowest room index that may still be sent for an SSRC. */
interface SendFloor {
    readonly ssrc: number;
    readonly limit: number;
}

/** What the server says, as JSON. */
type ServerMessage = 
/** `token` is for the next resume (the one used is void as soon as the page has spoken again); `instance` names this run of the server. */
{
    readonly type: 'welcome';
    readonly session: string;
    readonly token: string;
    readonly resumed: boolean;
    readonly instance: string;
    readonly role: Role;
} | {
    readonly type: 'role';
    readonly role: Role;
} | {
    readonly type: 'offer';
    readonly connection: number;
    readonly offer: number;
    readonly epoch: number;
    readonly kind: OfferKind;
    readonly role: Role;
    readonly sdp: string;
}
/** Relays for the offer that follows: good for its checks, and not for ever. */
 | {
    readonly type: 'relays';
    readonly servers: readonly IceServer[];
}
/** The server holds the keys of `epoch` and no older ones. */
 | {
    readonly type: 'keyed';
    readonly connection: number;
    readonly epoch: number;
}
/** The page closes this RTCPeerConnection. */
 | {
    readonly type: 'close';
    readonly connection: number;
}
/**
 * `onAirSeconds`: whole seconds since the present broadcast began, through restarts of the server; 0 when nobody broadcasts. A server of
 * an earlier version does not say it.
 */
 | {
    readonly type: 'room';
    readonly viewers: number;
    readonly onAir: boolean;
    readonly onAirSeconds?: number;
}
/** Behind `welcome`, to who may press: the buttons that do something now. None while one of them is under way. */
 | {
    readonly type: 'demo';
    readonly actions: readonly DemoAction[];
}
/** To the same. A server that was killed or replaced says nothing: the next one says `welcome`. */
 | ({
    readonly type: 'demo-outcome';
    readonly action: DemoAction;
} & DemoOutcome)
/** The answer to `ping`. */
 | {
    readonly type: 'pong';
} | {
    readonly type: 'error';
    readonly code: SignalingErrorCode;
    readonly message: string;
};

type SessionEvent = {
    readonly event: 'rekey-started';
    readonly connection: string;
    readonly epoch: number;
    readonly reason: RekeyReason;
    readonly way: string;
} | {
    readonly event: 'stale-keys-destroyed';
    readonly connection: string;
    readonly by: StaleKeysEnd;
    /** Since the offer of the new keys left; absent where no offer had. */
    readonly sinceOfferMs: Millis | undefined;
} | {
    readonly event: 'keyed';
    readonly connection: string;
    readonly epoch: number;
    readonly sinceOfferMs: Millis | undefined;
} | {
    readonly event: 'handshake-failed';
    readonly connection: string;
    readonly reason: string;
} | {
    readonly event: 'consent-lost';
    readonly connection: string;
};

/** One visitor, as it lies on durable disk: identity, and nothing that decrypts media. */
interface SessionRecord {
    /** 8 random bytes; shown as hex. */
    readonly id: Uint8Array;
    /** HMAC-SHA-256 of the resume token under the token key. */
    readonly tokenHash: Uint8Array;
    /** The token handed out last, not yet confirmed by the page; empty where there is none. */
    readonly nextTokenHash: Uint8Array;
    readonly role: Role;
    readonly capabilities: Capabilities;
    readonly lastSeenAt: WallMillis;
    readonly connection: ConnectionRecord | undefined;
    /** Where there is no connection, but was one. */
    readonly former: FormerConnection | undefined;
    /** When it began to broadcast, where it does. */
    readonly onAirSince: WallMillis | undefined;
}

type SignalingErrorCode = 
/** The resume token is unknown, expired or was used before: join anew. */
'TOKEN_UNKNOWN'
/** The session was opened from another connection. */
 | 'SUPERSEDED'
/** Somebody else broadcasts. */
 | 'BROADCASTER_PRESENT'
/** A token is needed to come in (`ACCESS_REQUIRED`), and this one is none (`ACCESS_REFUSED`) or none any more (`ACCESS_EXPIRED`). */
 | 'ACCESS_REQUIRED' | 'ACCESS_REFUSED' | 'ACCESS_EXPIRED'
/** Publishing takes another token than the one that this page came with, or one that has not expired. */
 | 'PUBLISH_FORBIDDEN' | 'MESSAGE_INVALID' | 'MESSAGE_TOO_LARGE' | 'SDP_INVALID' | 'RATE_LIMITED' | 'ROOM_FULL'
/** The address of this visitor has as many sessions as one may have. */
 | 'TOO_MANY_VISITS'
/** The server is about to end: it keeps whom it has, and takes nobody new. */
 | 'SHUTTING_DOWN'
/** No media connection came about, however often it was tried: the session is over. */
 | 'UNREACHABLE';

/**
 * Where snapshots are kept. Nothing in it is of files, so that records may as well lie in a shared store.
 *
 * `loadSodium` must have been awaited before.
 */
interface SnapshotStore {
    /** Contexts can be kept: there is memory-backed storage. Where not, a resume is by re-key alone. */
    readonly keepsMedia: boolean;
    /**
     * The newest identity that can be read: what is damaged is put aside and filled from the generation before; what is not ours, or was put
     * back, is put aside and not used. `undefined` where there is none (the first run). The caller owns the secrets in it.
     *
     * Throws `KEY_MISSING` or `KEY_INVALID` where it cannot be opened and `SEALED_FILE_INVALID` where a newer version wrote it;
     * nothing has been changed then.
     */
    readIdentity(): Promise<IdentitySnapshot | undefined>;
    /**
     * Encodes and seals before it returns; the promise is kept when it is durable. One write waits for the other. Rejects with
     * `STATE_UNWRITABLE`, and then the former file is still good.
     */
    writeIdentity(snapshot: IdentitySnapshot): Promise<void>;
    /**
     * Takes the media snapshot away: nobody gets it a second time, whatever happens, and only the one that was written last is given. Past its deadline the contexts are deleted unread and only the
     * numbering of the room is given. Never rejects.
     */
    takeMedia(): Promise<MediaSnapshot | undefined>;
    /** When it returns, the next process finds this one. Throws `STATE_UNWRITABLE`. Does nothing where media is not kept. */
    writeMedia(snapshot: MediaSnapshot): void;
    /** Removes the media snapshot unread. */
    dropMedia(): void;
    /**
     * Another process has the place from here on: nothing is put there any more, also of a write that is under way and comes through late. What is
     * written after it rejects or throws.
     */
    close?(): void;
    /** Writes both generations of the identity, and the media, to the key that is primary now. */
    reseal(identity: IdentitySnapshot, media: MediaSnapshot | undefined): Promise<void>;
}

/** What the process before has left, and where this one writes. For the one who called {@link openSnapshots}. */
interface Snapshots {
    /** `undefined` on the first run. */
    readonly identity: IdentitySnapshot | undefined;
    /** The SRTP contexts, taken from the store: nobody gets them again. `undefined` where there are none, or none that may be used. */
    readonly media: MediaSnapshot | undefined;
    readonly store: SnapshotStore;
    /** SRTP contexts may be written: without RAM-backed storage, and with `RESUME=strict`, they go nowhere. */
    readonly keepsMedia: boolean;
    /** Lets another process have the directories, when what is to be audited is on the disk. What is written later is refused. */
    close(): Promise<void>;
}

/** A master key and master salt for one direction (RFC 3711 §3.2.1). The holder disposes both. */
interface SrtpMasterKey {
    readonly key: Secret;
    readonly salt: Secret;
}

/** How a context has its limits kept ahead of their use. */
interface SrtpPersistence {
    /** An index is wanted at or above its limit: is expected to capture, write and call `granted` before it returns. */
    readonly reserve?: () => void;
    /** The next capture is another than the last. May be called again and again until there is one. */
    readonly changed?: () => void;
}

/** DTLS-SRTP protection profiles (RFC 5764 §4.1.2, RFC 7714 §14.2), by their registered names. */
type SrtpProfile = 'AES_CM_128_HMAC_SHA1_80' | 'AEAD_AES_128_GCM' | 'AEAD_AES_256_GCM';

/** What a receive context needs to go on: floors below which nothing is accepted any more. */
interface SrtpReceiveState {
    readonly profile: SrtpProfile;
    readonly master: SrtpMasterKey;
    /** For each SSRC the lowest acceptable 48-bit index: nothing at or above it has been accepted. */
    readonly streams: readonly {
        readonly ssrc: number;
        readonly limit: number;
    }[];
    /** For each SSRC the lowest acceptable SRTCP index. */
    readonly srtcp: readonly {
        readonly ssrc: number;
        readonly limit: number;
    }[];
}

/**
 * Protects what is sent to one peer, each (SSRC, index) and each SRTCP index at most once.
 *
 * 1. `protectRtp` takes the room's 48-bit index. The SRTP index is that less the stream's base, because a receiver starts with a rollover
 *    counter of zero. The room keeps its indices below the written limits (`RoomState`).
 * 2. `protectRtcp` numbers by itself. At the limit of the last written snapshot it calls `reserve`, which is expected to capture, write and call
 *    `granted` before it returns; the packet is dropped where that did not help.
 * 3. `capture` proposes the limits of the next snapshot; `granted` makes them valid. Writes must not overtake each other: the newest
 *    file must hold the newest capture. A context that is never captured (no persistence) has no limits.
 */
declare class SrtpSendContext {
    #private;
    readonly drops: Counters<SrtpSendDropReason>;
    private constructor();
    /** Takes ownership of the master key. */
    static create(profile: SrtpProfile, master: SrtpMasterKey, persistence?: SrtpPersistence): SrtpSendContext;
    /**
     * Goes on from a snapshot, which must not be there to be read a second time. Takes ownership of the master key.
     *
     * A stream that the snapshot does not know is refused: its predecessor may have fixed another base since. So is one that `floors`, the room's limits
     * in the snapshot, do not hold: how far its indices were used, nobody knows (retransmissions: they begin again with the next keys).
     */
    static restore(state: SrtpSendState, persistence?: SrtpPersistence, floors?: readonly {
        readonly ssrc: number;
        readonly limit: number;
    }[]): SrtpSendContext;
    /**
     * Protects `packet`, a whole RTP packet, whose 48-bit room index is `index`. `undefined` (and counted) where that index cannot be sent under
     * these keys. Throws `NONCE_REUSE` where (SSRC, index) was protected before, or so long ago that nobody knows, and
     * `RangeError` where `packet` is no RTP packet or not the one of this index.
     */
    protectRtp(packet: Uint8Array, index: number): Uint8Array | undefined;
    /**
     * Protects a compound RTCP packet; `undefined` (and counted) where no index is left. Throws `RangeError` where `packet` is shorter than the head
     * of one.
     */
    protectRtcp(packet: Uint8Array): Uint8Array | undefined;
    /** What a successor needs, with proposed limits: they count as soon as they are {@link granted}. The keys are shared, not copied. */
    capture(srtcpReserve?: number): SrtpSendState;
    /** The captured state has been written. */
    granted(state: SrtpSendState): void;
    /** Wipes the keys. Using the context afterwards throws `SECRET_DISPOSED`. */
    dispose(): void;
}

/** Why a packet cannot be sent under these keys. */
type SrtpSendDropReason = 'belowBase' | 'belowFloor' | 'unknownStream' | 'aboveLimit' | 'exhausted';

/**
 * What a send context needs to go on in another process. Keys are shared with the live context (not copies): encode, then leave them.
 */
interface SrtpSendState {
    readonly profile: SrtpProfile;
    readonly master: SrtpMasterKey;
    /** For each SSRC the room index that has SRTP index zero: a multiple of 2^16. */
    readonly streams: readonly {
        readonly ssrc: number;
        readonly base: number;
    }[];
    /** No SRTCP index at or above this one has been used. */
    readonly srtcpLimit: number;
}

/** What ended a set of stale keys. */
type StaleKeysEnd = 'answer' | 'flight' | 'deadline' | 'closed';

/** What the configuration cannot hold. */
interface StartOptions extends StorageOptions {
    /** Bound sockets that this process was given, in the place of ports of its own. */
    readonly inherited?: InheritedSockets;
    /** Lets a server that runs on these directories go on until this one has loaded what it needs. When this resolves, it has let go of all it has. */
    readonly takeOver?: () => Promise<void>;
    /** Works the buttons of a demonstration; there are none where it is absent. */
    readonly demo?: DemoWorks;
    /** Ends the start, which throws its reason, unless a snapshot has been taken already: then the server starts, and can be shut down. */
    readonly stop?: AbortSignal;
}

/** What an embedder keeps elsewhere than in files. */
interface StorageOptions {
    /** In the place of the sealed files in STATE_DIR and RUNTIME_DIR. What it is given holds secrets: it seals what it keeps. */
    readonly store?: SnapshotStore;
    /** In the place of KEYS_DIR and the other sources that the configuration names. */
    readonly keySource?: KeySource;
}

/** HMAC-SHA-256 of the tokens of one session, for the snapshot. */
interface TokenHashes {
    readonly current: Uint8Array;
    /** Handed out and not yet confirmed. */
    readonly next: Uint8Array | undefined;
}

/** Video codecs a room carries, in the order they are offered. */
type VideoCodec = 'VP8' | 'H264';

/** Wall-clock time, in milliseconds since 1970. The only time that is written to a file. */
type WallMillis = number & {
    readonly unit?: 'wall-ms';
};

/**
 * Makes the self-signed certificate that is the server's identity: ECDSA on P-256, as RFC 8827 §6.5 requires every endpoint to support.
 * Its libraries are loaded only here: a server has one for years.
 */
declare function createCertificate(rng: RandomSource, now: WallMillis): Promise<CertificateRecord>;

/** Fresh credentials from 48 and 144 random bits (RFC 8445 §5.3 asks for at least 24 and 128). */
declare function createIceCredentials(rng: RandomSource): IceCredentials;

/**
 * JSON lines on standard output, one for each event that matters and is at least of this level (`trace`, `debug`, `info`, `warn`, `error`,
 * `fatal`, `silent`). Written before the call returns, so that the last line before a crash is there.
 */
declare function createLog(level: string): Logger;

/**
 * The one place where an offer is made: always ours, always `setup:active` (the server is the DTLS client), audio then video in one
 * BUNDLE, all candidates in it (the server is ICE-lite).
 */
declare function createOffer(options: OfferOptions): string;

/** The digest an epoch is offered with. */
declare const digestOf: (epoch: number) => 'sha-256' | 'sha-512';

/**
 * Snapshot keys from wherever a program has them. `fetch` gives what SNAPSHOT_KEY_FILE would hold (docs/snapshot-keys.md): the 32
 * bytes of a key, or a key a line, primary first, in hex or base64; it is wiped when it has been read. `place` names it in messages, for people.
 *
 * What `fetch` throws reaches whoever starts the server; keys that are none are `KEY_INVALID`.
 */
declare const fetchedKeys: (place: string, fetch: () => Promise<Secret>) => KeySource;

/** The fingerprint of a certificate (X.509, DER) under this digest. */
declare function fingerprintOf(certificate: Uint8Array, algorithm: Fingerprint['algorithm']): Fingerprint;

/** The time of this process: what every `now` is. */
declare const monotonicNow: () => Millis;

/**
 * The epoch of the next offer for a connection: higher than any before, and of the other parity than what the browser has applied,
 * since a browser starts a new DTLS association only when the fingerprint's digest changes.
 */
declare function nextEpoch(offered: number, applied: number): number;

/**
 * Boots the storage of a server that stands on {@link Peer}: keys, lock, what was left. It goes by `stateDir`, `keysDir`, `runtimeDir`, `resume` and the
 * key settings of `config` and by nothing else of it. Afterwards the snapshot key is out of memory: what is written cannot be read back.
 *
 * Bind the UDP port before: it keeps a second process from taking the contexts of one that still uses them. Throws `KEY_*`, `STATE_IN_USE`,
 * `STATE_UNWRITABLE` or `SEALED_FILE_INVALID`; nothing has been lost then.
 */
declare function openSnapshots(config: Config, log: Logger, options?: StorageOptions): Promise<Snapshots>;

/** Parses an answer to our offer. `undefined` where it is malformed or not an answer that this server can go on with. */
declare function parseAnswer(sdp: string): Answer | undefined;

/** Reads the environment. Throws `CONFIG_INVALID` naming the variable, what it is and what it takes. An empty variable counts as unset. */
declare function readConfig(env: Environment): Config;

/** The system's random bytes. */
declare const secureRandom: RandomSource;

/** The key as the handshake signs with it. */
declare const signingKey: (record: CertificateRecord) => KeyObject;

/** Throws `PORT_IN_USE`, `KEY_*`, `STATE_IN_USE`, `STATE_UNWRITABLE` or `SEALED_FILE_INVALID`; nothing has been lost then. */
declare function startServer(config: Config, log: Logger, options?: StartOptions): Promise<RunningServer>;

/** The time of the day: what is written to files. */
declare const wallNow: () => WallMillis;

export {
  Address,
  Answer,
  Broadcast,
  BroadcastEvent,
  BroadcastOptions,
  BroadcastOutput,
  CertificateRecord,
  ClientMessage,
  Config,
  ConnectionRecord,
  DtlsFailure,
  DtlsIdentity,
  ErrorCode,
  Fingerprint,
  IceCredentials,
  IdentitySnapshot,
  KeyEntry,
  KeySource,
  KeyStore,
  Logger,
  MediaSnapshot,
  Millis,
  OfferOptions,
  OpenedPage,
  PagePosition,
  Peer,
  PeerContexts,
  PeerIdentity,
  PeerMediaRecord,
  PeerOptions,
  PeerOutput,
  RandomSource,
  RekeycastError,
  RemoteParameters,
  ResumeTokens,
  Role,
  RunningServer,
  Secret,
  SendFloor,
  ServerMessage,
  SessionRecord,
  SnapshotStore,
  Snapshots,
  SrtpProfile,
  StartOptions,
  StorageOptions,
  TokenHashes,
  VideoCodec,
  WallMillis,
  createCertificate,
  createIceCredentials,
  createLog,
  createOffer,
  digestOf,
  fetchedKeys,
  fingerprintOf,
  monotonicNow,
  nextEpoch,
  openSnapshots,
  parseAnswer,
  readConfig,
  secureRandom,
  signingKey,
  startServer,
  wallNow,
};
