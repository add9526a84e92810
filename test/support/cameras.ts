/** Cameras for pages: each function runs in a page before its own program, as source text, and may use only what is inside it. */

/** The visitor has not answered the browser's question yet. */
export function unansweredCamera(): void {
  navigator.mediaDevices.getUserMedia = () => new Promise(() => undefined);
}

/** The visitor has said no. */
export function deniedCamera(): void {
  navigator.mediaDevices.getUserMedia = () =>
    Promise.reject(new DOMException('Permission denied', 'NotAllowedError'));
}

/** A lake at dusk: drawn, so that every browser has the same, in few colours and with something that moves. */
export function drawnCamera(): void {
  const [WIDTH, HEIGHT, RATE] = [1280, 720, 12];
  /** Of what is drawn, so that the machine has time for it. */
  const SCALE = 0.75;
  const HORIZON = 430;
  /** Height in the picture, half of the width, and pixels a millisecond. */
  const CLOUDS = [
    [110, 210, 0.018],
    [190, 140, 0.03],
    [70, 120, 0.045],
  ] as const;
  const draw = (context: CanvasRenderingContext2D, ms: number): void => {
    const bands = ['#1d2b53', '#34407a', '#5a4f8f', '#8c5f95', '#c9788b', '#f0a07c', '#f7c98b'];
    const area = (colour: string, x: number, y: number, width: number, height: number): void => {
      context.fillStyle = colour;
      context.fillRect(x, y, width, height);
    };
    const disc = (colour: string, x: number, y: number, radius: number): void => {
      context.fillStyle = colour;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fill();
    };
    const ridge = (colour: string, base: number, height: number, step: number, shift: number): void => {
      context.fillStyle = colour;
      context.beginPath();
      context.moveTo(0, HORIZON);
      for (let x = 0; x <= WIDTH + step; x += step)
        context.lineTo(
          x,
          base - height * Math.abs(Math.sin(x * 0.0041 + shift) + 0.5 * Math.sin(x * 0.011 + shift)),
        );
      context.lineTo(WIDTH + step, HORIZON);
      context.fill();
    };
    for (const [i, colour] of bands.entries()) area(colour, 0, (i * HORIZON) / 7, WIDTH, HORIZON / 7 + 1);
    disc('#fff1c9', 860, 330, 62);
    context.fillStyle = '#9d86b8';
    for (const [y, size, speed] of CLOUDS) {
      const x = ((ms * speed + y * 9) % (WIDTH + 2 * size)) - size;
      context.beginPath();
      context.ellipse(x, y, size, size * 0.1, 0, 0, 2 * Math.PI);
      context.ellipse(x + size * 0.2, y - size * 0.09, size * 0.5, size * 0.09, 0, 0, 2 * Math.PI);
      context.fill();
    }
    ridge('#4b3b6e', HORIZON - 20, 150, 40, 0.4);
    ridge('#2c2750', HORIZON + 5, 95, 30, 2.1);
    area('#20244a', 0, HORIZON, WIDTH, HEIGHT - HORIZON);
    for (let i = 0; i < 16; i++) {
      const y = HORIZON + 14 + i * 17;
      const swing = Math.sin(ms / 700 + i * 1.7) * (10 + i * 3);
      area(i % 3 === 0 ? '#f7c98b' : '#a8688c', 860 - 50 - i * 5 + swing, y, 100 + i * 9, 4);
    }
    const boat = 240 + Math.sin(ms / 3_000) * 120;
    const bob = Math.sin(ms / 600) * 4;
    context.fillStyle = '#0f1230';
    context.beginPath();
    context.moveTo(boat - 70, 560 + bob);
    context.lineTo(boat + 70, 560 + bob);
    context.lineTo(boat + 44, 588 + bob);
    context.lineTo(boat - 44, 588 + bob);
    context.fill();
    context.fillStyle = '#f4e6d8';
    context.beginPath();
    context.moveTo(boat, 430 + bob);
    context.lineTo(boat + 62, 548 + bob);
    context.lineTo(boat, 548 + bob);
    context.fill();
  };
  navigator.mediaDevices.getUserMedia = async (wish = {}) => {
    const canvas = document.createElement('canvas');
    canvas.width = WIDTH * SCALE;
    canvas.height = HEIGHT * SCALE;
    const context = canvas.getContext('2d', { alpha: false });
    if (context === null) throw new DOMException('no canvas', 'NotReadableError');
    context.scale(SCALE, SCALE);
    draw(context, performance.now());
    setInterval(() => draw(context, performance.now()), 1_000 / RATE);
    const stream = new MediaStream();
    if (wish.video) for (const track of canvas.captureStream(RATE).getTracks()) stream.addTrack(track);
    if (wish.audio) {
      const audio = new AudioContext();
      for (const track of audio.createMediaStreamDestination().stream.getTracks()) stream.addTrack(track);
    }
    return stream;
  };
}
