import { describe, expect, it } from 'vitest';
import type { CertificateDigest } from '../../../src/client/certificate.ts';
import { Seal } from '../../../src/client/seal.ts';

const shown = (value: string): CertificateDigest => ({ algorithm: 'sha-256', value, source: 'transport' });
const announced = (algorithm: string, value: string): CertificateDigest => ({
  algorithm,
  value,
  source: 'sdp',
});

/** A browser that tells a seal what it sees; the handshakes of each of its transports are counted. */
class Browser {
  readonly seal = new Seal();
  readonly #associations = new Map<number, number>();
  #now = 0;
  #epoch = 0;

  /** The page has watched under its first keys for a while. */
  static watching(certificate = shown('aa')): Browser {
    const browser = new Browser();
    browser.offer(1, true);
    browser.seal.handleShown(1);
    browser.handshake(1, certificate);
    return browser;
  }

  offer(peer: number, create: boolean): void {
    this.#now += 100;
    this.seal.handleOffer(peer, create, this.#epoch++, this.#now);
  }

  handshake(peer: number, certificate: CertificateDigest): void {
    this.seal.handleTransport(peer, false);
    this.connected(peer);
    this.read(peer, certificate);
  }

  connected(peer: number): void {
    this.#associations.set(peer, (this.#associations.get(peer) ?? 0) + 1);
    this.seal.handleTransport(peer, true);
  }

  read(peer: number, certificate: CertificateDigest, associations = this.#associations.get(peer) ?? 0): void {
    this.seal.handleCertificate(peer, associations, certificate);
  }

  outage(): void {
    this.#now += 100;
    this.seal.handleLost(this.#now);
    this.seal.handleReturned();
  }
}

describe('the seal', () => {
  it('is not there before anything could be compared', () => {
    expect(new Seal().state).toBe('not-yet');
    expect(Browser.watching().seal.state).toBe('not-yet');
  });

  it('is there when a restarted server has shown the same certificate in a new handshake', () => {
    const browser = Browser.watching();
    browser.outage();
    expect(browser.seal.state).toBe('keys-pending');
    browser.offer(1, false);
    expect(browser.seal.state).toBe('keys-pending');
    browser.handshake(1, shown('aa'));
    expect(browser.seal.state).toBe('sealed');
    expect(browser.seal.handshake).toMatchObject({ epoch: 1, ordinal: 2 });
  });

  it('is there when the new keys came with a second connection, once that is in use', () => {
    const browser = Browser.watching();
    browser.outage();
    browser.offer(2, true);
    browser.handshake(2, shown('aa'));
    expect(browser.seal.state).toBe('keys-pending');
    browser.seal.handleShown(2);
    browser.seal.handleClosed(1);
    expect(browser.seal.state).toBe('sealed');
  });

  it('is there when keys are replaced without a restart', () => {
    const browser = Browser.watching();
    browser.offer(1, false);
    browser.handshake(1, shown('aa'));
    expect(browser.seal.state).toBe('sealed');
  });

  it('is not there while the server is away, nor again before the next handshake', () => {
    const browser = Browser.watching();
    browser.offer(1, false);
    browser.handshake(1, shown('aa'));
    browser.seal.handleLost(10_000);
    expect(browser.seal.state).toBe('not-yet');
    browser.seal.handleReturned();
    expect(browser.seal.state).toBe('keys-pending');
  });

  it('is not given to a handshake that was under way when the server was lost', () => {
    const browser = Browser.watching();
    browser.offer(1, false);
    browser.seal.handleTransport(1, false);
    browser.outage();
    browser.connected(1);
    browser.read(1, shown('aa'));
    expect(browser.seal.state).toBe('keys-pending');
  });

  it('is not given to the end of an older handshake behind a new offer', () => {
    const browser = Browser.watching();
    browser.offer(1, false);
    browser.seal.handleTransport(1, false);
    browser.outage();
    browser.offer(1, false);
    browser.connected(1);
    browser.read(1, shown('aa'));
    expect(browser.seal.state).toBe('keys-pending');
    browser.handshake(1, shown('aa'));
    expect(browser.seal.state).toBe('sealed');
  });

  it('is not given for a connection that only says that it is connected, where it was before', () => {
    const browser = Browser.watching();
    browser.outage();
    browser.offer(1, false);
    expect(browser.seal.handleConnected(1)).toBeUndefined();
    browser.connected(1);
    browser.read(1, shown('aa'));
    expect(browser.seal.state).toBe('keys-pending');
  });

  it('warns of another certificate, and goes on warning until the first one is back', () => {
    const browser = Browser.watching();
    for (const _again of [1, 2]) {
      browser.outage();
      browser.offer(1, false);
      browser.handshake(1, shown('bb'));
      expect(browser.seal.state).toBe('changed');
    }
    browser.offer(1, false);
    browser.handshake(1, shown('aa'));
    expect(browser.seal.state).toBe('sealed');
  });

  it('does not take the certificate of the handshake before for that of the new one', () => {
    const browser = Browser.watching();
    browser.outage();
    browser.offer(1, false);
    browser.seal.handleTransport(1, false);
    browser.connected(1);
    browser.read(1, shown('aa'), 1);
    expect(browser.seal.state).not.toBe('sealed');
    browser.read(1, shown('bb'));
    expect(browser.seal.state).toBe('changed');
  });

  it('is not moved by a certificate of a handshake that is not complete', () => {
    const browser = Browser.watching();
    browser.offer(1, false);
    browser.handshake(1, shown('aa'));
    browser.offer(1, false);
    browser.seal.handleTransport(1, false);
    browser.read(1, shown('bb'));
    expect(browser.seal.state).toBe('sealed');
  });

  it('takes the first connected of a new connection for its handshake, where transports say nothing', () => {
    const browser = new Browser();
    for (const peer of [1, 2]) {
      browser.offer(peer, true);
      browser.seal.handleConnected(peer);
      browser.read(peer, shown('aa'), 0);
      browser.seal.handleShown(peer);
    }
    expect(browser.seal.state).toBe('sealed');
  });

  it('says that it cannot compare an announcement under another digest, and can under the same', () => {
    const browser = Browser.watching(announced('sha-256', 'aa'));
    browser.offer(2, true);
    browser.handshake(2, announced('sha-512', 'cc'));
    browser.seal.handleShown(2);
    expect(browser.seal.state).toBe('unknown');
    browser.offer(3, true);
    browser.handshake(3, announced('sha-256', 'aa'));
    browser.seal.handleShown(3);
    expect(browser.seal.state).toBe('sealed');
  });

  it('hears nothing of connections that are closed', () => {
    const browser = Browser.watching();
    browser.seal.handleClosed(1);
    expect(browser.seal.handleTransport(1, true)).toBeUndefined();
    expect(browser.seal.handleConnected(1)).toBeUndefined();
  });
});
