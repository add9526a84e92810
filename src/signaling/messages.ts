import * as z from 'zod/mini';
import { DEMO_ACTIONS, MAX_MESSAGE_BYTES, type PageMessage } from './protocol.ts';

/** Longest SDP of an answer, in characters. Browsers' are about 3,000 here. */
const MAX_SDP = 32 * 1024;

const count = z.int().check(z.nonnegative());

const capabilities = z.strictObject({ rekeyInPlace: z.boolean() });

const clientMessage = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('join'), capabilities }),
  z.strictObject({
    type: z.literal('answer'),
    connection: count,
    offer: count,
    sdp: z.string().check(z.maxLength(MAX_SDP)),
  }),
  z.strictObject({ type: z.literal('playing'), connection: count }),
  z.strictObject({ type: z.literal('stalled'), connection: count }),
  z.strictObject({ type: z.literal('confirm') }),
  z.strictObject({ type: z.literal('publish') }),
  z.strictObject({ type: z.literal('decline'), reason: z.string().check(z.maxLength(200)) }),
  z.strictObject({ type: z.literal('capabilities'), capabilities }),
  z.strictObject({ type: z.literal('ping') }),
  z.strictObject({ type: z.literal('away') }),
  z.strictObject({ type: z.literal('leave') }),
  z.strictObject({ type: z.literal('demo'), action: z.enum(DEMO_ACTIONS) }),
]);

/** A message from a page, or `undefined` where it is none. */
export function parseClientMessage(text: string): PageMessage | undefined {
  if (text.length > MAX_MESSAGE_BYTES) return undefined;
  try {
    const result = clientMessage.safeParse(JSON.parse(text));
    return result.success ? result.data : undefined;
  } catch {
    return undefined;
  }
}
