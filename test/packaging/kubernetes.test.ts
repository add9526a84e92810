import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { StatefulSet } from 'kubernetes-types/apps/v1.js';
import type { Container, Service } from 'kubernetes-types/core/v1.js';
import type { NetworkPolicy } from 'kubernetes-types/networking/v1.js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readConfig } from '../../src/config.ts';
import { prepareServer } from '../support/fixture.ts';
import { type JsonPatch, jsonPatched } from '../support/json-patch.ts';
import { keyText } from '../support/key-text.ts';
import { install, pack } from '../support/package.ts';
import { ROOT } from '../support/process.ts';
import { temporaryDirectory } from '../support/snapshots.ts';
import { testDirectory } from '../support/test-directory.ts';
import { until } from '../support/wait.ts';

const MANIFESTS = join(ROOT, 'deploy', 'kubernetes');
/** The same with the keys from a command. */
const OVERLAY = join(ROOT, 'deploy', 'kubernetes-key-command');
/** The same with workers. */
const WORKERS = join(ROOT, 'deploy', 'kubernetes-workers');
/** Where the type of each kind is. */
const TYPES: Readonly<Record<string, string>> = {
  Namespace: 'core/v1',
  ServiceAccount: 'core/v1',
  ConfigMap: 'core/v1',
  Service: 'core/v1',
  StatefulSet: 'apps/v1',
  PodDisruptionBudget: 'policy/v1',
  NetworkPolicy: 'networking/v1',
};

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
}

const read = (name: string): unknown => parse(readFileSync(join(MANIFESTS, name), 'utf8'), { merge: true });
const { resources } = read('kustomization.yaml') as { readonly resources: readonly string[] };
const manifests = resources.map((name) => read(name) as Manifest);
const find = (kind: string): unknown => manifests.find((one) => one.kind === kind);

const { spec } = find('StatefulSet') as { spec: NonNullable<StatefulSet['spec']> };
const pod = spec.template.spec!;
const server = pod.containers[0]!;
const init = pod.initContainers![0]!;

interface Kustomization {
  readonly resources: readonly string[];
  readonly patches: readonly { readonly target: { kind: string; name: string }; readonly patch: string }[];
}

const kustomizationOf = (folder: string): Kustomization =>
  parse(readFileSync(join(folder, 'kustomization.yaml'), 'utf8')) as Kustomization;
/** A manifest of the base as an overlay makes it. */
const withPatches = <Kind extends Manifest>(folder: string, base: Kind): Kind =>
  kustomizationOf(folder)
    .patches.filter(({ target }) => target.kind === base.kind)
    .reduce((made, { patch }) => jsonPatched(made, parse(patch) as JsonPatch), base);
/** The StatefulSet with the keys from a command. */
const commanded = (base: StatefulSet): StatefulSet => withPatches(OVERLAY, base as StatefulSet & Manifest);

const scratch = testDirectory();

