import { describe, expect, it } from 'vitest';
import { KnownOrigins } from '../../../src/signaling/origin.ts';

const origins = new KnownOrigins(['https://live.example.org', 'http://host.lan:8080'], 'Box.example.net');

describe('a host', () => {
  it.each([
    'localhost',
    'LOCALHOST:8080',
    'localhost.:8080',
    'a.localhost',
    '127.0.0.1:8080',
    '192.0.2.1',
    '127.0.0.1.',
    '[::1]:8080',
    '[2001:DB8::1]',
    'box.example.net:8080',
    'box',
    'box.local',
    'live.example.org',
    'live.example.org:1',
    'host.lan',
  ])('that only this machine has is known: %s', (host) => {
    expect(origins.knowsHost(host)).toBe(true);
  });

  it.each([
    '',
    ':8080',
    'attacker.example',
    'attacker.example:8080',
    'localhost.attacker.example',
    'notlocalhost',
    '127.0.0.1.attacker.example',
    '127.0.0.1@attacker.example',
    'attacker.example@127.0.0.1',
    'localhost/attacker.example',
    'localhost#',
    'localhost:8080:8080',
    '[::1',
    '[::1].attacker.example',
    '[zz::1]',
    '256.256.256.256',
    'box.attacker.example',
    'local',
    'x.live.example.org',
    'live.example.org..',
    'locälhost',
    'localhost, attacker.example',
    'localhost attacker.example',
    `${'a.'.repeat(200)}localhost`,
  ])('that somebody else could have pointed here is not: %j', (host) => {
    expect(origins.knowsHost(host)).toBe(false);
  });
});

describe('an origin', () => {
  it.each([
    ['http://127.0.0.1:8080', '127.0.0.1:8080'],
    ['http://localhost:8080', 'LOCALHOST:8080'],
    ['http://[::1]:8080', '[::1]:8080'],
    ['http://localhost', 'localhost'],
    ['https://live.example.org', 'live.example.org'],
    // A proxy may ask under the name by which it knows us.
    ['https://live.example.org', '127.0.0.1:8080'],
    ['http://host.lan:8080', 'host.lan:8080'],
  ])('is ours: %s asking for %s', (origin, host) => {
    expect(origins.allows(origin, host)).toBe(true);
  });

  it.each([
    ['null', '127.0.0.1:8080'],
    ['', '127.0.0.1:8080'],
    ['http://attacker.example', '127.0.0.1:8080'],
    ['http://attacker.example:8080', 'attacker.example:8080'],
    ['http://127.0.0.1:8081', '127.0.0.1:8080'],
    ['http://127.0.0.1', '127.0.0.1:8080'],
    ['https://127.0.0.1:8080', '127.0.0.1:8080'],
    ['http://live.example.org', '127.0.0.1:8080'],
    ['https://live.example.org:8443', 'live.example.org'],
    ['http://localhost:8080', '127.0.0.1:8080'],
    ['http://127.0.0.1:8080@attacker.example', '127.0.0.1:8080'],
    ['http://attacker.example@127.0.0.1:8080', '127.0.0.1:8080'],
    ['http://127.0.0.1:8080/', '127.0.0.1:8080'],
    ['http://127.0.0.1:8080.', '127.0.0.1:8080'],
    ['http://127.0.0.1.:8080', '127.0.0.1:8080'],
    ['HTTP://127.0.0.1:8080', '127.0.0.1:8080'],
    ['http://127.0.0.1:8080, http://attacker.example', '127.0.0.1:8080'],
    ['ws://127.0.0.1:8080', '127.0.0.1:8080'],
    ['file://', '127.0.0.1:8080'],
    ['http://[::1]:8080', '[::2]:8080'],
  ])('is not ours: %j asking for %s', (origin, host) => {
    expect(origins.allows(origin, host)).toBe(false);
  });
});
