import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { readConfig } from '../../src/config.ts';
import { chooseKeySource } from '../../src/keyring/choose-source.ts';
import { nodeFileSystem } from '../../src/util/file-system.ts';
import { loadSodium } from '../../src/util/sodium.ts';
import { keyText } from '../support/key-text.ts';
import { ROOT } from '../support/process.ts';
import { testDirectory } from '../support/test-directory.ts';

const UNITS = join(ROOT, 'deploy', 'systemd');
/** In tenths, as `systemd-analyze security` counts: 0 is locked up, 100 may do everything. */
const MAX_EXPOSURE = 15;

const directory = testDirectory();

beforeEach(() => cpSync(UNITS, directory.path, { recursive: true }));

const unit = (name: string): string => join(directory.path, name);

/** Changes a unit in the scratch copy. */
function edit(name: string, change: (text: string) => string): void {
  const text = readFileSync(unit(name), 'utf8');
  const changed = change(text);
  expect(changed).not.toBe(text);
  writeFileSync(unit(name), changed);
}

/** The program is not installed on this machine. */
const standIn = (): void =>
  edit('rekeycast.service', (text) => text.replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`));

function analyze(...args: readonly string[]): { readonly status: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
  return { status, said: stdout + stderr };
}

const verify = () => analyze('verify', '--man=no', unit('rekeycast.service'), unit('rekeycast.socket'));
const security = () =>
  analyze('security', '--offline=true', `--threshold=${MAX_EXPOSURE}`, unit('rekeycast.service'));

/** The values of a directive, in order. */
function values(name: string, directive: string): string[] {
  const lines = readFileSync(unit(name), 'utf8').matchAll(new RegExp(`^${directive}=(.*)$`, 'gm'));
  return [...lines].map(([, value]) => value!);
}

describe('the systemd units', { timeout: 300_000 }, () => {
  it('say what systemd understands', () => {
    standIn();
    expect(verify()).toEqual({ status: 0, said: '' });
  });

  it.each([
    ['an unknown directive', 'rekeycast.service', 'LimitCORE=0', 'LimitCores=0'],
    ['a value that makes no sense', 'rekeycast.socket', 'ReceiveBuffer=8M', 'ReceiveBuffer=plenty'],
    ['a program that is not there', 'rekeycast.service', process.execPath, '/nowhere/rekeycast'],
  ])('are refused with %s', (_what, name, good, bad) => {
    standIn();
    edit(name, (text) => text.replace(good, bad));
    expect(verify().said).not.toBe('');
  });

  it('leave the server no more rights than it needs', () => {
    expect(security()).toMatchObject({ status: 0 });
    edit('rekeycast.service', (text) =>
      text.replace(/^SystemCallFilter=.*\n|^CapabilityBoundingSet=.*\n/gm, ''),
    );
    expect(security().status).not.toBe(0);
  });

  it('hold both ports, and the server’s files where a restart finds them', () => {
    expect(values('rekeycast.socket', 'ListenDatagram')).toEqual(['8080']);
    expect(values('rekeycast.socket', 'ListenStream')).toEqual(['8080']);
    // Workers open theirs themselves: a second UDP socket is refused.
    expect(values('rekeycast.service', 'SocketBindDeny')).toEqual([]);
    // The server is given the listening socket, and not a connection at a time.
    expect(values('rekeycast.socket', 'Accept')).toEqual([]);
    expect(values('rekeycast.service', 'RuntimeDirectoryPreserve')).toEqual(['restart']);
    expect(values('rekeycast.service', 'Restart')).toEqual(['always']);
    expect(values('rekeycast.service', 'LimitCORE')).toEqual(['0']);
    expect(values('rekeycast.service', 'MemorySwapMax')).toEqual(['0']);
    const environment = values('rekeycast.service', 'Environment');
    expect(environment).toEqual(['STATE_DIR=%S/rekeycast', 'KEYS_DIR=%S/rekeycast-keys']);
    const made = values('rekeycast.service', 'StateDirectory').flatMap((names) => names.split(' '));
    expect(environment.map((one) => one.replace(/^.*=%S\//, ''))).toEqual(made);
  });

  describe('with the snapshot keys as a credential', () => {
    const DROP_IN = 'rekeycast.service.d/rekeycast-snapshot-key.conf';

    beforeEach(() => {
      standIn();
      mkdirSync(unit('rekeycast.service.d'));
      renameSync(unit('rekeycast-snapshot-key.conf'), unit(DROP_IN));
    });

    it('say what systemd understands, and leave the server no more rights', () => {
      expect(verify()).toEqual({ status: 0, said: '' });
      expect(security()).toMatchObject({ status: 0 });
    });

    it('say it encrypted as well', () => {
      edit(DROP_IN, (text) =>
        text.replace(/^LoadCredential=.*\n/m, '').replace(/^#(?=LoadCredentialEncrypted=)/m, ''),
      );
      expect(values(DROP_IN, 'LoadCredentialEncrypted')).toHaveLength(1);
      expect(verify()).toEqual({ status: 0, said: '' });
    });

    it.each([
      ['a name that is none', 'LoadCredential=rekeycast/snapshot-key:/etc/rekeycast/snapshot-key'],
      ['a misspelt directive', 'LoadCredentials=rekeycast-snapshot-key:/etc/rekeycast/snapshot-key'],
    ])('are refused with %s', (_what, line) => {
      edit(DROP_IN, (text) => text.replace(/^LoadCredential=.*$/m, line));
      expect(verify().said).not.toBe('');
    });

    it('give the credential the name under which the server looks for it', async () => {
      const [name] = values(DROP_IN, 'LoadCredential')[0]!.split(':');
      const credentials = unit('credentials');
      mkdirSync(credentials);
      const chosen = () =>
        chooseKeySource(readConfig({}), { CREDENTIALS_DIRECTORY: credentials }, nodeFileSystem);
      writeFileSync(join(credentials, `${name}s`), keyText(1), { mode: 0o400 });
      expect(chosen().store).toBeDefined();
      writeFileSync(join(credentials, name!), keyText(1), { mode: 0o400 });
      const source = chosen();
      expect([source.store, source.place]).toEqual([undefined, expect.stringContaining('the credential')]);
      await loadSodium();
      await source.load();
      expect(source.entries()).toHaveLength(1);
      source.forget();
    });
  });

  it('name a user that sysusers makes', () => {
    const { status, stderr } = spawnSync('systemd-sysusers', ['--dry-run', unit('rekeycast.sysusers.conf')], {
      encoding: 'utf8',
    });
    expect(status).toBe(0);
    expect(stderr).toContain("Creating user 'rekeycast'");
    expect(values('rekeycast.service', 'User')).toEqual(['rekeycast']);
  });
});
