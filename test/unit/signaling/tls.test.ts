import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { TlsSource } from '../../../src/signaling/tls.ts';
import { testDirectory } from '../../support/test-directory.ts';
import { certificatePair, type PemPair } from '../../support/tls.ts';

const DAY = 86_400_000;
const directory = testDirectory();
let [first, second]: [PemPair, PemPair] = [
  { cert: '', key: '' },
  { cert: '', key: '' },
];
beforeAll(() => {
  [first, second] = [certificatePair(), certificatePair('ec')];
});

const file = (name: string): string => join(directory.path, name);
function put({ cert, key }: PemPair, folder = ''): { cert: string; key: string } {
  const files = { cert: file(join(folder, 'tls.crt')), key: file(join(folder, 'tls.key')) };
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key);
  return files;
}

describe('the certificate of the page', () => {
  it('is read with its key, and told when it ends', async () => {
    const { pair } = await TlsSource.open(put(first));
    expect(pair).toMatchObject(first);
    expect(pair.validTo - Date.now()).toBeGreaterThan(29 * DAY);
  });

  it.each([
    ['is of another key', () => ({ cert: first.cert, key: second.key }), 'the key is of another certificate'],
    ['is none', () => ({ cert: 'nothing', key: first.key }), 'the certificate cannot be read'],
    ['is a key', () => ({ cert: first.key, key: first.key }), 'the certificate cannot be read'],
    ['has no key', () => ({ cert: first.cert, key: first.cert }), 'the key cannot be read'],
    ['has a cut key', () => ({ cert: first.cert, key: first.key.slice(0, 90) }), 'the key cannot be read'],
    ['has an encrypted key', () => ({ cert: first.cert, key: encrypted(first.key) }), 'passphrase'],
  ])('is not taken where it %s, in words', async (_name, pair, words) => {
    const files = put(pair());
    const opening = TlsSource.open(files);
    await expect(opening).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await expect(opening).rejects.toThrow(`TLS_CERT is ${JSON.stringify(files.cert)} and TLS_KEY`);
    await expect(opening).rejects.toThrow(words);
  });

  it('has to be there', async () => {
    const files = put(first);
    rmSync(files.key);
    await expect(TlsSource.open(files)).rejects.toThrow(/ENOENT.*tls\.key/);
  });
});

describe('a certificate that is replaced', () => {
  it('is used from the next look on, and is no news after that', async () => {
    const files = put(first);
    const source = await TlsSource.open(files);
    expect(await source.check(Date.now())).toBeUndefined();
    put(second);
    expect(await source.check(Date.now())).toMatchObject({ kind: 'changed', pair: second });
    expect(source.pair).toMatchObject(second);
    expect(await source.check(Date.now())).toBeUndefined();
  });

  it('is found behind links that are turned, as Kubernetes does it', async () => {
    for (const [folder, pair] of [['..1', first] as const, ['..2', second] as const]) {
      mkdirSync(file(folder));
      put(pair, folder);
    }
    symlinkSync('..1', file('..data'));
    for (const name of ['tls.crt', 'tls.key']) symlinkSync(`..data/${name}`, file(name));
    const source = await TlsSource.open({ cert: file('tls.crt'), key: file('tls.key') });
    symlinkSync('..2', file('..data_tmp'));
    renameSync(file('..data_tmp'), file('..data'));
    rmSync(file('..1'), { recursive: true });
    expect(await source.check(Date.now())).toMatchObject({ kind: 'changed', pair: second });
  });

  it('is found behind links of its own, one after the other, as certbot does it', async () => {
    for (const [folder, pair] of [['1', first] as const, ['2', second] as const]) {
      mkdirSync(file(folder));
      put(pair, folder);
    }
    const turn = (name: string, to: string) => {
      symlinkSync(`${to}/${name}`, file('new'));
      renameSync(file('new'), file(name));
    };
    for (const name of ['tls.crt', 'tls.key']) turn(name, '1');
    const source = await TlsSource.open({ cert: file('tls.crt'), key: file('tls.key') });
    turn('tls.crt', '2');
    // Half of it: no news yet, and the old one stays.
    expect(await source.check(Date.now())).toBeUndefined();
    expect(source.pair).toMatchObject(first);
    turn('tls.key', '2');
    expect(await source.check(Date.now())).toMatchObject({ kind: 'changed', pair: second });
  });

  it.each([
    ['does not belong to its key', () => ({ cert: second.cert, key: first.key }), /another certificate/],
    ['is none', () => ({ cert: '', key: second.key }), /cannot be read/],
  ])(
    'and %s is told of once, at the second look; the one before stays until a good one is there',
    async (_name, pair, words) => {
      const source = await TlsSource.open(put(first));
      put(pair());
      const news = [];
      for (let look = 0; look < 4; look++) news.push(await source.check(Date.now()));
      expect(news).toEqual([
        undefined,
        { kind: 'refused', words: expect.stringMatching(words) },
        undefined,
        undefined,
      ]);
      expect(source.pair).toMatchObject(first);
      put(second);
      expect(await source.check(Date.now())).toMatchObject({ kind: 'changed', pair: second });
    },
  );

  it('and is gone is told of as well, and again when that happens again', async () => {
    const files = put(first);
    const source = await TlsSource.open(files);
    for (let round = 0; round < 2; round++) {
      rmSync(files.cert);
      expect(await source.check(Date.now())).toBeUndefined();
      expect(await source.check(Date.now())).toMatchObject({
        kind: 'refused',
        words: expect.stringContaining('ENOENT'),
      });
      put(first);
      expect(await source.check(Date.now())).toBeUndefined();
    }
  });

  it('and has expired already does not take the place of one that has not', async () => {
    const source = await TlsSource.open(put(first));
    put(second);
    const later = Date.now() + 31 * DAY;
    await source.check(later);
    expect(await source.check(later)).toMatchObject({
      kind: 'refused',
      words: expect.stringMatching(/expired on \d{4}-\d{2}-\d{2}/),
    });
    expect(source.pair).toMatchObject(first);
  });
});

describe('a certificate that nobody replaces', () => {
  it('is told of once, a week before it expires', async () => {
    const source = await TlsSource.open(put(first));
    const { validTo } = source.pair;
    expect(await source.check(validTo - 8 * DAY)).toBeUndefined();
    expect(await source.check(validTo - 6 * DAY)).toEqual({ kind: 'expiring', validTo });
    expect(await source.check(validTo - 5 * DAY)).toBeUndefined();
  });
});

const encrypted = (key: string): string =>
  execFileSync('openssl', ['pkey', '-aes256', '-passout', 'pass:secret'], { input: key }).toString();
