import type { FuzzTarget } from './fuzz.ts';
import { certificate } from './targets/certificate.ts';
import { cli } from './targets/cli.ts';
import { config } from './targets/config.ts';
import { demux } from './targets/demux.ts';
import { dtlsFinished } from './targets/dtls-finished.ts';
import { dtlsFlight } from './targets/dtls-flight.ts';
import { dtlsMessage } from './targets/dtls-messages.ts';
import { dtlsRecord } from './targets/dtls-records.ts';
import { http } from './targets/http.ts';
import { ice } from './targets/ice.ts';
import { keyText, wrappedKeys } from './targets/key-text.ts';
import { adminLine, clientMessage, serverMessage, subprotocol } from './targets/messages.ts';
import { keyFiles, runFile } from './targets/operator-files.ts';
import { resume } from './targets/resume.ts';
import { room } from './targets/room.ts';
import { rtcp } from './targets/rtcp.ts';
import { rtp } from './targets/rtp.ts';
import { sdp } from './targets/sdp.ts';
import { sealedFile, stateFiles } from './targets/sealed.ts';
import { server } from './targets/server.ts';
import { signaling } from './targets/signaling.ts';
import { identityRecord, mediaRecord } from './targets/snapshot-codec.ts';
import { srtp } from './targets/srtp.ts';
import { stun } from './targets/stun.ts';

/** What arrives over UDP. */
export const DATAGRAM_TARGETS: readonly FuzzTarget[] = [
  demux,
  stun,
  ice,
  dtlsRecord,
  dtlsMessage,
  certificate,
  dtlsFlight,
  dtlsFinished,
  rtp,
  rtcp,
  srtp,
  room,
  server,
];

/** What arrives over TCP. */
export const SIGNALING_TARGETS: readonly FuzzTarget[] = [
  sdp,
  clientMessage,
  serverMessage,
  subprotocol,
  signaling,
  http,
];

/** What lies in files, and what the operator says. */
export const OPERATOR_TARGETS: readonly FuzzTarget[] = [
  adminLine,
  config,
  cli,
  identityRecord,
  mediaRecord,
  resume,
  sealedFile,
  stateFiles,
  keyFiles,
  keyText,
  wrappedKeys,
  runFile,
];

export const TARGETS: readonly FuzzTarget[] = [
  ...DATAGRAM_TARGETS,
  ...SIGNALING_TARGETS,
  ...OPERATOR_TARGETS,
];
