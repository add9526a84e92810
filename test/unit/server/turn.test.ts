import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openTurn } from '../../../src/server/turn.ts';
import { Secret } from '../../../src/util/secret.ts';
import { testDirectory } from '../../support/test-directory.ts';

const directory = testDirectory();
const URLS = ['turn:192.0.2.1:3478', 'turns:192.0.2.1:5349'];
const SECRET = 'north-north-north-north';
const NOW = 1_800_000_000_999;
const EXPECTED = [
  {
    urls: URLS,
    username: '1800003600:s-1',
    // printf 1800003600:s-1 | openssl dgst -sha1 -hmac north-north-north-north -binary | base64
    credential: 'pVg8jEGswaoZhKbQumDLkyLvn34=',
  },
];

describe('credentials for TURN', () => {
  it('are a name that says when they expire, and its HMAC under the secret', () => {
    const secret = { name: 'TURN_SECRET', value: Secret.copy(Buffer.from(SECRET)) };
    expect(openTurn({ urls: URLS, secret, ttl: 3_600_000 })('s-1', NOW)).toEqual(EXPECTED);
  });

  it('are made with what is in a file, without the line break at its end', () => {
    const file = join(directory.path, 'secret');
    writeFileSync(file, `${SECRET}\n`);
    const secret = { name: 'TURN_SECRET_FILE', file };
    expect(openTurn({ urls: URLS, secret, ttl: 3_600_000 })('s-1', NOW)).toEqual(EXPECTED);
  });

  it('are not made where the secret is none', () => {
    const file = join(directory.path, 'secret');
    writeFileSync(file, 'short');
    const secret = { name: 'TURN_SECRET_FILE', file };
    expect(() => openTurn({ urls: URLS, secret, ttl: 1 })).toThrow(/^TURN_SECRET_FILE is/);
  });
});
