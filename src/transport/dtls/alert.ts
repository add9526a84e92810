/** Why a handshake ended without keys. Fatal to this association only. */
export type DtlsFailure =
  /** Not done in time. */
  | 'timeout'
  /** The peer ended it, authentically. */
  | 'closed-by-peer'
  | 'unsupported-version'
  | 'unsupported-suite'
  | 'unsupported-extension'
  | 'illegal-parameter'
  | 'no-extended-master-secret'
  | 'no-srtp-profile'
  | 'fingerprint-mismatch'
  | 'bad-certificate'
  | 'bad-key-share'
  | 'bad-signature'
  | 'no-client-authentication'
  | 'bad-finished'
  /** Authentic, but not what belongs here. */
  | 'unexpected-message';

const ALERT_LEVEL = { warning: 1, fatal: 2 } as const;
const CLOSE_NOTIFY = 0;

const HANDSHAKE_FAILURE = 40;

/** What the peer is told (RFC 5246 §7.2.2); nothing where it knows, or where telling nobody is the point. */
const DESCRIPTION: Readonly<Record<DtlsFailure, number | undefined>> = {
  timeout: undefined,
  'closed-by-peer': undefined,
  'unsupported-version': 70,
  'unsupported-suite': 47,
  'unsupported-extension': 110,
  'illegal-parameter': 47,
  'no-extended-master-secret': HANDSHAKE_FAILURE,
  'no-srtp-profile': HANDSHAKE_FAILURE,
  'fingerprint-mismatch': 42,
  'bad-certificate': 42,
  'bad-key-share': 47,
  'bad-signature': 51,
  'no-client-authentication': HANDSHAKE_FAILURE,
  'bad-finished': 51,
  'unexpected-message': 10,
};

/** The body of the alert to send on a failure, if one is due. */
export function alertFor(failure: DtlsFailure): Uint8Array | undefined {
  const description = DESCRIPTION[failure];
  return description === undefined ? undefined : Uint8Array.of(ALERT_LEVEL.fatal, description);
}

/** What a peer's authenticated alert means: the end, or nothing. `undefined` where it is no alert. */
export function decodeAlert(bytes: Uint8Array): 'end' | 'warning' | undefined {
  const [level, description] = bytes;
  if (bytes.length !== 2 || description === undefined) return undefined;
  // RFC 5246 §7.2.1: after close_notify nothing more comes, although its level is warning.
  if (level === ALERT_LEVEL.fatal || description === CLOSE_NOTIFY) return 'end';
  return level === ALERT_LEVEL.warning ? 'warning' : undefined;
}
