import { monotonicNow } from '../util/clock.ts';
import { ContinuityView } from './continuity-view.ts';
import { Controls } from './controls.ts';
import { DemoView } from './demo-view.ts';
import { connect } from './index.ts';
import { rememberedDevices } from './remembered.ts';
import { View } from './view.ts';

const CLOCK_INTERVAL_MS = 500;

// check.js has looked, and told the visitor.
if (!document.documentElement.hasAttribute('data-outdated')) start();

function start(): void {
  const view = new View();
  let controls: Controls | undefined;
  let continuity: ContinuityView | undefined;
  const demo = new DemoView((action) => visit.demonstrate(action));
  const visit = connect({
    ...tokenOfLink(),
    videos: view.videos,
    devices: rememberedDevices(),
    onStream: (stream) => controls?.follow(stream),
    onChange: (state) => {
      view.render(state);
      controls?.render(state);
      continuity?.update();
      demo.render(state);
    },
  });
  controls = new Controls(visit, (words) => view.say(words));
  controls.render(visit.state);
  continuity = new ContinuityView(visit);

  view.onToken((token) => visit.enter(token));
  setInterval(() => view.tick(monotonicNow()), CLOCK_INTERVAL_MS);
  // Another link of the same page was opened in this tab.
  addEventListener('hashchange', () => {
    const { token } = tokenOfLink();
    if (token !== undefined) visit.enter(token);
  });
  // A page that comes out of the back-forward cache has left already: it starts anew.
  addEventListener('pageshow', (event) => {
    if (event.persisted) location.reload();
  });
}

/** The part of the link behind `#` reaches no server and no log. It stays there, so that a reload finds it again. */
function tokenOfLink(): { readonly token?: string } {
  // Not as a form: a plus is a plus there.
  const token = /^#(?:.*&)?token=([^&]+)/.exec(location.hash)?.[1];
  return token === undefined ? {} : { token: decode(token) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
