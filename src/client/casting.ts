import type { ClientMessage, Role } from '../signaling/protocol.ts';
import type { OfferMessage } from './connections.ts';
import type { CameraProblem } from './facts.ts';

export type CastingOutput =
  | { readonly kind: 'openCamera' }
  | { readonly kind: 'closeCamera' }
  | { readonly kind: 'send'; readonly message: ClientMessage }
  /** The offer can be answered now: its role needs no camera, or the camera is open. */
  | { readonly kind: 'answerable'; readonly offer: OfferMessage };

/**
 * Who this page is in the room, and the camera that goes with it.
 *
 *   given the role:  role broadcaster ─▶ openCamera ─▶ ready: the held offer is answered
 *                                                  └─▶ failed: decline, go on as a viewer
 *   asking for it:   Broadcast pressed ─▶ openCamera ─▶ ready: publish ─▶ role broadcaster
 *
 * Asking opens the camera first, so that a camera that cannot be used never takes the place of one that can.
 */
export class Casting {
  readonly #outputs: CastingOutput[] = [];
  #role: Role | undefined;
  #camera: 'closed' | 'opening' | 'open' = 'closed';
  /** The camera cannot or must not be used: the page declines until somebody presses the button. */
  #refusal: string | undefined;
  #publishing = false;
  #heldOffer: OfferMessage | undefined;

  /** @param role `viewer`: declines until somebody asks to broadcast. */
  constructor(role: 'any' | 'viewer' = 'any') {
    if (role === 'viewer') this.#refusal = 'viewer';
  }

  get role(): Role | undefined {
    return this.#role;
  }

  get camera(): 'closed' | 'opening' | 'open' {
    return this.#camera;
  }

  get publishing(): boolean {
    return this.#publishing;
  }

  handleRole(role: Role): void {
    this.#role = role;
    if (role === 'viewer') {
      if (this.#heldOffer?.role === 'broadcaster') this.#heldOffer = undefined;
      if (!this.#publishing) this.close();
      return;
    }
    this.#publishing = false;
    if (this.#refusal !== undefined) this.#send({ type: 'decline', reason: this.#refusal });
    else this.#open();
  }

  /** A request that was made before the link was lost is made again. */
  handleWelcome(role: Role): void {
    this.handleRole(role);
    if (this.#publishing && this.#camera === 'open') this.#send({ type: 'publish' });
  }

  handleOffer(offer: OfferMessage): void {
    if (offer.role !== this.#role) this.handleRole(offer.role);
    this.#heldOffer = undefined;
    if (offer.role === 'viewer' || this.#camera === 'open') this.#outputs.push({ kind: 'answerable', offer });
    else if (this.#camera === 'opening') this.#heldOffer = offer;
  }

  /** An offer that waits for the camera does not outlive its link. */
  handleLost(): void {
    this.#heldOffer = undefined;
  }

  handleRefused(): void {
    this.#publishing = false;
    if (this.#role === 'viewer') this.close();
  }

  handleCameraReady(): void {
    if (this.#camera !== 'opening') return;
    this.#camera = 'open';
    const offer = this.#heldOffer;
    this.#heldOffer = undefined;
    if (offer !== undefined) this.#outputs.push({ kind: 'answerable', offer });
    else if (this.#publishing) this.#send({ type: 'publish' });
  }

  /** False where the camera was not wanted any more. */
  handleCameraGone(problem: CameraProblem): boolean {
    if (this.#camera === 'closed') return false;
    this.close();
    this.#publishing = false;
    this.#decline(problem);
    return true;
  }

  broadcast(): void {
    if (this.#role !== 'viewer' || this.#publishing) return;
    this.#refusal = undefined;
    this.#publishing = true;
    this.#open();
  }

  stop(): void {
    if (this.#role !== 'broadcaster') return;
    this.close();
    this.#decline('stopped');
  }

  close(): void {
    if (this.#camera === 'closed') return;
    this.#camera = 'closed';
    this.#outputs.push({ kind: 'closeCamera' });
  }

  pollOutput(): CastingOutput | undefined {
    return this.#outputs.shift();
  }

  #open(): void {
    if (this.#camera !== 'closed') return;
    this.#camera = 'opening';
    this.#outputs.push({ kind: 'openCamera' });
  }

  #decline(reason: string): void {
    this.#refusal = reason;
    this.#heldOffer = undefined;
    if (this.#role === 'broadcaster') this.#send({ type: 'decline', reason });
  }

  #send(message: ClientMessage): void {
    this.#outputs.push({ kind: 'send', message });
  }
}
