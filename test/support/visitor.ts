import type { ServerProcess } from './process.ts';
import { WsClient } from './ws-client.ts';

/** A visitor of whom there is a WebSocket only, with a session and its token. */
export async function visit(server: ServerProcess): Promise<WsClient> {
  const page = await WsClient.connect(server.url);
  page.say({ type: 'join', capabilities: { rekeyInPlace: true } });
  await page.hear('welcome');
  page.say({ type: 'confirm' });
  return page;
}

/** Comes back with the token of `page`; whether the session was there. Leaves nothing open. */
export async function resumes(server: ServerProcess, page: WsClient): Promise<boolean> {
  const { token } = await page.hear('welcome');
  const back = await WsClient.connect(server.url, { token });
  const { resumed } = await back.hear('welcome');
  back.close();
  return resumed;
}
