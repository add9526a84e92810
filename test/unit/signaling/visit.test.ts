import type { IncomingMessage } from 'node:http';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseNetwork, TrustedProxies } from '../../../src/signaling/visit.ts';

interface Asked {
  readonly from: string;
  readonly forwarded?: string;
  readonly proto?: string;
  readonly host?: string;
  readonly encrypted?: boolean;
}

const PROXIES = ['10.0.0.0/8', '192.0.2.1', 'fd00::/8', '::1'];

const visit = (asked: Asked, proxies: readonly string[] = PROXIES) =>
  new TrustedProxies(proxies).visitOf({
    socket: { remoteAddress: asked.from, ...(asked.encrypted ? { encrypted: true } : {}) },
    headers: {
      host: 'inner:8080',
      ...(asked.forwarded === undefined ? {} : { 'x-forwarded-for': asked.forwarded }),
      ...(asked.proto === undefined ? {} : { 'x-forwarded-proto': asked.proto }),
      ...(asked.host === undefined ? {} : { 'x-forwarded-host': asked.host }),
    },
  } as unknown as IncomingMessage);

describe('whom a proxy asks for', () => {
  it.each([
    ['nobody, of its own accord', '10.0.0.1', undefined, '10.0.0.1'],
    ['a visitor', '10.0.0.1', '198.51.100.7', '198.51.100.7'],
    ['a visitor over IPv6', '10.0.0.1', '2001:db8::7', '2001:db8::7'],
    ['a visitor behind two of ours', '10.0.0.1', '198.51.100.7, 10.9.9.9', '198.51.100.7'],
    ['a visitor who has made things up', '10.0.0.1', '203.0.113.9, 10.2.2.2, 198.51.100.7', '198.51.100.7'],
    [
      'a visitor who says to be a proxy of ours',
      '10.0.0.1',
      '10.3.3.3, 198.51.100.7, 10.2.2.2',
      '198.51.100.7',
    ],
    ['one of ours behind others of ours', '10.0.0.1', '10.3.3.3, 10.2.2.2', '10.3.3.3'],
    ['a visitor with a port', '10.0.0.1', '198.51.100.7:4711', '198.51.100.7'],
    ['a visitor with a port over IPv6', '10.0.0.1', '[2001:db8::7]:4711', '2001:db8::7'],
    ['a visitor whose address is mapped', '::ffff:10.0.0.1', '::ffff:198.51.100.7', '198.51.100.7'],
    ['somebody whom it does not name', '10.0.0.1', 'unknown', '10.0.0.1'],
    [
      'somebody behind a proxy that does not name them',
      '10.0.0.1',
      '198.51.100.7, unknown, 10.2.2.2',
      '10.2.2.2',
    ],
    ['an empty list', '10.0.0.1', ' , ', '10.0.0.1'],
    ['a visitor of a proxy over IPv6', 'fd00::1', '198.51.100.7', '198.51.100.7'],
    ['a visitor of the proxy on this machine', '::1', '198.51.100.7', '198.51.100.7'],
  ])('is %s', (_name, from, forwarded, address) => {
    expect(visit({ from, ...(forwarded === undefined ? {} : { forwarded }) }).address).toBe(address);
  });

  it.each(['198.51.100.1', '192.0.2.2', '2001:db8::1', '::2', ''])(
    'says nothing where it is none of ours: %j',
    (from) => {
      expect(visit({ from, forwarded: '198.51.100.7', proto: 'https', host: 'live.example.org' })).toEqual({
        address: from,
        host: 'inner:8080',
        scheme: 'http',
        local: false,
      });
    },
  );

  it('says nothing where none is trusted', () => {
    const asked = { from: '127.0.0.1', forwarded: '198.51.100.7', proto: 'https', host: 'live.example.org' };
    expect(visit(asked, [])).toEqual({
      address: '127.0.0.1',
      host: 'inner:8080',
      scheme: 'http',
      local: false,
    });
  });

  it('is never an address that a visitor has written to the left of the own', () => {
    const hops = fc.array(fc.constantFrom('203.0.113.1', '10.4.4.4', 'x', '::1', '', '203.0.113.2:80'), {
      maxLength: 80,
    });
    fc.assert(
      fc.property(
        hops,
        fc.array(fc.constantFrom('10.1.1.1', 'fd00::2'), { maxLength: 5 }),
        (lies, proxies) => {
          const forwarded = [...lies, '198.51.100.7', ...proxies].join(', ');
          expect(visit({ from: '10.0.0.1', forwarded }).address).toBe('198.51.100.7');
        },
      ),
      { seed: 3 },
    );
  });
});

