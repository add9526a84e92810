import {
  DEMO_ACTIONS,
  type IceServer,
  type ServerMessage,
  type SignalingErrorCode,
} from '../signaling/protocol.ts';

type Fields = Record<string, unknown>;

/** A message of the server, or `undefined` for anything else. */
export function parseServerMessage(text: string): ServerMessage | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const fields = value as Fields;
  return SHAPES.get(fields.type)?.(fields) ? (fields as unknown as ServerMessage) : undefined;
}

const isText = (value: unknown): boolean => typeof value === 'string';
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isCountOrAbsent = (value: unknown): boolean => value === undefined || isCount(value);
const isFlag = (value: unknown): boolean => typeof value === 'boolean';
const isRole = (value: unknown): boolean => value === 'broadcaster' || value === 'viewer';
const isKind = (value: unknown): boolean => value === 'first' || value === 'rekey' || value === 'replacement';
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.length > 0 && value.every(isText);
const isServers = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every(
    (server: Partial<IceServer> | null) =>
      isTexts(server?.urls) && isText(server?.username) && isText(server?.credential),
  );
const isAction = (value: unknown): boolean => DEMO_ACTIONS.some((action) => action === value);
const isActions = (value: unknown): boolean => Array.isArray(value) && value.every(isAction);
const isErrorCode = (value: unknown): boolean => ERROR_CODES.has(value as SignalingErrorCode);

const ERROR_CODES: ReadonlySet<SignalingErrorCode> = new Set([
  'TOKEN_UNKNOWN',
  'SUPERSEDED',
  'BROADCASTER_PRESENT',
  'MESSAGE_INVALID',
  'MESSAGE_TOO_LARGE',
  'SDP_INVALID',
  'RATE_LIMITED',
  'ROOM_FULL',
  'ACCESS_REQUIRED',
  'ACCESS_REFUSED',
  'ACCESS_EXPIRED',
  'PUBLISH_FORBIDDEN',
  'TOO_MANY_VISITS',
  'SHUTTING_DOWN',
  'UNREACHABLE',
] satisfies SignalingErrorCode[]);

type Shape<Type extends ServerMessage['type']> = {
  readonly [Field in Exclude<keyof Extract<ServerMessage, { type: Type }>, 'type'>]: (
    value: unknown,
  ) => boolean;
};

const SHAPE_OF: { readonly [Type in ServerMessage['type']]: Shape<Type> } = {
  welcome: { session: isText, token: isText, resumed: isFlag, instance: isText, role: isRole },
  role: { role: isRole },
  offer: { connection: isCount, offer: isCount, epoch: isCount, kind: isKind, role: isRole, sdp: isText },
  relays: { servers: isServers },
  keyed: { connection: isCount, epoch: isCount },
  close: { connection: isCount },
  room: { viewers: isCount, onAir: isFlag, onAirSeconds: isCountOrAbsent },
  demo: { actions: isActions },
  'demo-outcome': { action: isAction, done: isFlag, words: isText },
  pong: {},
  error: { code: isErrorCode, message: isText },
};

const SHAPES = new Map<unknown, (fields: Fields) => boolean>(
  Object.entries(SHAPE_OF).map(([type, shape]) => [
    type,
    (fields: Fields) => Object.entries(shape).every(([name, accepts]) => accepts(fields[name])),
  ]),
);
