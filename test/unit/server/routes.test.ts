import { describe, expect, it } from 'vitest';
import { PageBindings } from '../../../src/server/page-bindings.ts';
import { type Route, Routes } from '../../../src/server/routes.ts';
import { type Address, sameAddress } from '../../../src/transport/address.ts';
import { bindingSuccess, parseStun } from '../../../src/transport/ice/stun.ts';
import { toHex, utf8 } from '../../../src/util/bytes.ts';
import { stunRequest } from '../../support/stun.ts';

const USERNAME = 0x0006;
const at = (port: number): Address => ({ ip: '192.0.2.1', port });
const checkFor = (ufrag: string): Uint8Array =>
  stunRequest([{ type: USERNAME, value: utf8(`${ufrag}:peer`) }]);

function routeOf(
  id: string,
  peer: { ufrags: string[]; remoteAddress?: Address; validated?: Address[]; probing?: string[] },
): Route {
  const isValidated = (address: Address) =>
    [...(peer.validated ?? []), ...(peer.remoteAddress === undefined ? [] : [peer.remoteAddress])].some(
      (known) => sameAddress(known, address),
    );
  const isProbing = (transaction: string) => peer.probing?.includes(transaction) === true;
  return {
    session: {},
    connection: { id, role: 'viewer', peer: { ...peer, isValidated, isProbing } },
  } as unknown as Route;
}

describe('the routes of datagrams', () => {
  it('lead by ufrag and by address, and nowhere else', () => {
    const routes = new Routes();
    const route = routeOf('a/1', { ufrags: ['uf1', 'uf0'], remoteAddress: at(5) });
    routes.put(route);
    expect(routes.findAddressee(checkFor('uf1'))).toBe(route);
    expect(routes.findAddressee(checkFor('uf0'))).toBe(route);
    expect(routes.findAddressee(checkFor('uf2'))).toBeUndefined();
    expect(routes.findByAddress(at(5))).toBe(route);
    expect(routes.findByAddress(at(6))).toBeUndefined();
    expect(routes.findAddressee(new Uint8Array(20))).toBeUndefined();
  });

  it('forget the ufrags of the restart before the last', () => {
    const routes = new Routes();
    routes.put(routeOf('a/1', { ufrags: ['uf1', 'uf0'] }));
    const renewed = routeOf('a/1', { ufrags: ['uf2', 'uf1'] });
    routes.put(renewed);
    expect(routes.findAddressee(checkFor('uf0'))).toBeUndefined();
    expect(routes.findAddressee(checkFor('uf1'))).toBe(renewed);
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
    expect(routes.findAddressee(checkFor('uf1'))).toBeUndefined();
    expect(routes.findByAddress(at(1))).toBeUndefined();
    expect(routes.findByAddress(at(2))).toBe(second);
  });
});

describe('responses', () => {
  it('find who has asked, for as long as it waits and is there', () => {
    const routes = new Routes();
    const probing = [transactionOf(1)];
    const route = routeOf('a/1', { ufrags: [], probing });
    routes.put(route);
    routes.addTransaction(route, transactionOf(1));
    expect(routes.findAddressee(response(1))).toBe(route);
    expect(routes.findAddressee(response(2))).toBeUndefined();
    probing[0] = transactionOf(2);
    routes.addTransaction(route, transactionOf(2));
    expect(routes.findAddressee(response(1))).toBeUndefined();
    expect(routes.findAddressee(response(2))).toBe(route);
    routes.remove('a/1');
    expect(routes.findAddressee(response(2))).toBeUndefined();
  });

  const idOf = (n: number) => new Uint8Array(12).fill(n);
  const transactionOf = (n: number) => toHex(idOf(n));
  const response = (n: number) =>
    bindingSuccess(parseStun(stunRequest([], undefined, idOf(n)))!, at(5), 'password');
});

describe('the pages of sessions', () => {
  it('are one each: the newest has it, and the one before is named', () => {
    const pages = new PageBindings();
    expect(pages.bind(1, 's')).toBeUndefined();
    expect(pages.bind(2, 's')).toBe(1);
    expect(pages.sessionOf(1)).toBeUndefined();
    expect(pages.pageOf('s')).toBe(2);
    expect(pages.close(1)).toBeUndefined();
    expect(pages.close(2)).toBe('s');
    expect([...pages.pages()]).toEqual([]);
  });

  it('lists the viewers, in one and the same list until one comes or goes', () => {
    const routes = new Routes();
    const [a, b] = [routeOf('a/1', { ufrags: ['a'] }), routeOf('b/1', { ufrags: ['b'] })];
    routes.put(a);
    const one = routes.viewers();
    expect(one).toEqual([a]);
    // An offer or a nomination of somebody who is in it.
    routes.put({ ...a });
    routes.addAddress(a, at(5));
    expect(routes.viewers()).toBe(one);
    routes.put(b);
    expect(routes.viewers()).toEqual([a, b]);
    expect(one).toEqual([a]);
    routes.remove('a/1');
    routes.remove('unknown');
    expect(routes.viewers()).toEqual([b]);
  });
});
