import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readConfig } from '../../../src/config.ts';
import { openAccess } from '../../../src/server/access.ts';

const TOKEN = 'a-token-of-some-length';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rekeycast-access-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const file = (content: string): string => {
  const path = join(directory, 'content');
  writeFileSync(path, content);
  return path;
};
const open = (env: Record<string, string>) => openAccess(readConfig(env).access);

describe('what lets visitors in', () => {
  it.each([TOKEN, `${TOKEN}\n`, `${TOKEN}\r\n`])('is read from a file that holds %j', (content) => {
    const access = open({ VIEW_TOKEN_FILE: file(content) });
    expect(access.judge(TOKEN)).toMatchObject({ admits: { right: 'publish' } });
    expect(access.judge('something-else-of-length')).toMatchObject({ refuses: 'wrong' });
  });

  it('is nothing by default: everybody may come', () => {
    expect(open({}).judge(undefined)).toMatchObject({ admits: { right: 'publish' } });
  });

  it('is a public key in a file', async () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    const access = open({
      AUTH_PUBLIC_KEY: file(publicKey.export({ type: 'spki', format: 'pem' }).toString()),
    });
    expect(access.judge(undefined)).toMatchObject({ refuses: 'missing' });
    expect(await access.judge('a.b.c')).toMatchObject({ refuses: 'wrong' });
  });

  it.each([
    [
      'short',
      'whose content (5 characters, not shown) is not a secret of 16 to 512 characters without spaces',
    ],
    [`${TOKEN}\n\n`, 'whose content (23 characters, not shown)'],
    ['', 'whose content (0 characters, not shown)'],
  ])('is not a file that holds %j', (content, words) => {
    const path = file(content);
    expect(() => open({ PUBLISH_TOKEN_FILE: path })).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining(`PUBLISH_TOKEN_FILE is ${JSON.stringify(path)}, ${words}`),
      }),
    );
  });

  it.each(['PUBLISH_TOKEN_FILE', 'VIEW_TOKEN_FILE', 'AUTH_PUBLIC_KEY'])(
    'is refused where %s is not there',
    (name) => {
      expect(() => open({ [name]: join(directory, 'nothing') })).toThrow(
        expect.objectContaining({
          code: 'CONFIG_INVALID',
          message: expect.stringMatching(new RegExp(`^${name} is ".*/nothing", which .*ENOENT`)),
        }),
      );
    },
  );

  it('names the key file that is of no use, and why', () => {
    const path = file('nothing of that kind');
    expect(() => open({ AUTH_PUBLIC_KEY: path })).toThrow(
      `AUTH_PUBLIC_KEY is ${JSON.stringify(path)}, which is of no use: it is neither a public key in PEM nor a JWK`,
    );
  });
});
