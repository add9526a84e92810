import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { KnownOrigins } from '../../../src/signaling/origin.ts';
import { judgeRequest, type Refusal, refusalHeaders, refuseSocket } from '../../../src/signaling/refusal.ts';

const REFUSAL: Refusal = { status: 404, reason: 'other-path', words: 'Nothing hier für dich.' };

function judge(asked: {
  method?: string;
  url?: string;
  headers?: Record<string, string>;
  rawHeaders?: string[];
}): string | undefined {
  const headers = { host: 'localhost', ...asked.headers };
  const rawHeaders = asked.rawHeaders ?? Object.entries(headers).flat();
  const request = { method: 'GET', url: '/', ...asked, headers, rawHeaders } as unknown as IncomingMessage;
  return judgeRequest(request, new KnownOrigins([], 'box'), { host: headers.host, scheme: 'http' })?.reason;
}

describe('a request', () => {
  it.each([{}, { method: 'HEAD' }, { headers: { 'content-length': '0' } }, { url: `/${'x'.repeat(1_023)}` }])(
    'that asks for something passes: %o',
    (asked) => {
      expect(judge(asked)).toBeUndefined();
    },
  );

  it.each([
    [{ method: 'POST' }, 'method'],
    [{ method: 'OPTIONS' }, 'method'],
    [{ headers: { 'content-length': '1' } }, 'body'],
    [{ headers: { 'transfer-encoding': 'chunked' } }, 'body'],
    [{ url: `/${'x'.repeat(1_024)}` }, 'target-too-long'],
    [{ headers: { host: 'attacker.example' } }, 'unknown-host'],
    [{ rawHeaders: ['Host', 'localhost', 'hOST', 'attacker.example'] }, 'host-twice'],
  ])('that is none of ours is refused: %o', (asked, reason) => {
    expect(judge(asked)).toBe(reason);
  });
});

describe('a refusal', () => {
  it('tells an operator what to set, and echoes nothing but a name', () => {
    const request = { headers: {}, rawHeaders: [] } as unknown as IncomingMessage;
    const visit = { host: 'host.lan:8080<script>', scheme: 'http' } as const;
    const { words } = judgeRequest(request, new KnownOrigins([], 'box'), visit)!;
    expect(words).toContain('PUBLIC_ORIGIN=http://host.lan:8080?script?');
    expect(words).not.toContain('<');
  });

  it('is plain text of its length in bytes, and says which methods there are', () => {
    expect(refusalHeaders(REFUSAL)).toMatchObject({
      'Content-Length': String(Buffer.byteLength(REFUSAL.words) + 1),
      'X-Content-Type-Options': 'nosniff',
    });
    expect(refusalHeaders(REFUSAL).Allow).toBeUndefined();
    expect(refusalHeaders({ ...REFUSAL, status: 405 }).Allow).toBe('GET, HEAD');
  });

  it('on a bare socket outlives a visitor who hangs up before reading it', () => {
    const socket = new PassThrough();
    refuseSocket(socket, REFUSAL);
    expect(String(socket.read())).toMatch(/^HTTP\/1\.1 404 Not Found\r\nConnection: close\r\n/);
    expect(() => socket.emit('error', new Error('write ECONNRESET'))).not.toThrow();
    expect(socket.destroyed).toBe(true);
  });
});
