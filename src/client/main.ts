import { connect } from './index.ts';
import { View } from './view.ts';

const view = new View();
const visit = connect({
  ...tokenOfLink(),
  videos: view.videos,
  onChange: (state) => view.render(state),
});

view.broadcast.addEventListener('click', () => visit.broadcast());
view.stop.addEventListener('click', () => visit.stop());
view.sound.addEventListener('click', () => visit.toggleSound());
view.onToken((token) => visit.enter(token));
// Another link of the same page was opened in this tab.
addEventListener('hashchange', () => {
  const { token } = tokenOfLink();
  if (token !== undefined) visit.enter(token);
});
// A page that comes out of the back-forward cache has left already: it starts anew.
addEventListener('pageshow', (event) => {
  if (event.persisted) location.reload();
});

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
