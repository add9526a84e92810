import type { ClientMessage, PagePosition, ServerMessage } from '../../signaling/protocol.ts';
import type { Millis, WallMillis } from '../../util/clock.ts';
import type { Broadcast } from '../broadcast.ts';
import type { BroadcastEvent, BroadcastOutput } from '../broadcast-io.ts';
import type { OpenedPage, PageId } from '../page-bindings.ts';
import { PAGE_ERROR } from '../page-errors.ts';
import type { RelaysFor } from '../turn.ts';
import { type FromFollower, packTogether, type ToFollower } from './messages.ts';

/** Before a token of a follower's session: its number. Tokens of the engine that leads have none, and are shorter. */
const FOLLOWERS_TOKEN = /^(\d{1,3})-([\w-]{43})$/;

/** Where a page's session is, or is going to be. */
interface Page {
  readonly opened: OpenedPage;
  /** `undefined`: in the engine that leads. */
  follower: number | undefined;
  /** It was let in there, or asked to come back, and was not turned away. */
  entered: boolean;
  /** Of a follower. */
  session: string | undefined;
  /** It wants to broadcast, which takes a session in the engine that leads. */
  publishes: boolean;
}

export interface SwitchboardOptions {
  /** By number, from 1 up; the second of each says whether new visitors go there. */
  readonly followers: ReadonlyMap<number, { readonly takesNew: boolean }>;
  /** The secret of the TURN servers stays with the engine that leads. */
  readonly relaysFor?: RelaysFor | undefined;
  readonly wall: () => WallMillis;
}

/** What the engine that leads wants done, and what is to be said to one that follows. */
export type SwitchboardOutput =
  | Exclude<BroadcastOutput, { kind: 'event' }>
  /** `follower`: where it happened, where that is not the engine that leads. */
  | { readonly kind: 'event'; readonly event: BroadcastEvent; readonly follower?: number }
  | { readonly kind: 'post'; readonly follower: number; readonly message: ToFollower };

/**
 * One room in several engines. Pages talk to it; it knows in which engine the session of each is.
 *
 *   1. a page with a token goes where the token says
 *   2. one that joins is let in by the engine that leads, which has all places. Whoever is to broadcast stays there; who watches goes to the follower with
 *      the fewest
 *   3. one that wants to broadcast, and watches in a follower, is told to join anew, and joins the engine that leads
 *
 * Without followers everything goes straight to the one engine there is.
 */
export class Switchboard {
  readonly #lead: Broadcast;
  readonly #options: SwitchboardOptions;
  readonly #pages = new Map<PageId, Page>();
  /** Of sessions in followers: where, and whose page is there. */
  readonly #sessions = new Map<string, { readonly follower: number; page: PageId | undefined }>();
  readonly #outputs: SwitchboardOutput[] = [];

  constructor(lead: Broadcast, options: SwitchboardOptions) {
    this.#lead = lead;
    this.#options = options;
  }

  /** What a follower has found of an earlier process. */
  hasFound(follower: number, sessions: readonly string[]): void {
    for (const session of sessions) {
      this.#sessions.set(session, { follower, page: undefined });
      this.#lead.places.holdElsewhere(session);
    }
  }

