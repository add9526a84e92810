import { launchPuppet, PuppetBrowser } from './puppet.ts';

export interface FirefoxOptions {
  /** What its visitor likes; light, and things that move, unless told otherwise. */
  readonly scheme?: 'light' | 'dark';
}

/** Debian's Firefox ESR, headless, with its built-in fake camera. */
export class FirefoxBrowser extends PuppetBrowser {
  static async launch({ scheme }: FirefoxOptions = {}): Promise<FirefoxBrowser> {
    const browser = await launchPuppet('/usr/bin/firefox-esr', {
      browser: 'firefox',
      extraPrefsFirefox: {
        'media.navigator.streams.fake': true,
        'media.navigator.permission.disabled': true,
        'media.peerconnection.ice.loopback': true,
        'media.peerconnection.ice.obfuscate_host_addresses': false,
        'media.autoplay.default': 0,
        ...(scheme === undefined
          ? {}
          : {
              'layout.css.prefers-color-scheme.content-override': scheme === 'dark' ? 0 : 1,
              'ui.prefersReducedMotion': 1,
            }),
      },
    });
    return new FirefoxBrowser(browser, 'firefox');
  }
}
