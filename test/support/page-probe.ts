/** A message between page and server, as the page saw it. */
export interface Signal {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly direction: 'sent' | 'received';
  readonly message: Readonly<Record<string, unknown>>;
}

/** What the probe keeps in the page. */
interface PageProbe {
  /** Every RTCPeerConnection the page has made for the broadcast; not those on which it tries the browser out. */
  readonly connections: RTCPeerConnection[];
  /** When each frame was shown in a visible `<video>`, milliseconds since 1970. */
  readonly frames: number[];
  readonly signals: Signal[];
  /** What the page's content security policy has kept it from, as `directive uri`. */
  readonly violations: string[];
}

declare global {
  interface Window {
    probe: PageProbe;
  }
}

/**
 * Runs in the page before the page's own program: watches connections, frames and messages, and changes nothing. It is sent as
 * source text, so it may use only what is inside it.
 */
export function installProbe(): void {
  const probe: PageProbe = { connections: [], frames: [], signals: [], violations: [] };
  window.probe = probe;

  document.addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) => {
    probe.violations.push(`${effectiveDirective} ${blockedURI}`);
  });

  window.RTCPeerConnection = class extends RTCPeerConnection {
    override setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
      const isTrial = /^m=application/m.test(description.sdp ?? '');
      if (!isTrial && !probe.connections.includes(this)) probe.connections.push(this);
      return super.setRemoteDescription(description);
    }
  };

  const log = (direction: Signal['direction'], data: unknown): void => {
    try {
      const message = JSON.parse(String(data)) as Signal['message'];
      probe.signals.push({ at: Date.now(), direction, message });
    } catch {
      // Not one of the page's messages.
    }
  };
  window.WebSocket = class extends WebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols);
      this.addEventListener('message', (event) => log('received', event.data));
    }
    override send(data: string | Blob | BufferSource): void {
      log('sent', data);
      super.send(data);
    }
  };

  const watched = new WeakSet<HTMLVideoElement>();
  const watch = (video: HTMLVideoElement): void => {
    if (watched.has(video)) return;
    watched.add(video);
    const shown = (_now: number, metadata: VideoFrameCallbackMetadata): void => {
      const visible = video.isConnected && video.checkVisibility({ opacityProperty: true });
      if (visible) probe.frames.push(Date.now() - (performance.now() - metadata.presentationTime));
      video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback(shown);
  };
  const srcObject = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, 'srcObject');
  Object.defineProperty(HTMLMediaElement.prototype, 'srcObject', {
    ...srcObject,
    set(this: HTMLMediaElement, stream: MediaProvider | null) {
      if (this instanceof HTMLVideoElement) watch(this);
      srcObject?.set?.call(this, stream);
    },
  });
}
