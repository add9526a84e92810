import { decodeAlert } from '../../../src/transport/dtls/alert.ts';
import { decodeCertificate, encodeCertificate } from '../../../src/transport/dtls/messages/certificate.ts';
import { decodeCertificateRequest } from '../../../src/transport/dtls/messages/certificate-request.ts';
import { decodeHelloVerifyRequest } from '../../../src/transport/dtls/messages/hello-verify-request.ts';
import { decodeServerHello, decodeUseSrtp } from '../../../src/transport/dtls/messages/server-hello.ts';
import { decodeServerKeyExchange } from '../../../src/transport/dtls/messages/server-key-exchange.ts';
import { concat } from '../../../src/util/bytes.ts';
import {
  encodeCertificateRequest,
  encodeEcdhParams,
  encodeHelloVerifyRequest,
  encodeServerHello,
  encodeServerKeyExchange,
  encodeUseSrtp,
} from '../../support/dtls-messages.ts';
import type { FuzzTarget } from '../fuzz.ts';

/** Decodes a body and encodes it again; what the decoder has no use for is not compared. */
interface Codec {
  readonly name: string;
  readonly seed: Uint8Array;
  /** The encoding of what was decoded and, where it is to be the same, what it is compared with; `undefined`: refused. */
  readonly again: (body: Uint8Array) => readonly [encoded: Uint8Array, original: Uint8Array] | undefined;
}

const EXTENSIONS = [
  [14, encodeUseSrtp([1])],
  [23, new Uint8Array(0)],
  [0xff01, Uint8Array.of(0)],
] as const;

const CODECS: readonly Codec[] = [
  {
    name: 'server hello',
    seed: encodeServerHello({
      version: 0xfefd,
      random: new Uint8Array(32).fill(7),
      sessionId: new Uint8Array(32).fill(8),
      suite: 0xc02b,
      compression: 0,
      extensions: EXTENSIONS,
    }),
    again: (body) => {
      const hello = decodeServerHello(body);
      if (hello === undefined) return undefined;
      const extensions = [...hello.extensions];
      // The session id is not kept.
      const again = decodeServerHello(encodeServerHello({ ...hello, extensions }));
      return [
        encodeServerHello({ ...again!, extensions: [...again!.extensions] }),
        encodeServerHello({ ...hello, extensions }),
      ];
    },
  },
  {
    name: 'certificate',
    seed: encodeCertificate([new Uint8Array(40).fill(0x30), new Uint8Array(20).fill(0x31)]),
    again: (body) => {
      const chain = decodeCertificate(body);
      return chain && [encodeCertificate(chain), body];
    },
  },
  {
    name: 'server key exchange',
    seed: encodeServerKeyExchange(
      encodeEcdhParams(0x1d, new Uint8Array(32).fill(9)),
      0x0403,
      new Uint8Array(70),
    ),
    again: (body) => {
      const exchange = decodeServerKeyExchange(body);
      if (exchange === undefined) return undefined;
      const params = encodeEcdhParams(exchange.group, exchange.publicKey);
      if (Buffer.compare(params, exchange.params) !== 0)
        throw new Error('what is signed is not what is used');
      return [encodeServerKeyExchange(exchange.params, exchange.scheme, exchange.signature), body];
    },
  },
  {
    name: 'certificate request',
    seed: encodeCertificateRequest([1, 64], [0x0403, 0x0804]),
    again: (body) => {
      const request = decodeCertificateRequest(body);
      if (request === undefined) return undefined;
      const encoded = encodeCertificateRequest(request.certificateTypes, request.schemes);
      return [encoded.subarray(0, -2), body.subarray(0, encoded.length - 2)];
    },
  },
  {
    name: 'hello verify request',
    seed: encodeHelloVerifyRequest(new Uint8Array(20).fill(5)),
    again: (body) => {
      const cookie = decodeHelloVerifyRequest(body);
      return cookie && [encodeHelloVerifyRequest(cookie).subarray(2), body.subarray(2)];
    },
  },
  {
    name: 'use_srtp',
    seed: encodeUseSrtp([1, 7, 8], Uint8Array.of(1, 2)),
    again: (body) => {
      const useSrtp = decodeUseSrtp(body);
      return useSrtp && [encodeUseSrtp(useSrtp.profiles, useSrtp.mki), body];
    },
  },
  {
    name: 'alert',
    seed: Uint8Array.of(2, 40),
    again: (body) => (decodeAlert(body) === undefined ? undefined : [body.subarray(0, 2), body]),
  },
];

export const dtlsMessage: FuzzTarget = {
  id: 'fuzz-dtls-message',
  claim: 'a handshake message that decodes is, encoded again, the same to the byte',
  inputs: 16_000,
  reaches: CODECS.flatMap(({ name }) => [name, `no ${name}`]),
  seeds: () => CODECS.map(({ seed }, i) => concat(Uint8Array.of(i), seed)),
  run: (input) => {
    const codec = CODECS[(input[0] ?? 0) % CODECS.length]!;
    const compared = codec.again(input.subarray(1));
    if (compared === undefined) return `no ${codec.name}`;
    if (Buffer.compare(...compared) !== 0) throw new Error(`a ${codec.name} is not what it was`);
    return codec.name;
  },
};
