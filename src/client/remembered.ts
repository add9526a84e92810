import type { Devices } from './camera.ts';

const KEY = 'rekeycast.devices';
const MAX_ID_LENGTH = 256;

/** The devices that were chosen on this browser before. */
export function rememberedDevices(): Devices {
  try {
    return parseDevices(localStorage.getItem(KEY));
  } catch {
    // A browser may keep its storage from pages.
    return {};
  }
}

export function rememberDevices(devices: Devices): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(devices));
  } catch {
    // Then it is asked again.
  }
}

/** Whatever somebody may have put there. */
export function parseDevices(text: string | null): Devices {
  let value: unknown;
  try {
    value = JSON.parse(text ?? '');
  } catch {
    return {};
  }
  if (typeof value !== 'object' || value === null) return {};
  const { camera, microphone } = value as Readonly<Record<string, unknown>>;
  return { ...(isId(camera) && { camera }), ...(isId(microphone) && { microphone }) };
}

const isId = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && value.length <= MAX_ID_LENGTH;
