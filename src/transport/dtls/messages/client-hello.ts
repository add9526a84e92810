import { ByteWriter } from '../../../util/bytes.ts';
import { SRTP_PROFILES, type SrtpProfile } from '../../srtp/profile.ts';
import { CIPHER_SUITES } from '../cipher-suite.ts';
import { NAMED_GROUPS } from '../key-exchange.ts';
import { DTLS_1_2 } from '../record.ts';
import { SIGNATURE_SCHEMES } from '../signature.ts';

export const RANDOM_BYTES = 32;

/** Extensions a ClientHello of ours carries. */
export const EXTENSION = {
  supportedGroups: 10,
  ecPointFormats: 11,
  signatureAlgorithms: 13,
  useSrtp: 14,
  extendedMasterSecret: 23,
  renegotiationInfo: 0xff01,
} as const;

export interface ClientHello {
  readonly random: Uint8Array;
  /** From a HelloVerifyRequest; empty in the first ClientHello. */
  readonly cookie: Uint8Array;
  readonly srtpProfiles: readonly SrtpProfile[];
}

/** The body of a ClientHello (RFC 5246 §7.4.1.2 with the cookie of RFC 6347 §4.2.1). No session, no ticket: never resumed. */
export function encodeClientHello(hello: ClientHello): Uint8Array {
  const writer = new ByteWriter()
    .u16(DTLS_1_2)
    .bytes(hello.random)
    .vector(1, new Uint8Array(0))
    .vector(1, hello.cookie)
    .nested(2, (suites) => CIPHER_SUITES.forEach((suite) => void suites.u16(suite.id)))
    .vector(1, Uint8Array.of(0));
  return writer.nested(2, (extensions) => encodeExtensions(extensions, hello.srtpProfiles)).finish();
}

function encodeExtensions(writer: ByteWriter, srtpProfiles: readonly SrtpProfile[]): void {
  const extension = (type: number, body: (inner: ByteWriter) => void): void => {
    writer.u16(type).nested(2, body);
  };
  const numbers = (values: readonly number[]) => (list: ByteWriter) =>
    values.forEach((value) => void list.u16(value));

  // RFC 7627 §5.1 and RFC 5746 §3.4: one empty, one with an empty vector.
  extension(EXTENSION.extendedMasterSecret, () => {});
  extension(EXTENSION.renegotiationInfo, (body) => body.u8(0));
  extension(EXTENSION.supportedGroups, (body) => body.nested(2, numbers(NAMED_GROUPS)));
  extension(EXTENSION.ecPointFormats, (body) => body.vector(1, Uint8Array.of(0)));
  extension(EXTENSION.signatureAlgorithms, (body) => body.nested(2, numbers(SIGNATURE_SCHEMES)));
  // RFC 5764 §4.1.1: the profiles, then an empty MKI.
  const ids = srtpProfiles.map((profile) => SRTP_PROFILES[profile].id);
  extension(EXTENSION.useSrtp, (body) => body.nested(2, numbers(ids)).u8(0));
}
