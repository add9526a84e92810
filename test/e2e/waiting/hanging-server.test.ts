import { describe, expect, it } from 'vitest';
import { runningServer } from '../../support/fixture.ts';
import { askedWhileStopped, expectUntouched } from '../../support/takeover.ts';
import { visit } from '../../support/visitor.ts';
import { until } from '../../support/wait.ts';

describe('rekeycast serve --takeover', { timeout: 180_000 }, () => {
  it('gives up in words on one that hangs, which goes on when it does not hang any more', async () => {
    const server = await runningServer();
    const page = await visit(server);
    const before = await askedWhileStopped(server);
    const { run } = server;
    expect(await server.fallBack(before)).toEqual({ code: 1, signal: null });
    expect(run.stderr).toMatch(/does not answer .*If it hangs, kill it.*\[HANDOVER_REFUSED\]/);
    server.signal('SIGCONT');
    await until('it knows', () => server.events('handover-cancelled').length === 1);
    await expectUntouched(server, page);
  });
});
