/**
 * Runs in a page before its own program: whatever camera it asks for, it gets a small and slow picture, so that several browsers at once leave the
 * machine time for what is tested. It is sent as source text, so it may use only what is inside it.
 */
export function smallCamera(): void {
  const { mediaDevices } = navigator as { mediaDevices?: MediaDevices };
  // An empty page has no camera.
  if (mediaDevices === undefined) return;
  const open = mediaDevices.getUserMedia.bind(mediaDevices);
  mediaDevices.getUserMedia = (wish = {}) =>
    open(wish.video ? { ...wish, video: { width: 320, height: 240, frameRate: 15 } } : wish);
}
