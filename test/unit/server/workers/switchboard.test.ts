import { expect, it, vi } from 'vitest';
import type { Broadcast } from '../../../../src/server/broadcast.ts';
import type { OpenedPage, PageId } from '../../../../src/server/page-bindings.ts';
import { Switchboard } from '../../../../src/server/workers/switchboard.ts';

it('a page that is away is so for its session, and not for one that another page has by now', () => {
  const awayElsewhere = vi.fn();
  const places = { holdElsewhere: vi.fn(), awayElsewhere };
  const lead = { openPage: vi.fn(), places } as unknown as Broadcast;
  const switchboard = new Switchboard(lead, { followers: new Map([[1, { takesNew: true }]]), wall: () => 0 });
  const [former, present] = ['a', 'b'] as unknown as [PageId, PageId];
  for (const id of [former, present]) {
    switchboard.openPage({ id } as OpenedPage, `1-${'t'.repeat(43)}`, undefined, 0);
    switchboard.handleFollower(1, { kind: 'message', page: id, session: 's', message: { type: 'pong' } }, 0);
  }
  switchboard.handleMessage(former, { type: 'away' }, 0);
  expect(awayElsewhere).not.toHaveBeenCalled();
  switchboard.handleMessage(present, { type: 'away' }, 0);
  expect(awayElsewhere).toHaveBeenCalledExactlyOnceWith('s');
});
