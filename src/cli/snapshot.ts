import { basename, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf, RekeycastError } from '../errors.ts';
import type { Keyring } from '../keyring/keyring.ts';
import {
  type Inspected,
  type InspectedAnchor,
  type InspectOptions,
  inspectAnchors,
  inspectFile,
  sealedPaths,
} from '../snapshot/inspect.ts';
import { ageInWords } from '../util/age.ts';
import { wallNow } from '../util/clock.ts';
import { type FileSystem, nodeFileSystem } from '../util/file-system.ts';
import { printable } from '../util/printable.ts';
import { loadSodium } from '../util/sodium.ts';
import { failed, understood } from './call.ts';
import { type CliIo, type Environment, findPlaces, openKeyring } from './workplace.ts';

const HELP = `rekeycast snapshot inspect [--open] [--json] [path] - what was written down, without opening it

Shows kind, format, key, generation, age, sizes, and whether a holder of the key wrote it, of the sealed files in STATE_DIR and RUNTIME_DIR
with those that were put aside, or of the one file at path. Never a secret, and nothing is changed: media.sealed is still there for the
next start.

  --open   open the identities with the snapshot keys, and count: sessions by role, the certificate and its age
  --json   {"files":[…],"anchors":[…]}

Without the keys, who wrote a file is shown as unknown.

Exit codes: 0 done, 1 failed, 2 called wrongly, 3 shown, and a file is damaged or not ours.
`;

/** The `snapshot` command. Gives the exit code. */
export async function runSnapshot(
  argv: readonly string[],
  env: Environment,
  io: CliIo,
  fs: FileSystem = nodeFileSystem,
): Promise<number> {
  const asked = understood('snapshot', HELP, parse(argv), io);
  if (typeof asked === 'number') return asked;
  try {
    await loadSodium();
    return await inspect(asked, env, io, fs);
  } catch (cause) {
    return failed('snapshot', cause, asked.json, io);
  }
}

async function inspect(
  { open, json, path }: Asked,
  env: Environment,
  io: CliIo,
  fs: FileSystem,
): Promise<number> {
  const places = findPlaces(env, fs);
  const { stateDir, runtimeDir } = places;
  let keys: Keyring | undefined;
  try {
    keys = await openKeyring('snapshot', places, env, io, fs);
  } catch (cause) {
    if (open || !(cause instanceof RekeycastError)) throw cause;
    io.stderr.write(`rekeycast snapshot: without the keys: ${cause.message}\n`);
  }
  const options: InspectOptions = { fs, keys, now: wallNow(), open };
  const paths = path === undefined ? sealedPaths(stateDir, runtimeDir, fs) : [resolve(path)];
  const files = paths.map((one) => inspectFile(one, options));
  const anchors = path === undefined ? inspectAnchors(stateDir, runtimeDir, options) : [];
  io.stdout.write(json ? `${JSON.stringify({ files, anchors })}\n` : textOf(files, anchors, stateDir));
  return [...files, ...anchors].some(({ problem }) => problem !== undefined) ? 3 : 0;
}

function textOf(files: readonly Inspected[], anchors: readonly InspectedAnchor[], stateDir: string): string {
  const lines = [
    ...(files.length === 0 ? [`Nothing is sealed in ${stateDir} yet`] : files.flatMap(describeFile)),
    ...anchors.map(({ path, of, generation, problem }) =>
      problem === undefined
        ? `${path}  knows generation ${generation} of ${of}`
        : `${path}  PROBLEM  ${problem}`,
    ),
  ];
  // Names of files may be anybody's who could write there.
  return `${lines.map(printable).join('\n')}\n`;
}

/** For people, in the order of the file. */
function describeFile(file: Inspected): readonly string[] {
  const { path, bytes, kind, version, key, generation, snapshot, writtenAt, ageMs, notAfter, expired } = file;
  const { writer, records, problem, opened } = file;
  return [
    `${basename(path)}  ${path}`,
    ...(kind === undefined ? [] : [`  kind         ${kind}, format ${version}`]),
    ...(key === undefined ? [] : [`  key          ${key}`]),
    ...(generation === undefined ? [] : [`  generation   ${generation}, snapshot ${snapshot}`]),
    ...(writtenAt === undefined ? [] : [`  written      ${writtenAt}, ${ageInWords(ageMs ?? 0)} ago`]),
    ...(notAfter === undefined ? [] : [`  not after    ${notAfter}${expired ? ' (past)' : ''}`]),
    ...(writer === undefined ? [] : [`  writer       ${writer}`]),
    `  size         ${bytes} bytes${records === undefined ? '' : `, ${records} records`}`,
    ...(opened === undefined
      ? []
      : [
          `  sessions     ${opened.broadcasters} broadcasters, ${opened.viewers} viewers, ${opened.withConnection} of them with a connection`,
          `  certificate  sha-256 ${opened.certificate.sha256}, made ${opened.certificate.createdAt}, ${ageInWords(opened.certificate.ageMs)} ago`,
        ]),
    ...(problem === undefined ? [] : [`  PROBLEM      ${problem}`]),
  ];
}

interface Asked {
  readonly help: false;
  readonly open: boolean;
  readonly json: boolean;
  readonly path: string | undefined;
}

/** What is asked for, or what is wrong with it in words. */
function parse(argv: readonly string[]): Asked | { readonly help: true } | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        open: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const [command, path, surplus] = positionals;
    if (values.help || command === 'help') return { help: true };
    if (command !== 'inspect')
      return command === undefined ? 'say which command: inspect' : `there is no command "${command}"`;
    if (surplus !== undefined) return `"inspect" takes one path, and no "${surplus}"`;
    return { ...values, help: false, path };
  } catch (cause) {
    return messageOf(cause);
  }
}