describe('what a proxy says of the address bar', () => {
  it('is believed', () => {
    expect(visit({ from: '10.0.0.1', proto: 'https', host: 'live.example.org' })).toMatchObject({
      host: 'live.example.org',
      scheme: 'https',
    });
  });

  it('is what the next one has written, where there are several', () => {
    expect(visit({ from: '10.0.0.1', proto: 'https, http', host: 'a.example, b.example' })).toMatchObject({
      host: 'b.example',
      scheme: 'http',
    });
  });

  it.each([undefined, '', 'ftp', 'https://'])(
    'is nothing where the scheme is %j: then ours counts',
    (proto) => {
      const asked = { from: '10.0.0.1', ...(proto === undefined ? {} : { proto }) };
      expect(visit(asked).scheme).toBe('http');
      expect(visit({ ...asked, encrypted: true }).scheme).toBe('https');
    },
  );
});

describe('a network', () => {
  it.each(['10.0.0.0/8', '192.0.2.1', '0.0.0.0/0', '::/0', 'fd00::/8', '2001:db8::1/128'])(
    'is %s',
    (text) => {
      expect(parseNetwork(text)).toBeDefined();
    },
  );

  it.each([
    '10.0.0.0/33',
    '10/8',
    '::/129',
    'fe80::1%eth0',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    'a',
    '',
  ])('is not %j', (text) => {
    expect(parseNetwork(text)).toBeUndefined();
  });
});

describe('a visit from this machine for sure', () => {
  const isLocal = (
    from: string,
    headers: Record<string, string> = {},
    proxies: readonly string[] = [],
    publicOrigins: readonly string[] = [],
  ) =>
    new TrustedProxies(proxies, publicOrigins).visitOf({
      socket: { remoteAddress: from },
      headers: { host: 'localhost:8080', ...headers },
    } as unknown as IncomingMessage).local;

  it.each(['127.0.0.1', '127.0.0.2', '::1', '::ffff:127.0.0.1'])('comes from loopback: %s', (from) => {
    expect(isLocal(from)).toBe(true);
  });

  it.each(['198.51.100.7', '10.0.0.1', '::ffff:198.51.100.7', 'fe80::1', '2001:db8::1', '::', '0.0.0.0', ''])(
    'comes from nowhere else: %j',
    (from) => {
      expect(isLocal(from)).toBe(false);
    },
  );

  it.each(['localhost', 'LOCALHOST:1', 'a.localhost', '127.0.0.1:8080', '127.9.9.9', '[::1]', '[::1]:8080'])(
    'asks for loopback: %s',
    (host) => {
      expect(isLocal('127.0.0.1', { host })).toBe(true);
    },
  );

  it.each([
    'live.example.org',
    'localhost.example.org',
    'notlocalhost',
    '192.0.2.1',
    '127.example.org',
    '1127.0.0.1',
    '[::2]',
    '',
  ])('asks for nothing else, as through a tunnel: %j', (host) => {
    expect(isLocal('127.0.0.1', { host })).toBe(false);
  });

  it.each([
    'x-forwarded-for',
    'x-forwarded-proto',
    'x-forwarded-host',
    'x-forwarded-server',
    'x-real-ip',
    'forwarded',
    'via',
    'cf-connecting-ip',
    'true-client-ip',
  ])('is not one that somebody has passed on of whom we were not told: %s', (name) => {
    expect(isLocal('127.0.0.1', { [name]: '127.0.0.1' })).toBe(false);
  });

  it('is not one of a server that visitors know by another name, unless a proxy says so that is trusted', () => {
    const elsewhere = ['http://localhost:8080', 'https://live.example.org'];
    expect(isLocal('127.0.0.1', {}, [], elsewhere)).toBe(false);
    expect(isLocal('127.0.0.1', { 'x-forwarded-for': '127.0.0.1' }, ['127.0.0.1'], elsewhere)).toBe(true);
    expect(isLocal('127.0.0.1', {}, [], ['http://demo.localhost', 'https://[::1]:8443'])).toBe(true);
  });

  it.each(['127.0.0.1', '::1', '127.0.0.1:4711', '[::1]:4711', '127.0.0.3, 127.0.0.2'])(
    'is one that a proxy passes on from there: %s',
    (forwarded) => {
      expect(isLocal('127.0.0.1', { 'x-forwarded-for': forwarded }, ['127.0.0.0/8', '::1'])).toBe(true);
    },
  );

  it.each(['198.51.100.7', '127.0.0.1, 198.51.100.7', '198.51.100.7, 127.0.0.1', 'unknown', '', 'localhost'])(
    'is not one that a proxy passes on from elsewhere, or of whom it says nothing: %j',
    (forwarded) => {
      expect(isLocal('127.0.0.1', { 'x-forwarded-for': forwarded }, ['127.0.0.0/8'])).toBe(false);
    },
  );

  it('is not one of a proxy that does not say for whom it asks', () => {
    expect(isLocal('127.0.0.1', {}, ['127.0.0.1'])).toBe(false);
  });

  it('is not one that asked the proxy for another name', () => {
    const headers = { 'x-forwarded-for': '127.0.0.1', 'x-forwarded-host': 'live.example.org' };
    expect(isLocal('127.0.0.1', headers, ['127.0.0.1'])).toBe(false);
  });
});