  openPage(
    opened: OpenedPage,
    token: string | undefined,
    position: PagePosition | undefined,
    now: Millis,
  ): void {
    const [, number, rest] = FOLLOWERS_TOKEN.exec(token ?? '') ?? [];
    const follower = Number(number);
    const isThere = rest !== undefined && this.#options.followers.has(follower);
    // The one that leads knows every page: whose it is, and what it may do.
    this.#lead.openPage(opened, isThere ? undefined : token, position, now);
    if (this.#options.followers.size === 0) return;
    const page: Page = {
      opened,
      follower: isThere ? follower : undefined,
      entered: token !== undefined,
      session: undefined,
      publishes: false,
    };
    this.#pages.set(opened.id, page);
    if (isThere) this.#post(follower, { kind: 'open', page: opened, token: rest, position });
  }

  handleMessage(id: PageId, message: ClientMessage, now: Millis): void {
    const page = this.#pages.get(id);
    if (page === undefined) this.#lead.handleMessage(id, message, now);
    else if (message.type === 'join' && !page.entered) this.#join(page, message, now);
    else if (page.follower === undefined) this.#lead.handleMessage(id, message, now);
    else if (message.type === 'publish') this.#publish(page, now);
    else {
      if (message.type === 'away') this.#noteAway(page);
      this.#post(page.follower, { kind: 'say', page: id, message });
    }
  }

  closePage(id: PageId, now: Millis): void {
    this.#lead.closePage(id, now);
    const page = this.#pages.get(id);
    this.#pages.delete(id);
    if (page?.follower !== undefined) this.#leave(page, page.follower);
  }

  handleFollower(follower: number, message: FromFollower, now: Millis): void {
    switch (message.kind) {
      case 'message':
        this.#relay(follower, message, now);
        break;
      case 'disconnect':
        if (this.#pages.get(message.page)?.follower === follower) this.#outputs.push(message);
        break;
      case 'viewers':
        this.#lead.watchElsewhere(follower, message.viewers, now);
        break;
      case 'keyframe-wanted':
        this.#lead.requestKeyframe(now);
        break;
      case 'event':
        if (message.event.event === 'session-closed') this.#forget(message.event.session);
        // Of the one certificate that all of them show the engine that leads tells.
        if (message.event.event !== 'certificate-replaced') this.#outputs.push({ ...message, follower });
    }
  }

  /** New keys for everybody, unnoticed (an operator's order). */
  rekeyAll(now: Millis): void {
    this.#lead.rekeyAll(now);
    for (const follower of this.#options.followers.keys()) this.#post(follower, { kind: 'rekey' });
  }

  /** Media for the followers waits: {@link relayMedia}. */
  get mediaWaits(): boolean {
    return this.#lead.relay.hasPackets;
  }

  /** To each of them all that has come since the last time, in one message. */
  relayMedia(): void {
    const packets = this.#lead.relay.takePackets();
    if (packets.length === 0) return;
    const packed = packTogether(packets);
    for (const follower of this.#options.followers.keys())
      this.#post(follower, { kind: 'media', packets: packed });
  }

  pollOutput(): SwitchboardOutput | undefined {
    for (;;) {
      const mine = this.#outputs.shift();
      if (mine !== undefined) return mine;
      const others = this.#lead.relay.pollOutput();
      if (others === undefined) break;
      if (others.kind === 'dismiss') this.#dismiss(others.session);
      else if (others.kind === 'room') this.#tellAll(others.message);
    }
    const output = this.#lead.pollOutput();
    if (output?.kind === 'message') this.#note(output.page, output.message);
    return output;
  }

  #join(page: Page, message: Extract<ClientMessage, { type: 'join' }>, now: Millis): void {
    const { opened } = page;
    const isToStay = page.publishes || this.#lead.opensToBroadcast(opened.id);
    const follower = isToStay ? undefined : this.#emptiest();
    // It may have come with a token of another one, or its session there is over.
    if (page.follower !== undefined) this.#leave(page, page.follower);
    page.publishes = false;
    if (follower === undefined) {
      page.entered = true;
      this.#lead.handleMessage(opened.id, message, now);
      return;
    }
    const session = this.#lead.admitElsewhere(opened.id, now);
    if (session === undefined) return;
    this.#sessions.set(session, { follower, page: opened.id });
    page.follower = follower;
    page.entered = true;
    page.session = session;
    this.#post(follower, { kind: 'enter', page: opened, session, capabilities: message.capabilities });
  }

  /** The follower with the fewest sessions. */
  #emptiest(): number | undefined {
    const counts = new Map<number, number>();
    for (const [number, { takesNew }] of this.#options.followers) if (takesNew) counts.set(number, 0);
    for (const { follower } of this.#sessions.values()) {
      const count = counts.get(follower);
      if (count !== undefined) counts.set(follower, count + 1);
    }
    let fewest: number | undefined;
    for (const [number, count] of counts)
      if (fewest === undefined || count < counts.get(fewest)!) fewest = number;
    return fewest;
  }

  /** A page that has joined anew asks again for what it has asked for before. */
  #publish(page: Page, now: Millis): void {
    const { opened, follower, session } = page;
    if (follower === undefined || session === undefined || !this.#lead.allowsToPublish(opened.id, now))
      return;
    page.publishes = true;
    this.#leave(page, follower);
    this.#dismiss(session);
    this.#lead.places.move(opened.id, opened.owner, session);
    this.#tell(opened.id, PAGE_ERROR.tokenUnknown);
  }

  /** Unless another page has its session by now. */
  #noteAway({ opened, session }: Page): void {
    if (session !== undefined && this.#sessions.get(session)?.page === opened.id)
      this.#lead.places.awayElsewhere(session);
  }

  /** The page has no say there any more, and is told nothing. */
  #leave(page: Page, follower: number): void {
    const known = page.session === undefined ? undefined : this.#sessions.get(page.session);
    if (known?.page === page.opened.id) known.page = undefined;
    this.#post(follower, { kind: 'close', page: page.opened.id });
    page.follower = undefined;
    page.session = undefined;
    page.entered = false;
  }

  #dismiss(session: string): void {
    const known = this.#sessions.get(session);
    if (known !== undefined) this.#post(known.follower, { kind: 'dismiss', session });
  }

  #forget(session: string): void {
    const known = this.#sessions.get(session);
    if (known === undefined) return;
    this.#sessions.delete(session);
    this.#lead.places.releaseElsewhere(session);
    const page = known.page === undefined ? undefined : this.#pages.get(known.page);
    if (page?.session !== session) return;
    page.session = undefined;
    page.entered = false;
  }

