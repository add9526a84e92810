/** Below this nobody hears anything, in dB of full scale. */
const SILENCE_DB = -60;
const FRAME = 1024;

/** How loud these samples are, from 0 (silence) to 1 (full scale), evenly in decibels. */
export function loudnessOf(samples: Float32Array): number {
  let power = 0;
  for (const sample of samples) power += sample * sample;
  if (power === 0) return 0;
  const decibels = 10 * Math.log10(power / samples.length);
  return Math.min(1, Math.max(0, 1 - decibels / SILENCE_DB));
}

/** Shows how loud a stream is, until it is stopped. */
export class LevelMeter {
  readonly #show: (level: number) => void;
  #context: AudioContext | undefined;
  #frame = 0;

  constructor(show: (level: number) => void) {
    this.#show = show;
  }

  start(stream: MediaStream): void {
    this.stop();
    if (stream.getAudioTracks().length === 0) return;
    const context = new AudioContext();
    this.#context = context;
    const analyser = context.createAnalyser();
    analyser.fftSize = FRAME;
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(FRAME);
    const look = (): void => {
      analyser.getFloatTimeDomainData(samples);
      this.#show(loudnessOf(samples));
      this.#frame = requestAnimationFrame(look);
    };
    look();
  }

  stop(): void {
    cancelAnimationFrame(this.#frame);
    void this.#context?.close();
    this.#context = undefined;
    this.#show(0);
  }
}
