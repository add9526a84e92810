import { toHex, utf8 } from '../../src/util/bytes.ts';

/** Less of a secret than this is not looked for: shorter strings turn up by chance. */
const MIN_BYTES = 8;
/** Only the beginning is looked for, so that a secret that was cut short for display is found as well. */
const PREFIX_BYTES = 12;

/** Looks for secrets in what was written, sent or shown, in every form that a program would print them in. */
export class SecretSearch {
  readonly #needles: { readonly name: string; readonly form: string; readonly text: string }[] = [];
  readonly #known = new Set<string>();

  get size(): number {
    return this.#known.size;
  }

  /** Something that must not be found, under a name to report it by. Texts are looked for as what they are, and as their bytes. */
  add(name: string, secret: Uint8Array | string): void {
    const bytes = typeof secret === 'string' ? utf8(secret) : secret;
    if (bytes.length < MIN_BYTES) throw new Error(`${name} is too short to be looked for`);
    if (this.#known.has(toHex(bytes))) return;
    this.#known.add(toHex(bytes));
    for (const [form, text] of forms(bytes.slice(0, PREFIX_BYTES))) this.#needles.push({ name, form, text });
  }

  /** Names and forms of what is in there. Bytes are to be read as latin1. */
  find(haystack: string): string[] {
    const lower = haystack.toLowerCase();
    return this.#needles
      .filter(({ form, text }) => (form === 'hex' ? lower : haystack).includes(text))
      .map(({ name, form }) => `${name} as ${form}`);
  }
}

/** The ways in which programs print bytes. */
export function forms(bytes: Uint8Array): readonly (readonly [form: string, text: string])[] {
  const hex = toHex(bytes);
  return [
    ['bytes', Buffer.from(bytes).toString('latin1')],
    ['hex', hex],
    ['hex', (hex.match(/../g) ?? []).join(':')],
    ['hex', (hex.match(/../g) ?? []).join(' ')],
    ['an array', [...bytes].join(',')],
    ['an array', [...bytes].join(', ')],
    // As the fields of an object: how JSON shows a typed array.
    ['an object', [...bytes].map((byte, i) => `"${i}":${byte}`).join(',')],
    ...base64Forms(bytes),
  ];
}

/** In base64 the same bytes look different behind none, one or two others; what they share with their neighbours is left off. */
function base64Forms(bytes: Uint8Array): (readonly [string, string])[] {
  return [0, 1, 2].flatMap((before) => {
    const padded = Buffer.concat([Buffer.alloc(before), bytes]);
    const first = Math.ceil((before * 8) / 6);
    const last = Math.floor((padded.length * 8) / 6);
    return (['base64', 'base64url'] as const).map(
      (form) => [form, padded.toString(form).slice(first, last)] as const,
    );
  });
}
