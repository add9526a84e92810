import { isDeepStrictEqual } from 'node:util';

/** RFC 6902, as far as our own patches use it. */
export type JsonPatch = readonly {
  readonly op: 'add' | 'remove' | 'replace' | 'test';
  readonly path: string;
  readonly value?: unknown;
}[];

type Container = Record<string, unknown>;

/** A changed copy. Throws where a `test` fails or a path leads nowhere. */
export function jsonPatched<T>(document: T, patch: JsonPatch): T {
  const copy = structuredClone(document);
  for (const { op, path, value } of patch) {
    const names = path
      .split('/')
      .slice(1)
      .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = names.pop()!;
    const parent = names.reduce<unknown>((at, name) => (at as Container | undefined)?.[name], copy);
    if (typeof parent !== 'object' || parent === null) throw new Error(`${path} leads nowhere`);
    const found = (parent as Container)[last];
    if (op !== 'add' && found === undefined) throw new Error(`${path} is not there`);
    if (op === 'test') {
      if (!isDeepStrictEqual(found, value)) throw new Error(`${path} is not what the patch expects`);
    } else if (Array.isArray(parent) && op === 'add')
      parent.splice(last === '-' ? parent.length : Number(last), 0, value);
    else if (Array.isArray(parent) && op === 'remove') parent.splice(Number(last), 1);
    else if (op === 'remove') delete (parent as Container)[last];
    else (parent as Container)[last] = value;
  }
  return copy;
}
