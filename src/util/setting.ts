import { isIPv4 } from 'node:net';
import * as z from 'zod/mini';
import { messageOf, RekeycastError } from '../errors.ts';
import type { Millis } from './clock.ts';
import { parseJson } from './json.ts';
import { Secret } from './secret.ts';

/** What a setting takes: the words stand in refusals and in the operator's table. */
export interface Takes<Value> {
  readonly words: string;
  readonly schema: z.ZodMiniType<Value, string>;
  /** What it was given is never shown. */
  readonly hidden?: boolean;
}

export const LAST_PORT = 65_535;

/** The first of these ports behind which there are fewer than so many others, by the name of its setting. */
export const portTooHigh = (
  ports: Readonly<Record<string, number | undefined>>,
  others: number,
): readonly [name: string, port: number | undefined] | undefined =>
  Object.entries(ports).find(([, port]) => port !== undefined && port + others > LAST_PORT);

/** A port from `lowest` up. Plain digits: what else JavaScript takes for a number is a slip of the hand. */
export const port = (lowest: 0 | 1): Takes<number> => wholeNumber('a port', lowest, LAST_PORT);

export const count = (lowest: number, highest: number): Takes<number> =>
  wholeNumber('a number', lowest, highest);

function wholeNumber(noun: string, lowest: number, highest: number): Takes<number> {
  const words = `${noun}, ${lowest} to ${highest}`;
  const digits = z.string().check(z.regex(/^\d{1,9}$/, words));
  const range = z.number().check(z.minimum(lowest, words), z.maximum(highest, words));
  return { words, schema: z.pipe(z.pipe(digits, z.transform(Number)), range) };
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
/** What a deadline is counted with has its limits, in files (48 bits of milliseconds) and timers. */
const LONGEST: Millis = 366 * 24 * 3_600_000;

/** @param least in the words of a setting, such as `10s` */
export function duration(least: string): Takes<Millis> {
  const words = 'a duration such as 500ms, 5s, 10m or 1h';
  const text = z.string().check(z.regex(/^\d{1,9}(ms|s|m|h)$/, words));
  const range = z
    .number()
    .check(
      z.minimum(millisOf(least), `a duration of ${least} at least`),
      z.maximum(LONGEST, 'a duration of a year at most'),
    );
  return { words: `${words}, ${least} at least`, schema: z.pipe(z.pipe(text, z.transform(millisOf)), range) };
}

const millisOf = (text: string): Millis => Number.parseInt(text, 10) * UNITS[text.replace(/^\d+/, '')]!;

export function oneOf<const Name extends string>(names: readonly [Name, ...Name[]]): Takes<Name> {
  const words = `one of ${names.join(', ')}`;
  return { words, schema: z.pipe(z.string(), z.enum(names, words)) };
}

export function listOf<Name extends string>(names: readonly [Name, ...Name[]]): Takes<readonly Name[]> {
  const words = `a list of ${names.join(', ')}`;
  return list(words, z.pipe(z.string(), z.enum(names, words)));
}

/** A list each part of which `accepts` takes. */
export const listWhere = (words: string, accepts: (part: string) => boolean): Takes<readonly string[]> =>
  list(words, z.string().check(z.refine(accepts, words)));

function list<Value>(words: string, part: z.ZodMiniType<Value, string>): Takes<readonly Value[]> {
  const split = z.transform((text: string) => text.split(',').map((one) => one.trim()));
  const frozen = z.transform((parts: Value[]): readonly Value[] => Object.freeze(parts));
  return { words, schema: z.pipe(z.pipe(z.pipe(z.string(), split), z.array(part)), frozen) };
}

/** Text that `accepts` takes. */
export const textWhere = (words: string, accepts: (text: string) => boolean): Takes<string> => ({
  words,
  schema: z.string().check(z.refine(accepts, words)),
});

/**
 * A program and its arguments, without a shell: words apart by blanks, or a JSON list of strings where an argument has blanks in it. Whoever wants a
 * shell says so: `["/bin/sh","-c","…"]`. What was given is never shown: an argument may be a secret.
 */
export const command: Takes<readonly string[]> = {
  words: 'a command, in words or as a JSON list of strings',
  hidden: true,
  schema: z.pipe(
    z
      .string()
      .check(
        z.refine((text) => wordsOf(text) !== undefined, 'a command, in words or as a JSON list of strings'),
      ),
    z.transform((text: string) => Object.freeze(wordsOf(text) ?? [])),
  ),
};

function wordsOf(text: string): readonly string[] | undefined {
  const words = text.trimStart().startsWith('[') ? parseJson(text) : text.trim().split(/\s+/);
  const parsed = z.array(z.string()).safeParse(words);
  return parsed.success && parsed.data[0] ? parsed.data : undefined;
}

export const path: Takes<string> = { words: 'a path', schema: z.string() };

/** Names are not resolved: offers and the UDP socket take addresses only. */
export const boundHost: Takes<string> = {
  words: 'an IP address of this machine, or localhost',
  schema: z.pipe(
    z
      .string()
      .check(
        z.refine(
          (host) => host === 'localhost' || isAddress(host),
          'an IP address of this machine, or localhost',
        ),
      ),
    z.transform((host: string) => (host === 'localhost' ? '127.0.0.1' : host)),
  ),
};

/** Without a zone: an address behind one (`fe80::1%eth0`) says nothing to another machine. */
export const isAddress = (text: string): boolean => isIPv4(text) || z.ipv6().safeParse(text).success;

/** An origin of the web and nothing beside it, as browsers write it (RFC 6454 §6.1). */
export const isOrigin = (text: string): boolean =>
  URL.canParse(text) && /^https?:/.test(text) && new URL(text).origin === text;

/** RFC 7065 §3.1. */
export const isTurnUrl = (text: string): boolean =>
  /^turns?:(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?(?:\?transport=(?:udp|tcp))?$/i.test(text);

/** Shorter ones can be guessed; longer ones do not fit into the head of a request. */
const SECRET_LENGTH = { least: 16, most: 512 };
const SECRET_WORDS = `a secret of ${SECRET_LENGTH.least} to ${SECRET_LENGTH.most} characters without spaces`;
const isSecretText = (text: string): boolean =>
  /^[!-~]+$/.test(text) && text.length >= SECRET_LENGTH.least && text.length <= SECRET_LENGTH.most;

export const secret: Takes<Secret> = {
  words: SECRET_WORDS,
  hidden: true,
  schema: z.pipe(
    z.string().check(z.refine(isSecretText, SECRET_WORDS)),
    z.transform((text: string) => Secret.take(Buffer.from(text))),
  ),
};

/** A secret, or where it is read from when the server starts: commands that need none do not have to be able to. */
export type SecretSource =
  | { readonly name: string; readonly value: Secret }
  | { readonly name: string; readonly file: string };

/** Throws `CONFIG_INVALID` where the file cannot be read or holds no secret. The line break at its end is no part of it. */
export function readSecret(source: SecretSource, read: (path: string) => string): Secret {
  if ('value' in source) return source.value;
  const { name, file } = source;
  const refuse = (problem: string, cause?: unknown): never => {
    const words = `${name} is ${JSON.stringify(file)}, ${problem}`;
    throw new RekeycastError('CONFIG_INVALID', words, { cause });
  };
  let text = '';
  try {
    text = read(file).replace(/\r?\n$/, '');
  } catch (cause) {
    return refuse(`which cannot be read: ${messageOf(cause)}`, cause);
  }
  if (!isSecretText(text))
    return refuse(`whose content (${text.length} characters, not shown) is not ${SECRET_WORDS}`);
  return Secret.take(Buffer.from(text));
}