  /** From a follower to a page, unless that has gone elsewhere meanwhile. */
  #relay(
    follower: number,
    { page: id, message, session }: Extract<FromFollower, { kind: 'message' }>,
    now: Millis,
  ): void {
    const page = this.#pages.get(id);
    if (page?.follower !== follower) return;
    if (session !== undefined && page.session !== session) {
      page.session = session;
      this.#sessions.set(session, { follower, page: id });
      this.#lead.places.holdElsewhere(session, page.opened.owner);
    }
    const { relaysFor, wall } = this.#options;
    if (message.type === 'offer' && relaysFor !== undefined)
      this.#tell(id, { type: 'relays', servers: relaysFor(session ?? '', wall()) });
    this.#note(id, message);
    if (message.type !== 'welcome') {
      this.#tell(id, message);
      return;
    }
    this.#tell(id, { ...message, token: `${follower}-${message.token}` });
    // The others are told when it changes.
    this.#tell(id, this.#lead.roomAt(now));
  }

  /** Who was turned away joins anew, and then it is decided anew where. */
  #note(id: PageId, message: ServerMessage): void {
    const page = this.#pages.get(id);
    if (page === undefined || message.type !== 'error' || !TURNED_AWAY.has(message.code)) return;
    page.entered = false;
  }

  #tellAll(message: ServerMessage): void {
    for (const [id, { follower, session }] of this.#pages)
      if (follower !== undefined && session !== undefined) this.#tell(id, message);
  }

  #tell(page: PageId, message: ServerMessage): void {
    this.#outputs.push({ kind: 'message', page, message, afterWrite: false });
  }

  #post(follower: number, message: ToFollower): void {
    this.#outputs.push({ kind: 'post', follower, message });
  }
}

const TURNED_AWAY: ReadonlySet<string> = new Set([
  PAGE_ERROR.tokenUnknown.code,
  PAGE_ERROR.roomFull.code,
  PAGE_ERROR.tooManyVisits.code,
  PAGE_ERROR.shuttingDown.code,
]);
