/* biome-ignore-all lint: read by browsers that know nothing newer than this. */
/* What the page stands on. A browser without it is told so, and the page's own program, which it may not even be able to read, does not start. */
(function () {
  var missing =
    typeof RTCPeerConnection === 'undefined' ||
    typeof HTMLVideoElement === 'undefined' ||
    !('requestVideoFrameCallback' in HTMLVideoElement.prototype) ||
    typeof HTMLDialogElement === 'undefined' ||
    typeof WebSocket === 'undefined' ||
    !('noModule' in document.createElement('script')) ||
    !('hasOwn' in Object);
  if (!missing) return;
  document.documentElement.setAttribute('data-outdated', '');
  document.addEventListener('DOMContentLoaded', function () {
    var words = document.getElementById('outdated');
    var state = document.getElementById('state');
    if (words) words.removeAttribute('hidden');
    if (state) state.textContent = '';
  });
})();
