import { MessageChannel, type MessagePort } from 'node:worker_threads';

/** Of ES2024, and not in Node 20. */
interface Transferable {
  transfer?(newLength: number): ArrayBuffer;
}

/** Whoever sends to a port whose other end is closed has given away what was sent. It is, from the next turn of the event loop on. */
const NOBODY = (ArrayBuffer.prototype as Transferable).transfer === undefined ? closedPort() : undefined;

/**
 * Gives the memory of a large array back at once, which is of no length then. Left to the collector, tens of megabytes a second of such arrays have it look
 * through everything that lives, several times a second.
 *
 * An array that shares its memory with others is left as it is.
 */
export function release(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength !== bytes.length) return;
  if (NOBODY === undefined) (buffer as Transferable).transfer!(0);
  else NOBODY.postMessage(null, [buffer]);
}

function closedPort(): MessagePort {
  const { port1, port2 } = new MessageChannel();
  port2.close();
  port1.unref();
  return port1;
}
