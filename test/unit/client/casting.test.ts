import { describe, expect, it } from 'vitest';
import { Casting, type CastingOutput } from '../../../src/client/casting.ts';
import type { OfferMessage } from '../../../src/client/connections.ts';
import type { Role } from '../../../src/signaling/protocol.ts';

const offerFor = (role: Role, offer = 1): OfferMessage => ({
  type: 'offer',
  connection: 1,
  offer,
  epoch: 0,
  kind: 'first',
  role,
  sdp: 'sdp',
});

function drain(casting: Casting): CastingOutput[] {
  const outputs: CastingOutput[] = [];
  for (let output = casting.pollOutput(); output !== undefined; output = casting.pollOutput())
    outputs.push(output);
  return outputs;
}

const decline = (reason: string): CastingOutput => ({ kind: 'send', message: { type: 'decline', reason } });
const publish: CastingOutput = { kind: 'send', message: { type: 'publish' } };

/** A page that broadcasts, with its camera open. */
function broadcasting(): Casting {
  const casting = new Casting();
  casting.handleWelcome('broadcaster');
  casting.handleCameraReady();
  drain(casting);
  return casting;
}

function watching(): Casting {
  const casting = new Casting();
  casting.handleWelcome('viewer');
  return casting;
}

describe('a page that is given the role of the broadcaster', () => {
  it('opens the camera and answers the newest offer once it is there', () => {
    const casting = new Casting();
    casting.handleOffer(offerFor('broadcaster', 1));
    expect(drain(casting)).toEqual([{ kind: 'openCamera' }]);
    casting.handleWelcome('broadcaster');
    casting.handleOffer(offerFor('broadcaster', 2));
    expect(drain(casting)).toEqual([]);
    casting.handleCameraReady();
    expect(drain(casting)).toEqual([{ kind: 'answerable', offer: offerFor('broadcaster', 2) }]);
  });

  it('declines where it is to view only, and broadcasts when it is asked to', () => {
    const casting = new Casting('viewer');
    casting.handleWelcome('broadcaster');
    expect(drain(casting)).toEqual([decline('viewer')]);
    casting.handleOffer(offerFor('viewer'));
    expect(drain(casting)).toEqual([{ kind: 'answerable', offer: offerFor('viewer') }]);
    casting.broadcast();
    expect(drain(casting)).toEqual([{ kind: 'openCamera' }]);
    casting.handleCameraReady();
    expect(drain(casting)).toEqual([publish]);
  });

  it('declines when the camera cannot be used and answers as a viewer', () => {
    const casting = new Casting();
    casting.handleWelcome('broadcaster');
    casting.handleOffer(offerFor('broadcaster'));
    drain(casting);
    expect(casting.handleCameraGone('camera-denied')).toBe(true);
    expect(drain(casting)).toEqual([{ kind: 'closeCamera' }, decline('camera-denied')]);
    casting.handleRole('viewer');
    casting.handleOffer(offerFor('viewer', 2));
    expect(drain(casting)).toEqual([{ kind: 'answerable', offer: offerFor('viewer', 2) }]);
  });

  it('declines again without asking for the camera again', () => {
    const casting = new Casting();
    casting.handleWelcome('broadcaster');
    casting.handleCameraGone('camera-denied');
    drain(casting);
    casting.handleWelcome('broadcaster');
    expect(drain(casting)).toEqual([decline('camera-denied')]);
  });

  it('answers a re-key at once with the camera that is open', () => {
    const casting = broadcasting();
    casting.handleOffer(offerFor('broadcaster', 5));
    expect(drain(casting)).toEqual([{ kind: 'answerable', offer: offerFor('broadcaster', 5) }]);
  });

  it('keeps the camera through a restart', () => {
    const casting = broadcasting();
    casting.handleLost();
    casting.handleWelcome('broadcaster');
    expect(drain(casting)).toEqual([]);
    expect(casting.camera).toBe('open');
  });

  it('does not answer an offer whose link was lost while the camera was opening', () => {
    const casting = new Casting();
    casting.handleOffer(offerFor('broadcaster'));
    casting.handleLost();
    drain(casting);
    casting.handleCameraReady();
    expect(drain(casting)).toEqual([]);
  });

  it('does not answer an offer from before the role was taken away', () => {
    const casting = new Casting();
    casting.handleOffer(offerFor('broadcaster'));
    casting.handleRole('viewer');
    casting.broadcast();
    drain(casting);
    casting.handleCameraReady();
    expect(drain(casting)).toEqual([publish]);
  });

  it('turns the camera off when the role is taken away', () => {
    const casting = broadcasting();
    casting.handleRole('viewer');
    expect(drain(casting)).toEqual([{ kind: 'closeCamera' }]);
  });

  it('does not open a camera whose role is gone when the permission comes', () => {
    const casting = new Casting();
    casting.handleOffer(offerFor('broadcaster'));
    casting.handleRole('viewer');
    drain(casting);
    casting.handleCameraReady();
    expect(casting.camera).toBe('closed');
    expect(casting.handleCameraGone('camera-lost')).toBe(false);
    expect(drain(casting)).toEqual([]);
  });
});

describe('the buttons', () => {
  it('Broadcast opens the camera first and only then asks for the role', () => {
    const casting = watching();
    casting.broadcast();
    expect(drain(casting)).toEqual([{ kind: 'openCamera' }]);
    casting.handleCameraReady();
    expect(drain(casting)).toEqual([publish]);
    casting.handleRole('broadcaster');
    casting.handleOffer(offerFor('broadcaster'));
    expect(drain(casting)).toEqual([{ kind: 'answerable', offer: offerFor('broadcaster') }]);
    expect(casting.publishing).toBe(false);
  });

  it('Broadcast with a camera that cannot be used asks for nothing', () => {
    const casting = watching();
    casting.broadcast();
    casting.handleCameraGone('camera-in-use');
    expect(drain(casting)).toEqual([{ kind: 'openCamera' }, { kind: 'closeCamera' }]);
    expect(casting.publishing).toBe(false);
  });

  it('Broadcast gives a camera that was refused before another chance', () => {
    const casting = new Casting();
    casting.handleWelcome('broadcaster');
    casting.handleCameraGone('camera-denied');
    casting.handleRole('viewer');
    drain(casting);
    casting.broadcast();
    casting.handleCameraReady();
    casting.handleRole('broadcaster');
    expect(drain(casting)).toEqual([{ kind: 'openCamera' }, publish]);
  });

  it('Broadcast is asked for again after a loss of signaling', () => {
    const casting = watching();
    casting.broadcast();
    casting.handleCameraReady();
    drain(casting);
    casting.handleLost();
    casting.handleWelcome('viewer');
    expect(drain(casting)).toEqual([publish]);
  });

  it('Broadcast ends with the camera off when somebody else was faster', () => {
    const casting = watching();
    casting.broadcast();
    casting.handleCameraReady();
    drain(casting);
    casting.handleRefused();
    expect(drain(casting)).toEqual([{ kind: 'closeCamera' }]);
    expect(casting.publishing).toBe(false);
  });

  it('Stop turns the camera off at once and gives the role back, also after a restart', () => {
    const casting = broadcasting();
    casting.stop();
    expect(drain(casting)).toEqual([{ kind: 'closeCamera' }, decline('stopped')]);
    casting.handleWelcome('broadcaster');
    expect(drain(casting)).toEqual([decline('stopped')]);
  });

  it('do nothing for the other role', () => {
    const broadcaster = broadcasting();
    broadcaster.broadcast();
    const viewer = watching();
    viewer.stop();
    expect([...drain(broadcaster), ...drain(viewer)]).toEqual([]);
  });
});
