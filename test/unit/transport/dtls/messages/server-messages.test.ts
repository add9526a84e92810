import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeCertificate,
  encodeCertificate,
} from '../../../../../src/transport/dtls/messages/certificate.ts';
import { decodeCertificateRequest } from '../../../../../src/transport/dtls/messages/certificate-request.ts';
import { encodeCertificateVerify } from '../../../../../src/transport/dtls/messages/certificate-verify.ts';
import { encodeClientKeyExchange } from '../../../../../src/transport/dtls/messages/client-key-exchange.ts';
import {
  decodeServerKeyExchange,
  signedParameters,
} from '../../../../../src/transport/dtls/messages/server-key-exchange.ts';
import { concat } from '../../../../../src/util/bytes.ts';
import {
  decodeCertificateVerify,
  encodeCertificateRequest,
  encodeEcdhParams,
  encodeServerKeyExchange,
} from '../../../../support/dtls-messages.ts';
import { expectStrict } from '../../../../support/dtls-strict.ts';

const bytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength });
const uint8 = fc.integer({ min: 0, max: 255 });
const uint16 = fc.integer({ min: 0, max: 0xffff });

describe('a Certificate', () => {
  it('comes back as it was', () => {
    fc.assert(
      fc.property(fc.array(bytes(1, 600), { maxLength: 8 }), (chain) => {
        expect(decodeCertificate(encodeCertificate(chain))).toEqual(chain);
      }),
    );
  });

  it('is refused when short or long', () => {
    expectStrict(decodeCertificate, encodeCertificate([Uint8Array.of(1, 2), Uint8Array.of(3)]));
  });

  it('is refused with an empty certificate, or a long chain of them', () => {
    expect(decodeCertificate(encodeCertificate([new Uint8Array(0)]))).toBeUndefined();
    expect(decodeCertificate(encodeCertificate(Array(9).fill(Uint8Array.of(1))))).toBeUndefined();
  });
});

describe('a ServerKeyExchange', () => {
  it('is what a server wrote', () => {
    fc.assert(
      fc.property(uint16, bytes(0, 133), uint16, bytes(0, 256), (group, publicKey, scheme, signature) => {
        const params = encodeEcdhParams(group, publicKey);
        const decoded = decodeServerKeyExchange(encodeServerKeyExchange(params, scheme, signature));
        expect(decoded).toEqual({ group, publicKey, scheme, signature, params });
      }),
    );
  });

  it('is refused when short or long, or without a named curve', () => {
    const sample = encodeServerKeyExchange(
      encodeEcdhParams(29, new Uint8Array(32)),
      0x0403,
      new Uint8Array(70),
    );
    expectStrict(decodeServerKeyExchange, sample);
    const explicit = sample.slice();
    explicit[0] = 1;
    expect(decodeServerKeyExchange(explicit)).toBeUndefined();
  });

  it('is signed over both nonces and its parameters, in this order', () => {
    const randoms = { client: Uint8Array.of(1), server: Uint8Array.of(2) };
    expect(signedParameters(randoms, Uint8Array.of(3))).toEqual(Uint8Array.of(1, 2, 3));
  });
});

describe('a CertificateRequest', () => {
  it('is what a server wrote, whatever authorities it names', () => {
    const [types, schemes] = [fc.array(uint8, { maxLength: 10 }), fc.array(uint16, { maxLength: 20 })];
    fc.assert(
      fc.property(types, schemes, bytes(0, 100), (certificateTypes, schemes, authorities) => {
        const encoded = encodeCertificateRequest(certificateTypes, schemes, authorities);
        expect(decodeCertificateRequest(encoded)).toEqual({ certificateTypes, schemes });
      }),
    );
  });

  it('is refused when short or long, or with half a scheme', () => {
    expectStrict(decodeCertificateRequest, encodeCertificateRequest([64], [0x0403], Uint8Array.of(1)));
    expect(decodeCertificateRequest(Uint8Array.of(1, 64, 0, 1, 4, 0, 0))).toBeUndefined();
  });
});

describe('our own messages', () => {
  it('put the key share behind its length', () => {
    expect(encodeClientKeyExchange(Uint8Array.of(7, 8))).toEqual(Uint8Array.of(2, 7, 8));
  });

  it('name the scheme of the signature', () => {
    fc.assert(
      fc.property(uint16, bytes(0, 100), (scheme, signature) => {
        expect(decodeCertificateVerify(encodeCertificateVerify(scheme, signature))).toEqual({
          scheme,
          signature,
        });
      }),
    );
  });
});

describe('the decoders', () => {
  it.each([decodeCertificate, decodeServerKeyExchange, decodeCertificateRequest])(
    '%o throws at nothing that arrives',
    (decode) => {
      fc.assert(fc.property(bytes(0, 200), (junk) => void decode(concat(junk))));
    },
  );
});
