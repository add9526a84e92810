import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import { readConfig } from '../../src/config.ts';
import { readRunFile } from '../../src/snapshot/run-file.ts';
import { isProcessAlive } from '../../src/util/process-alive.ts';
import { offline, pack } from '../support/package.ts';
import { freePort, LOOPBACK } from '../support/ports.ts';
import { ROOT } from '../support/process.ts';
import { testDirectory } from '../support/test-directory.ts';
import { until } from '../support/wait.ts';

const PAGE = readFileSync(join(ROOT, 'docs', 'operations.md'), 'utf8');
/** Folders of a machine, for which the commands get others in a scratch folder. */
const MACHINE = /(?<=[\s"'=])\/(?=(?:opt|etc|usr|var|srv|backup|run)\b)/g;

const scratch = testDirectory();
const here = (path: string): string => join(scratch.path, path);

/** The page's commands, section by section. */
function sections(): ReadonlyMap<string, readonly string[]> {
  const parts = PAGE.split(/^## /m).slice(1);
  return new Map(
    parts.map((part) => [
      part.slice(0, part.indexOf('\n')),
      [...part.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block!),
    ]),
  );
}

/** The servers that were started: by the stand-in for systemd, and by hand. */
const serverOf = (stateDir: string) => readRunFile(here(stateDir));
const STATES = ['var/lib/rekeycast', 'srv/rekeycast/state'];

afterEach(async () => {
  for (const state of STATES) await stop(state, 'SIGKILL');
});

async function stop(stateDir: string, signal: NodeJS.Signals): Promise<void> {
  const pid = serverOf(stateDir)?.pid;
  if (pid === undefined || !isProcessAlive(pid)) return;
  process.kill(pid, signal);
  await until('the server is gone', () => !isProcessAlive(pid) || isZombie(pid));
}

const isZombie = (pid: number): boolean => /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));

/** What stands in for the programs of another machine: it notes how it was called, and does what of it can be done here. */
async function standIns(): Promise<void> {
  const service = readFileSync(join(ROOT, 'deploy/systemd/rekeycast.service'), 'utf8');
  const program = /^ExecStart=(.*)$/m.exec(service)![1]!;
  const settings = [...service.matchAll(/^Environment=(.*)$/gm)].map(([, one]) =>
    one!.replace('%S', '/var/lib'),
  );
  const ports = `PORT=${await freePort()} UDP_PORT=${await freePort()} HOST=${LOOPBACK}`;
  const environment = onMachine(settings.join(' '));
  const start = `test -f ${here('etc/systemd/system/rekeycast.service')}
mkdir -p -m 700 ${here('run/rekeycast')}
env ${environment} ${ports} RUNTIME_DIRECTORY=${here('run/rekeycast')} ${onMachine(` ${program}`)} >>${here('journal')} 2>&1 &
env ${environment} rekeycast health --ready --wait 30`;
  const end = `kill $(sed -n 's/.*"pid":\\([0-9]*\\).*/\\1/p' ${here('var/lib/rekeycast/server.json')})
while test -e ${here('var/lib/rekeycast/server.json')}; do sleep 0.05; done`;
  const programs: Readonly<Record<string, string>> = {
    systemctl: `case "$1" in
  daemon-reload) ;;
  enable | start) ${start} ;;
  stop) ${end} ;;
  restart) ${end}\n${start} ;;
  *) exit 1 ;;
esac`,
    journalctl: `cat ${here('journal')}`,
    'systemd-sysusers': `test -f ${here('etc/sysusers.d/rekeycast.conf')}`,
    'systemd-tmpfiles': 'test -f "$2"',
    runuser: 'test "$1 $2 $3" = "-u rekeycast --"; shift 3; exec "$@"',
    docker: `case "$1" in
  build) test -f Dockerfile ;;
  run) ;;
  exec) shift 2; exec env ${environment} "$@" ;;
  *) exit 1 ;;
esac`,
    kubectl: `case "$*" in
  *' exec '*) while test "$1" != --; do shift; done; shift; exec env ${environment} "$@" ;;
  *--from-file=*) path="\${*##*--from-file=}"; test -s "\${path#*=}" ;;
  'apply -k '*) test -f "$3/kustomization.yaml" ;;
  'apply -f -') ;;
  *'create namespace '* | *'rollout status statefulset/rekeycast') ;;
  *) exit 1 ;;
esac`,
  };
  for (const [name, body] of Object.entries(programs))
    writeFileSync(here(`bin/${name}`), `#!/bin/sh -eu\necho ${name} "$@" >>${here('called')}\n${body}\n`, {
      mode: 0o755,
    });
}

const onMachine = (text: string): string => text.replaceAll(MACHINE, `${scratch.path}/`);

describe('the operator’s page', { timeout: 300_000 }, () => {
  it('names the version that this is', () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(PAGE).toContain(`VERSION=${version}\n`);
    expect(PAGE).toContain(`docker build -t rekeycast:${version} .`);
  });

  it('says which ports workers need, and where the examples that open one send whoever has workers', () => {
    const workers = 2;
    const { udpPort } = readConfig({});
    const [first, last] = [udpPort + 1, udpPort + workers];
    const section = PAGE.slice(PAGE.indexOf('\n## Workers\n'), PAGE.indexOf('\n## What each alert means'));
    expect(section).toContain(`with \`WORKERS=${workers}\``);
    expect(section).toContain(`dport ${udpPort}-${last} accept`);
    expect(section).toContain(`--env WORKERS=${workers} --publish ${first}-${last}:${first}-${last}/udp`);
    const [, folder] = /kubectl apply -k (deploy\/\S*workers)/.exec(section)!;
    expect(existsSync(join(ROOT, folder!, 'kustomization.yaml'))).toBe(true);
    const examples = PAGE.split(/\n\n|\n(?=- )/).filter((part) => part.includes(`${udpPort}/udp`));
    expect(examples.length).toBeGreaterThan(1);
    for (const example of examples) expect(example).toContain('](#workers)');
  });

  it('says commands that work, one after the other', async () => {
    for (const folder of [
      'bin',
      'opt',
      'etc/tmpfiles.d',
      'usr/local/bin',
      'var/lib',
      'backup',
      'work/keys',
      'run',
    ])
      mkdirSync(here(folder), { recursive: true });
    const { tarball } = pack(here('work'));
    // The next version is as good as this one.
    copyFileSync(tarball, here('work/rekeycast-0.2.0.tgz'));
    for (const path of ['Dockerfile', 'deploy'])
      cpSync(join(ROOT, path), here(`work/${path}`), { recursive: true });
    await standIns();

    const env = {
      ...offline(here('cache')),
      PATH: `${here('bin')}:${here('usr/local/bin')}:${process.env.PATH}`,
      HOST: LOOPBACK,
      PORT: String(await freePort()),
      UDP_PORT: String(await freePort()),
    };
    const said: string[] = [];
    const run = (block: string): void => {
      said.push(
        execFileSync('sh', ['-euc', onMachine(block)], {
          cwd: here('work'),
          env,
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'pipe'],
        }),
      );
    };

    const done: string[] = [];
    for (const [title, blocks] of sections()) {
      for (const [i, block] of blocks.entries()) {
        if (title === 'Back up and restore' && i === 1) {
          await stop(STATES[1]!, 'SIGTERM');
          for (const folder of ['state', 'keys'])
            rmSync(here(`srv/rekeycast/${folder}`), { recursive: true });
        }
        run(block);
        if (title === 'Back up and restore' && i === 1) run(sections().get('By hand')![0]!);
        if (title === 'Upgrade and downgrade')
          expect(readlinkSync(here('opt/rekeycast/current'))).toBe(i === 0 ? '0.2.0' : '0.1.0');
        done.push(title);
      }
    }

    expect(new Set(done)).toEqual(
      new Set([
        ...[
          'Install',
          'systemd',
          'Docker',
          'Kubernetes',
          'By hand',
          'Rotate the snapshot key',
          'See what is going on',
          'Back up and restore',
        ],
        ...['Upgrade and downgrade', 'After a theft'],
      ]),
    );
    // Both servers have been there all the time but for their restarts, and the one that was restored is the same as before.
    for (const state of STATES)
      expect(await askServer(serverOf(state)!.adminSocket, { command: 'status' })).toMatchObject({
        kind: 'answer',
      });
    const log = readFileSync(here('srv/rekeycast/rekeycast.log'), 'utf8');
    expect(log.match(/"msg":"(first run|resumed)"/g)).toEqual(['"msg":"first run"', '"msg":"resumed"']);
    expect(readFileSync(here('journal'), 'utf8').match(/"msg":"(first run|resumed)"/g)).toEqual([
      '"msg":"first run"',
      ...Array(3).fill('"msg":"resumed"'),
    ]);
    expect(said.join('')).toContain('The snapshot key was replaced.');
    expectRun(readFileSync(here('called'), 'utf8'));
  });
});

/** `docker run` gives the image the directories that it keeps its files in. */
function expectRun(called: string): void {
  const line = called.split('\n').find((one) => one.startsWith('docker run '))!;
  const image = /^ENV .*?(?=^COPY)/ms.exec(readFileSync(join(ROOT, 'Dockerfile'), 'utf8'))![0];
  const mounts = [...line.matchAll(/dst=(\S+)/g)].map(([, path]) => path!.replace(scratch.path, ''));
  for (const [, path] of image.matchAll(/_DIR=(\S+)/g))
    expect(mounts.some((mount) => path!.startsWith(`${mount}/`))).toBe(true);
  for (const flag of ['--read-only', '--cap-drop ALL', '--ulimit core=0', '--restart always'])
    expect(line).toContain(flag);
}
