import { describe, expect, it } from 'vitest';
import { BroadcasterSlot } from '../../../src/server/broadcaster-slot.ts';
import { PageBindings } from '../../../src/server/page-bindings.ts';
import { type Route, Routes } from '../../../src/server/routes.ts';
import type { Session } from '../../../src/session/session.ts';
import { type Address, sameAddress } from '../../../src/transport/address.ts';
import { utf8 } from '../../../src/util/bytes.ts';
import { stunRequest } from '../../support/stun.ts';

const USERNAME = 0x0006;
const at = (port: number): Address => ({ ip: '192.0.2.1', port });
const checkFor = (ufrag: string): Uint8Array =>
  stunRequest([{ type: USERNAME, value: utf8(`${ufrag}:peer`) }]);

function routeOf(
  id: string,
  peer: { ufrags: string[]; remoteAddress?: Address; validated?: Address[] },
): Route {
  const isValidated = (address: Address) =>
    [...(peer.validated ?? []), ...(peer.remoteAddress === undefined ? [] : [peer.remoteAddress])].some(
      (known) => sameAddress(known, address),
    );
  return {
    session: {},
    connection: { id, role: 'viewer', peer: { ...peer, isValidated } },
  } as unknown as Route;
}

describe('the routes of datagrams', () => {
  it('lead by ufrag and by address, and nowhere else', () => {
    const routes = new Routes();
    const route = routeOf('a/1', { ufrags: ['uf1', 'uf0'], remoteAddress: at(5) });
    routes.put(route);
    expect(routes.findByUfrag(checkFor('uf1'))).toBe(route);
    expect(routes.findByUfrag(checkFor('uf0'))).toBe(route);
    expect(routes.findByUfrag(checkFor('uf2'))).toBeUndefined();
    expect(routes.findByAddress(at(5))).toBe(route);
    expect(routes.findByAddress(at(6))).toBeUndefined();
    expect(routes.findByUfrag(new Uint8Array(20))).toBeUndefined();
  });

  it('forget the ufrags of the restart before the last', () => {
    const routes = new Routes();
    routes.put(routeOf('a/1', { ufrags: ['uf1', 'uf0'] }));
    const renewed = routeOf('a/1', { ufrags: ['uf2', 'uf1'] });
    routes.put(renewed);
    expect(routes.findByUfrag(checkFor('uf0'))).toBeUndefined();
    expect(routes.findByUfrag(checkFor('uf1'))).toBe(renewed);
  });

  it('forget an address that the peer has forgotten', () => {
    const routes = new Routes();
    routes.put(routeOf('a/1', { ufrags: [], remoteAddress: at(1) }));
    const moved = routeOf('a/1', { ufrags: [], remoteAddress: at(2) });
    routes.put(moved);
    expect(routes.findByAddress(at(1))).toBeUndefined();
    expect(routes.findByAddress(at(2))).toBe(moved);
  });

  it('are gone with their connection, but for an address that another has by now', () => {
    const routes = new Routes();
    const first = routeOf('a/1', { ufrags: ['uf1'], remoteAddress: at(1), validated: [at(2)] });
    routes.put(first);
    routes.addAddress(first, at(2));
    const second = routeOf('a/2', { ufrags: ['uf2'], remoteAddress: at(2) });
    routes.put(second);
    routes.remove('a/1');
    expect(routes.get('a/1')).toBeUndefined();
    expect(routes.findByUfrag(checkFor('uf1'))).toBeUndefined();
    expect(routes.findByAddress(at(1))).toBeUndefined();
    expect(routes.findByAddress(at(2))).toBe(second);
  });
});

describe('the pages of sessions', () => {
  it('are one each: the newest has it, and the one before is named', () => {
    const pages = new PageBindings();
    expect(pages.bind(1, 's')).toBeUndefined();
    expect(pages.bind(2, 's')).toBe(1);
    expect(pages.sessionOf(1)).toBeUndefined();
    expect(pages.pageOf('s')).toBe(2);
    expect(pages.unbindPage(1)).toBeUndefined();
    expect(pages.unbindPage(2)).toBe('s');
    expect([...pages.pages()]).toEqual([]);
  });
});

describe('the place of the broadcaster', () => {
  const session = (state: { attached?: boolean; seenAt?: number; role?: string }): Session =>
    ({
      attached: state.attached ?? true,
      seenAt: state.seenAt ?? 0,
      current: state.role === undefined ? undefined : { role: state.role },
    }) as unknown as Session;

  it('is free at first, and taken while its holder is on air', () => {
    const slot = new BroadcasterSlot();
    expect(slot.isFree(0)).toBe(true);
    slot.take(session({ role: 'broadcaster' }), 0);
    expect(slot.isFree(1_000_000)).toBe(false);
    expect(slot.onAir).toBe(true);
  });

  it('may be taken from who does not go on air for a minute', () => {
    const slot = new BroadcasterSlot();
    slot.take(session({}), 0);
    expect(slot.isFree(60_000)).toBe(false);
    expect(slot.isFree(60_001)).toBe(true);
    expect(slot.isEmpty).toBe(false);
  });

  it('is given up 15 s after the last sign of who has gone, and not while the page is there', () => {
    const slot = new BroadcasterSlot();
    const gone = session({ attached: false, seenAt: 1_000, role: 'broadcaster' });
    slot.take(gone, 0);
    expect(slot.nextTimeout()).toBe(16_000);
    slot.handleTimeout(15_999);
    expect(slot.onAir).toBe(true);
    slot.handleTimeout(16_000);
    expect(slot.isEmpty).toBe(true);
    expect(slot.onAir).toBe(false);
    slot.take(session({ role: 'broadcaster' }), 0);
    expect(slot.nextTimeout()).toBeUndefined();
  });

  it('is released by its holder only', () => {
    const slot = new BroadcasterSlot();
    const holder = session({});
    slot.take(holder, 0);
    slot.release(session({}));
    expect(slot.isEmpty).toBe(false);
    slot.release(holder);
    expect(slot.isEmpty).toBe(true);
  });
});