describe('the Kubernetes manifests', { timeout: 300_000 }, () => {
  it('are what the API takes: no field is misspelt, missing or of another type', () => {
    expect(check(manifests)).toBe('');
    expect(readdirSync(MANIFESTS).sort()).toEqual(['kustomization.yaml', ...resources].sort());
  });

  it.each([
    [
      'a misspelt field',
      (one: StatefulSet) => Object.assign(one.spec!.template.spec!, { initContainer: [] }),
      'initContainer',
    ],
    [
      'a value of another type',
      (one: StatefulSet) => Object.assign(one.spec!, { replicas: 'one' }),
      'number',
    ],
    [
      'a field that has to be there',
      (one: StatefulSet) => Reflect.deleteProperty(one.spec!, 'selector'),
      'selector',
    ],
  ])('would be refused with %s', (_what, spoil, words) => {
    const spoilt = structuredClone(find('StatefulSet')) as StatefulSet;
    spoil(spoilt);
    expect(check([spoilt as Manifest])).toContain(words);
  });

  it('run one pod, which no second one joins', () => {
    expect(spec.replicas).toBe(1);
    // A Deployment would start the next one beside the last.
    expect(manifests.map(({ kind }) => kind)).not.toContain('Deployment');
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(10);
  });

  it('name each thing as the other does', () => {
    const labels = spec.template.metadata!.labels!;
    expect(spec.selector.matchLabels).toEqual(labels);
    const service = find('Service') as Service;
    expect(service.spec!.selector).toEqual(labels);
    const open = server.ports!.filter(({ name }) => name !== 'metrics');
    const ports = open.map(({ name, containerPort, protocol }) => [name, containerPort, protocol]);
    expect(
      service.spec!.ports!.map(({ targetPort, port, protocol }) => [targetPort, port, protocol]),
    ).toEqual(ports);
    expect(new Set(open.map(({ containerPort }) => containerPort))).toEqual(new Set([readConfig({}).port]));
    const volumes = [
      ...pod.volumes!.map(({ name }) => name),
      ...spec.volumeClaimTemplates!.map(({ metadata }) => metadata!.name),
    ];
    for (const { volumeMounts } of [init, server])
      for (const { name } of volumeMounts!) expect(volumes).toContain(name);
    const images = (read('kustomization.yaml') as { images: { name: string; newTag: string }[] }).images;
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(images.map(({ name, newTag }) => [name, newTag])).toEqual([[server.image, version]]);
    expect(init.image).toBe(server.image);
  });

  it('show the metrics to monitoring, and to nobody from outside', () => {
    const { data } = find('ConfigMap') as { data: Record<string, string> };
    const { port } = readConfig(data).admin!;
    expect(server.ports).toContainEqual({ name: 'metrics', containerPort: port, protocol: 'TCP' });
    const { ingress } = (find('NetworkPolicy') as NetworkPolicy).spec!;
    const rules = ingress!.filter(({ ports }) => ports!.some((one) => one.port === 'metrics'));
    expect(rules.map(({ ports, from }) => [ports!.length, from?.length])).toEqual([[1, 1]]);
    const service = find('Service') as Service;
    expect(service.spec!.ports!.map(({ targetPort }) => targetPort)).not.toContain('metrics');
  });

  it('keep media contexts in RAM, for the next container of the pod', () => {
    const { volumeMounts } = server;
    const runtime = volumeMounts!.find(({ name }) => name === 'runtime')!.mountPath;
    expect(pod.volumes!.find(({ name }) => name === 'runtime')!.emptyDir).toMatchObject({ medium: 'Memory' });
    // Below it: a mounted volume belongs to root, and the server wants a directory of its own.
    expect(value('RUNTIME_DIR').startsWith(`${runtime}/`)).toBe(true);
  });

  it('give no right to anybody', () => {
    expect(pod.securityContext).toMatchObject({
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    for (const container of [init, server])
      expect(container.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    expect(pod.automountServiceAccountToken).toBe(false);
  });

  it('set what the server understands', () => {
    const { data } = find('ConfigMap') as { data: Record<string, string> };
    const config = readConfig({
      ...data,
      ...Object.fromEntries(server.env!.map(({ name, value }) => [name, value])),
    });
    expect(config.announced.addresses).toEqual([data.ANNOUNCED_ADDRESS]);
    expect(config.publicOrigins).toEqual([data.PUBLIC_ORIGIN]);
    expect(config.keysDir).toBe(value('KEYS_DIR'));
  });

  describe('with the snapshot keys from a command', () => {
    const base = find('StatefulSet') as StatefulSet;

    it('are what the API takes, and change the StatefulSet only', () => {
      const { resources, patches } = kustomizationOf(OVERLAY);
      expect(resources.map((path) => join(OVERLAY, path))).toEqual([MANIFESTS]);
      expect(readdirSync(OVERLAY)).toEqual(['kustomization.yaml']);
      expect(patches.map(({ target }) => target)).toEqual([{ kind: 'StatefulSet', name: 'rekeycast' }]);
      expect(base.metadata!.name).toBe('rekeycast');
      expect(check([commanded(base) as Manifest])).toBe('');
    });

    it('give the Secret to the one container, read-only, and leave everything else as it was', () => {
      const made = commanded(base).spec!.template.spec!;
      const secret = { secretName: 'rekeycast-snapshot-key', defaultMode: 0o400 };
      expect(made.initContainers).toBeUndefined();
      expect(made.volumes).toEqual([{ name: 'keys', secret }, ...pod.volumes!.slice(1)]);
      const [one] = made.containers;
      expect(made.containers).toHaveLength(1);
      const mount = { name: 'keys', mountPath: '/secrets/snapshot-key', readOnly: true };
      expect(one!.volumeMounts).toEqual([...server.volumeMounts!, mount]);
      const kept = (env: Container['env']) =>
        env!.filter(({ name }) => name !== 'KEYS_DIR' && name !== 'SNAPSHOT_KEY_COMMAND');
      expect(kept(one!.env)).toEqual(kept(server.env));
      const { data } = find('ConfigMap') as { data: Record<string, string> };
      const config = readConfig({
        ...data,
        ...Object.fromEntries(one!.env!.map(({ name, value }) => [name, value])),
      });
      expect(config.keyCommand).toEqual(['cat', `${mount.mountPath}/keys`]);
      expect({ ...one, env: [], volumeMounts: [] }).toEqual({ ...server, env: [], volumeMounts: [] });
    });

    type Pod = typeof pod;
    it.each([
      ['an init container', (one: Pod) => one.initContainers!.unshift({ name: 'other' })],
      ['a setting', (one: Pod) => one.containers[0]!.env!.unshift({ name: 'OTHER', value: '' })],
      ['a volume', (one: Pod) => one.volumes!.unshift({ name: 'other', emptyDir: {} })],
    ])('are refused where %s has come before theirs in the base', (_what, change) => {
      const other = structuredClone(base);
      change(other.spec!.template.spec!);
      expect(() => commanded(other)).toThrow('is not what the patch expects');
    });
  });

  describe('with workers', () => {
    const patched = manifests.map((one) => withPatches(WORKERS, one));
    /** The same where the setting alone is another one. */
    const told = (workers: string): readonly Manifest[] =>
      patched.map((one) =>
        one.kind === 'ConfigMap'
          ? jsonPatched(one, [{ op: 'replace', path: '/data/WORKERS', value: workers }])
          : one,
      );

    it('are what the API takes', () => {
      expect(kustomizationOf(WORKERS).resources.map((path) => join(WORKERS, path))).toEqual([MANIFESTS]);
      expect(readdirSync(WORKERS)).toEqual(['kustomization.yaml']);
      for (const { target } of kustomizationOf(WORKERS).patches)
        expect(manifests).toContainEqual(
          expect.objectContaining({
            kind: target.kind,
            metadata: expect.objectContaining({ name: target.name }),
          }),
        );
      expect(check(patched)).toBe('');
    });

    it('open a port for each of them, from the pod to the world, as the one that there is without', () => {
      expect(mediaPorts(manifests)).toEqual({
        wanted: [8_080],
        pod: [8_080],
        service: [8_080],
        policy: [8_080],
      });
      const ports = [8_080, 8_081, 8_082];
      expect(mediaPorts(patched)).toEqual({ wanted: ports, pod: ports, service: ports, policy: ports });
    });

    it('would be found out with a worker more, or less, than ports', () => {
      for (const workers of ['1', '3']) {
        const { wanted, pod, service, policy } = mediaPorts(told(workers));
        expect(wanted).toHaveLength(Number(workers) + 1);
        for (const opened of [pod, service, policy]) expect(opened).not.toEqual(wanted);
      }
    });

    it('go with the keys from a command', () => {
      const both = withPatches(OVERLAY, withPatches(WORKERS, find('StatefulSet') as Manifest));
      expect(both).toEqual(withPatches(WORKERS, withPatches(OVERLAY, find('StatefulSet') as Manifest)));
      expect(check([both])).toBe('');
    });

    it('are refused where the base has changed', () => {
      const other = structuredClone(find('NetworkPolicy')) as NetworkPolicy & Manifest;
      other.spec!.ingress!.reverse();
      expect(() => withPatches(WORKERS, other)).toThrow(/is not (there|what the patch expects)/);
    });
  });

  describe('run in a scratch folder', () => {
    const user = pod.securityContext!.runAsUser!;
    let installed: ReturnType<typeof temporaryDirectory>;
    let program: string;

    // The pod's user may not be let into this checkout.
    beforeAll(() => {
      installed = temporaryDirectory();
      chmodSync(installed.path, 0o755);
      install(pack(installed.path).tarball, installed.path, join(installed.path, 'cache'));
      program = join(installed.path, 'node_modules/rekeycast/dist/rekeycast.js');
    });
    afterAll(() => installed.dispose());

    /** A Secret as it is mounted with an `fsGroup`: a link to each file, readable by the group. */
    beforeEach(async () => {
      chmodSync(scratch.path, 0o755);
      const made = await prepareServer();
      await made.start();
      await made.kill('SIGTERM');
      for (const folder of ['secrets/keys/..data', 'run/rekeycast', 'var/lib/rekeycast'])
        mkdirSync(join(scratch.path, folder), { recursive: true });
      for (const folder of ['run/rekeycast', 'var/lib/rekeycast'])
        chmodSync(join(scratch.path, folder), 0o777);
      for (const name of readdirSync(made.directories.keys)) {
        const file = join(scratch.path, 'secrets/keys/..data', name);
        writeFileSync(file, readFileSync(join(made.directories.keys, name)), { mode: 0o440 });
        if (process.getuid?.() === 0) chownSync(file, 0, user);
        symlinkSync(join('..data', name), join(scratch.path, 'secrets/keys', name));
      }
    });

    const start = (env: Readonly<Record<string, string>> = {}) =>
      prepareServer({
        user,
        cwd: '/',
        command: [process.execPath, program],
        env: {
          ...Object.fromEntries(
            ['STATE_DIR', 'KEYS_DIR', 'RUNTIME_DIR'].map((name) => [name, here(value(name))]),
          ),
          ...env,
        },
      });

    it('start a server on the keys of the Secret, which come back after a container was killed', async () => {
      for (const message of ['first run', 'resumed']) {
        runInit(user);
        const running = await start();
        await running.start();
        expect(running.events('started')[0]?.fields.msg).toBe(message);
        expect(running.events('strict')).toEqual([]);
        expect(
          execFileSync(process.execPath, [program, 'health'], { env: running.env, encoding: 'utf8' }),
        ).toBe('alive\n');
        await until('its identity is on disk', () =>
          existsSync(join(here(value('STATE_DIR')), 'identity.sealed')),
        );
        await running.kill('SIGKILL');
      }
    });

    it('rotate nothing in the pod, where it would be lost', async () => {
      runInit(user);
      const running = await start();
      await running.start();
      const { status, stderr } = spawnSync(process.execPath, [program, 'keys', 'rotate'], {
        env: running.env,
        encoding: 'utf8',
        ...(process.getuid?.() === 0 ? { uid: user, gid: user } : {}),
      });
      expect(status).toBe(1);
      expect(stderr).toContain(here(value('KEYS_DIR')));
      expect(readdirSync(here(value('KEYS_DIR'))).filter((name) => name.endsWith('.secret'))).toHaveLength(1);
    });

    it('start a server that reads the Secret by a command, and takes the key that is put into it without a new pod', async () => {
      const { env } = commanded(find('StatefulSet') as StatefulSet).spec!.template.spec!.containers[0]!;
      const fetch = env!.find(({ name }) => name === 'SNAPSHOT_KEY_COMMAND')!.value!;
      const file = here(fetch.replace('cat ', ''));
      const put = (version: string, keys: string): void => {
        mkdirSync(join(dirname(file), version), { recursive: true });
        const written = join(dirname(file), version, 'keys');
        writeFileSync(written, keys, { mode: 0o440 });
        if (process.getuid?.() === 0) chownSync(written, 0, user);
        symlinkSync(version, join(dirname(file), '..new'));
        renameSync(join(dirname(file), '..new'), join(dirname(file), '..data'));
      };
      put('..1', `${keyText(1)}\n`);
      symlinkSync('..data/keys', file);
      const running = await start({ SNAPSHOT_KEY_COMMAND: `cat ${file}` });
      await running.start();
      const keys = (command: string) => {
        const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'keys', command, '--json'], {
          env: running.env,
          encoding: 'utf8',
          ...(process.getuid?.() === 0 ? { uid: user, gid: user } : {}),
        });
        expect([command, status, stderr]).toEqual([command, 0, '']);
        return (JSON.parse(stdout) as { primary: string }).primary;
      };
      const former = keys('verify');
      put('..2', `${keyText(2)}\n${keyText(1)}\n`);
      expect(keys('reseal')).not.toBe(former);
      expect(keys('verify')).not.toBe(former);
      // The same as a file is refused: it is the group’s to read.
      await running.kill('SIGTERM');
      const refused = await start({ SNAPSHOT_KEY_FILE: file });
      refused.spawn();
      expect((await refused.exited()).code).toBe(1);
      expect(refused.run.stderr).toContain('KEY_MODE_TOO_OPEN');
    });

    it('would not start on the Secret itself: its files are the group’s to read', async () => {
      const running = await start({ KEYS_DIR: join(scratch.path, 'secrets/keys') });
      running.spawn();
      expect((await running.exited()).code).toBe(1);
      expect(running.run.stderr).toContain('KEY_MODE_TOO_OPEN');
    });
  });
});

const value = (name: string): string => server.env!.find((one) => one.name === name)!.value!;
const here = (path: string): string => join(scratch.path, path);

/** The init container's command, as its user. */
function runInit(user: number): void {
  const [program, ...args] = (init as Required<Container>).command.map((one) =>
    one.replaceAll(/(?<=\s)\/(?=run\/|secrets\/)/g, `${scratch.path}/`),
  );
  execFileSync(program!, args, process.getuid?.() === 0 ? { uid: user, gid: user } : {});
  for (const name of readdirSync(here('run/rekeycast/keys')))
    expect(statSync(here(`run/rekeycast/keys/${name}`)).mode & 0o777).toBe(0o600);
}

/** UDP ports that the server has for media, and those that each of the manifests opens, by number. */
function mediaPorts(all: readonly Manifest[]) {
  const one = <Kind>(kind: string): Kind => all.find((manifest) => manifest.kind === kind) as Kind;
  const { data } = one<{ data: Record<string, string> }>('ConfigMap');
  const { udpPort, workers } = readConfig(data);
  const [container] = one<StatefulSet>('StatefulSet').spec!.template.spec!.containers;
  const isMedia = ({ protocol }: { protocol?: string }): boolean => protocol === 'UDP';
  const named = new Map(container!.ports!.map(({ name, containerPort }) => [name, containerPort]));
  const { ports } = one<Service>('Service').spec!;
  const open = one<NetworkPolicy>('NetworkPolicy').spec!.ingress!.filter(({ from }) => from === undefined);
  return {
    wanted: Array.from({ length: workers + 1 }, (_, k) => udpPort + k),
    pod: container!.ports!.filter(isMedia).map(({ containerPort }) => containerPort),
    // The same port outside as inside: that is what browsers are told.
    service: ports!
      .filter(isMedia)
      .flatMap(({ port, targetPort }) => (named.get(String(targetPort)) === port ? port : [])),
    policy: open.flatMap((rule) => rule.ports!.filter(isMedia).map(({ port }) => named.get(String(port)))),
  };
}

/** What the compiler says to these manifests as values of the API's types; nothing where they are. */
function check(found: readonly Manifest[]): string {
  const file = join(scratch.path, 'manifests.ts');
  const lines = found.map(
    (one, i) =>
      `import type { ${one.kind} as K${i} } from 'kubernetes-types/${TYPES[one.kind]}.js';\nexport const m${i}: K${i} = ${JSON.stringify(one)};\n`,
  );
  writeFileSync(file, lines.join(''));
  const modules = join(scratch.path, 'node_modules');
  if (!statSync(modules, { throwIfNoEntry: false })) symlinkSync(join(ROOT, 'node_modules'), modules);
  const tsc = join(ROOT, 'node_modules', '.bin', 'tsc');
  return spawnSync(tsc, ['--noEmit', '--strict', '--module', 'nodenext', file], {
    cwd: scratch.path,
    encoding: 'utf8',
  }).stdout;
}
